"""What is found out before any work is done: layers that cannot be cut, and how long it will take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.core.progress import Shown
from support.networks import chain
from support.pruning_cases import flow_of


class Stated(nn.Module):
    """Eight units in a reshape to fixed sizes, behind ten that are free."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.r1 = nn.Linear(5, 10), nn.ReLU()
        self.second, self.r2 = nn.Linear(10, 8), nn.ReLU()
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.r2(self.second(self.r1(self.first(x)))).reshape(-1, 8))


def case() -> tuple[nn.Module, Tensor]:
    return Stated().eval(), torch.randn(120, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("remove", [0.5, "most"])
def test_a_reshape_to_fixed_sizes_keeps_its_units_and_others_are_cut(remove: object) -> None:
    model, x = case()
    small = nif.prune(
        model, flow_of(model, x, ["r1", "r2"]), x, remove=remove, tolerance=100.0, progress=False
    )
    assert set(small.removed["layer"]) == {"r1"} and set(small.removed["how"]) == {"cut"}
    assert len(small.removed) == (5 if remove == 0.5 else 9)
    why = "Layer 'r2' is left whole: the model states their number, as in a reshape to fixed sizes."
    assert small.notes[0] == why
    assert small.model.second.in_features == 10 - len(small.removed)


def test_units_of_such_a_layer_are_zeroed_where_it_is_named() -> None:
    model, x = case()
    flow = flow_of(model, x, ["r1", "r2"])
    small = nif.prune(model, flow, x, remove={"r1": 0.2, "r2": 0.25}, tolerance=None, progress=False)
    counts = small.removed[["layer", "how"]].value_counts().to_dict()
    assert counts == {("r1", "cut"): 2, ("r2", "zeroed"): 2}
    assert small.model(x).shape == (120, 3)


@pytest.mark.parametrize("tolerance", [None, 0.0, 1e9])
def test_the_bar_knows_all_work_before_it_begins(
    tolerance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, list[float]]] = []

    @contextmanager
    def bar(label: str, total: float | None, *, shown: bool, what: str = "") -> Iterator[Shown]:
        done: list[float] = []
        if total is not None:  # else of stages
            seen.append((total, done))
        yield Shown(lambda work=1: done.append(work), lambda name: None)

    monkeypatch.setattr(sys.modules["nif.pruning.prune"], "progress_bar", bar)  # the name is a function too
    model, x = case()
    nif.prune(model, flow_of(model, x, ["r1", "r2"]), x, remove=0.5, tolerance=tolerance, progress=True)
    ((total, done),) = seen
    assert total == 3 * (2 if tolerance is None else 3 + 5)  # three layers; 18 units are halved five times
    assert done[0] == 3 and 4 <= sum(done) <= total


def test_a_flow_of_another_model_is_refused() -> None:
    model, other = chain(4, 6, 3), nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Tanh()), nn.Linear(6, 3))
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"None of the hidden layers of the flow \(1.0\) runs in this model"):
        nif.prune(model, flow_of(other, x, ["1.0"]), x)
