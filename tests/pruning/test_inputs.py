"""Pruning of models with several inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nif
from nif.flow.flow import Flow
from nif.pruning.problem import PruningProblem, pruning_problem
from support.pruning_cases import OF_ASSOCIATION, drawn, importance_of, measured, small_one

pytestmark = pytest.mark.filterwarnings("ignore:The inputs are ids of categories:UserWarning")

ROWS = 200


class Summed(nn.Module):
    """Two inputs whose units are added to one another."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.join = nn.Linear(4, 9), nn.Linear(3, 9), nn.ReLU()
        self.next, self.act, self.head = nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        joined = self.join(self.left(a) + self.right(b))
        return self.head(self.act(self.next(joined)))


class Concatenated(Summed):
    """Two inputs whose units stand side by side; a third one that may be left out decides the path."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.next = nn.ReLU(), nn.Linear(18, 7)

    def forward(self, a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
        joined = torch.cat([self.join(self.left(a)), self.relu(self.right(b))], dim=1)
        if weight is not None:
            joined = joined * weight
        return self.head(self.act(self.next(joined)))


class Siamese(nn.Module):
    """One encoder for both inputs, whose codes are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU())
        self.head = nn.Linear(12, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        left, right = self.encoder(a), self.encoder(b)
        return self.head(torch.cat([left * right, torch.abs(left - right)], dim=1))


class Branching(Summed):
    """Its way depends on the data, so that it cannot be traced."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return super().forward(a if a.sum() < 1e9 else 2 * a, b)


class Captioned(nn.Module):
    """An image and a word."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.word = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Embedding(5, 6)
        self.mix, self.act, self.head = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, image: Tensor, word: Tensor) -> Tensor:
        seen = self.relu(self.conv(image)).mean((2, 3))
        return self.head(self.act(self.mix(seen) + 0.1 * self.mix(self.word(word[:, 0]))))


def pairs() -> dict[str, Tensor]:
    return {"a": drawn(4), "b": drawn(3, seed=1)}


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Tensor]]]] = {
    "summed": (Summed, pairs),
    "concatenated": (Concatenated, pairs),
    "siamese": (Siamese, lambda: {"a": drawn(4), "b": drawn(4, seed=1)}),
    "not traceable": (Branching, pairs),
    "image and word": (
        Captioned,
        lambda: {"image": drawn(1, 6, 6), "word": torch.arange(ROWS)[:, None] % 5},
    ),
}


def made(name: str, kind: torch.dtype = torch.float32) -> tuple[nn.Module, dict[str, Tensor]]:
    make, data = NETWORKS[name]
    torch.manual_seed(0)
    return make().eval().to(kind), data()


@cache
def flow_of_network(name: str, kind: torch.dtype) -> Flow:
    return measured(*made(name, kind))


def prepared(name: str, kind: torch.dtype = torch.float32) -> tuple[nn.Module, dict[str, Tensor], Flow]:
    return *made(name, kind), flow_of_network(name, kind)


@cache
def problems(name: str) -> list[PruningProblem]:
    """Without labels and with them; rules do not change them."""
    model, data, flow = prepared(name)
    gives = given(model, data)
    labelled = {**data, "label": (gives - gives.mean(0)).argmax(1)}
    return [pruning_problem(model, flow, rows) for rows in (data, labelled)]


@torch.no_grad()
def given(model: nn.Module, inputs: dict[str, Tensor]) -> Any:
    kind = next(model.parameters()).dtype
    cast = {name: x.to(kind) if x.is_floating_point() else x for name, x in inputs.items()}
    return model(**cast)


@pytest.mark.parametrize("how", ["linear", "mean", None])
@pytest.mark.parametrize("name", NETWORKS)
def test_cut_equals_zeroed(name: str, how: str | None) -> None:
    model, data, flow = prepared(name)
    before = copy.deepcopy(model.state_dict())
    options = {"remove": 0.4, "tolerance": None, "compensate": how}
    cut, zeroed = (small_one(model, flow, data, cut=cut, **options) for cut in (True, False))
    assert (cut.removed["how"] == "cut").all() and len(cut.removed) > 2
    assert cut.size_after.parameters < cut.size_before.parameters
    assert 0 < cut.size_after.flops < cut.size_before.flops
    assert torch.allclose(given(cut.model, data), given(zeroed.model, data), atol=1e-5)
    assert all(torch.equal(values, before[key]) for key, values in model.state_dict().items())


@pytest.mark.parametrize(("kind", "close"), [(torch.float16, 2e-2), (torch.float64, 1e-9)], ids=str)
@pytest.mark.parametrize("name", ["summed", "siamese"])
def test_every_precision(name: str, kind: torch.dtype, close: float) -> None:
    model, data, flow = prepared(name, kind)
    cut, zeroed = (small_one(model, flow, data, cut=cut, remove=0.4, tolerance=None) for cut in (True, False))
    assert {weight.dtype for weight in cut.model.parameters()} == {kind}
    assert (cut.removed["how"] == "cut").all()
    assert torch.allclose(given(cut.model, data), given(zeroed.model, data), atol=close)


class Named(Dataset[dict[str, Tensor]]):
    """Rows as mappings, with the labels among them."""

    def __init__(self, **columns: Tensor) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[index] for name, values in self.columns.items()}


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "tuple": lambda a, b, y: (a, b.numpy()),
    "mapping": lambda a, b, y: {"b": b, "a": a},
    "mapping with labels": lambda a, b, y: {"b": b, "labels": y, "a": a},
    "data set": TensorDataset,
    "loader": lambda a, b, y: DataLoader(TensorDataset(a, b, y), batch_size=64),
    "data set of mappings": lambda a, b, y: Named(a=a, b=b, label=y),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_of_every_form(form: str) -> None:
    model, data, flow = prepared("concatenated")
    y = given(model, data).argmax(1)
    small = small_one(model, flow, FORMS[form](data["a"], data["b"], y), remove="most", tolerance=0.05)
    assert small.score == ("largest change of output" if form in {"tuple", "mapping"} else "accuracy")
    assert abs(small.score_after - small.score_before) <= 0.05 + 1e-6
    assert len(small.removed) > 0


@pytest.mark.parametrize("rule", OF_ASSOCIATION)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_rule(name: str, rule: str) -> None:
    for problem in problems(name):
        assert len(np.unique(importance_of(rule, problem))) > 1 or rule == "silent"


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_shrunk(name: str, tmp_path: Path) -> None:
    model, data, flow = prepared(name)
    small = small_one(model, flow, data, remove=0.3, tolerance=None)
    small.save(tmp_path / "small.safetensors")
    fresh = nif.shrink(NETWORKS[name][0]().eval(), tmp_path / "small.safetensors")
    assert torch.equal(given(fresh, data), given(small.model, data))


def test_units_that_two_inputs_add_to_go_together() -> None:
    model, data, flow = prepared("summed")
    small = small_one(model, flow, data, remove={"join": 0.5}, tolerance=None)
    net: Any = small.model
    assert net.left.out_features == net.right.out_features == net.next.in_features == 5


def test_a_unit_of_a_shared_encoder_goes_from_both_of_its_runs() -> None:
    model, data, flow = prepared("siamese")
    small = small_one(model, flow, data, remove={"encoder.3": 0.5}, tolerance=None)
    places = {name: set(rows["index"]) for name, rows in small.removed.groupby("layer")}
    assert places["encoder.3"] == places["encoder.3#2"] and len(places["encoder.3"]) == 3
    assert small.model.get_parameter("head.weight").shape == (3, 6)


def test_the_importance_of_torch_pruning() -> None:
    import torch_pruning as tp

    from nif.pruning.torch_pruning import FlowImportance

    model, data, flow = prepared("concatenated")
    example = {name: values[:1] for name, values in data.items()}
    importance = FlowImportance(flow, model, data)
    tp.pruner.MagnitudePruner(
        model, example, importance=importance, pruning_ratio=1 / 3, ignored_layers=[model.head]
    ).step()
    net: Any = model
    assert (net.left.out_features, net.right.out_features, net.next.in_features) == (6, 6, 12)
