"""Pruning of models that return several tensors, of which one is measured."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.network.forward import every_output
from nif.pruning.problem import PruningProblem, pruning_problem
from support.pruning_cases import OF_ASSOCIATION, drawn, importance_of, measured, small_one

ROWS = 200

Pair = namedtuple("Pair", ["policy", "value"])


@dataclass
class Both:
    """What a model with two heads returns."""

    policy: Tensor
    value: Tensor


KINDS: dict[str, tuple[Callable[[Tensor, Tensor], Any], int | str, Callable[[Any], Tensor]]] = {
    "tuple": (lambda p, v: (p, v), 0, lambda out: out[1]),
    "nested": (lambda p, v: (p, {"inner": [v]}), 0, lambda out: out[1]["inner"][0]),
    "mapping": (lambda p, v: {"value": v, "policy": p}, "policy", lambda out: out["value"]),
    "named tuple": (Pair, "policy", lambda out: out.value),
    "data class": (Both, "policy", lambda out: out.value),
    "object": (lambda p, v: SimpleNamespace(policy=p, value=v), "policy", lambda out: out.value),
}
"""How two heads are returned, which one is meant, and where the other is."""


class TwoHeads(nn.Module):
    """A trunk read by a head that is measured, and by a branch that is not."""

    def __init__(self, returns: Callable[[Tensor, Tensor], Any], *, branching: bool = False) -> None:
        super().__init__()
        self.returns, self.branching = returns, branching
        self.trunk, self.relu, self.policy = nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 3)
        self.branch, self.act, self.value = nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Any:
        if self.branching and x.sum() > 1e9:
            x = 2 * x
        units = self.relu(self.trunk(x))
        return self.returns(self.policy(units), self.value(self.act(self.branch(units))))


def untrained(kind: str, branching: bool) -> tuple[TwoHeads, Tensor]:
    """With units of the trunk that are constant: 3 at 0, and 5 at 2."""
    torch.manual_seed(0)
    model = TwoHeads(KINDS[kind][0], branching=branching).eval()
    with torch.no_grad():
        model.trunk.weight[[3, 5]] = 0
        model.trunk.bias[3], model.trunk.bias[5] = -1, 2
    return model, drawn(5)


@cache
def flow_of_policy(kind: str, branching: bool) -> Flow:
    return measured(*untrained(kind, branching), KINDS[kind][1])


def two_heads(kind: str, *, branching: bool = False) -> tuple[TwoHeads, Tensor, Flow]:
    return *untrained(kind, branching), flow_of_policy(kind, branching)


@pytest.mark.parametrize("branching", [False, True], ids=["traced", "not traceable"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_another_head_reads_is_made_up_for_there_too(kind: str, branching: bool, tmp_path: Path) -> None:
    model, x, flow = two_heads(kind, branching=branching)
    _, policy, value = KINDS[kind]
    small = small_one(model, flow, x, output=policy)
    assert set(small.removed["index"]) == {3, 5} and (small.removed["how"] == "cut").all()
    net: Any = small.model
    assert net.trunk.out_features == net.policy.in_features == net.branch.in_features == 10
    with torch.no_grad():
        assert (value(small.model(x)) - value(model(x))).abs().max() < 1e-5
    small.save(tmp_path / "small.safetensors")
    fresh = nif.shrink(TwoHeads(KINDS[kind][0]).eval(), tmp_path / "small.safetensors")
    with torch.no_grad():
        assert torch.equal(value(fresh(x)), value(net(x)))


@pytest.mark.parametrize("rule", OF_ASSOCIATION)
def test_rules_with_a_head_that_is_not_measured(rule: str) -> None:
    model, x, flow = two_heads("tuple")
    y = (model(x)[0] - model(x)[0].mean(0)).argmax(1)
    both, one = (pruning_problem(model, flow, data, 0) for data in (x, TensorDataset(x, y)))
    with torch.no_grad():
        for network in (both.model, one.model):
            network.get_parameter("policy.weight")[:, :6] = 0
    importance, of_both = importance_of(rule, one), importance_of(rule, both)
    if rule == "contribution":  # without labels, what the other head reads counts too
        assert importance[:6].max() <= importance[6:].min()
        assert of_both[:6].max() > of_both[6:].min()


@pytest.mark.parametrize("compensate", ["linear", "mean", None])
def test_cut_equals_zeroed_in_every_output(compensate: str | None) -> None:
    model, x, flow = two_heads("tuple")
    options = {"remove": 0.5, "tolerance": None, "compensate": compensate, "output": 0}
    cut, zeroed = (small_one(model, flow, x, cut=cut, **options) for cut in (True, False))
    assert len(cut.removed) == 6 and (cut.removed["how"] == "cut").all()
    with torch.no_grad():
        for one, other in zip(cut.model(x), zeroed.model(x), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def in_order(problem: PruningProblem, units: np.ndarray, seed: int) -> Float[np.ndarray, " unit"]:
    """A rule for tests: the units as they are numbered."""
    return units.astype(float)


def test_without_labels_the_promise_is_for_every_output() -> None:
    model, x, flow = two_heads("tuple")
    with torch.no_grad():
        model.policy.weight[:, :6] = 0  # only the other head reads these
    small = small_one(model, flow, x, output=0, remove={"relu": 0.5}, rule=in_order, tolerance=0.01)
    with torch.no_grad():
        apart = [float((a - b).abs().max()) for a, b in zip(small.model(x), model(x), strict=True)]
    assert max(apart) == pytest.approx(small.score_after, abs=1e-6)
    assert small.score_after <= 0.01 + 1e-5
    assert len(small.restored) > 0


def test_with_labels_the_result_says_how_far_other_outputs_moved() -> None:
    model, x, flow = two_heads("tuple")
    with torch.no_grad():
        model.policy.weight[:, :6] = 0
        model.policy.bias -= model(x)[0].mean(0)
        rows = TensorDataset(x, model(x)[0].argmax(1))
    small = small_one(model, flow, rows, output=0, remove={"relu": 0.5}, rule=in_order, compensate="mean")
    assert small.removed["index"].tolist() == [*range(6)]
    assert small.score_after == small.score_before == 1
    with torch.no_grad():
        moved = float((small.model(x)[1] - model(x)[1]).abs().max())
    assert f"Outputs not used for the accuracy changed by up to {moved:.3g}" in repr(small)


@pytest.mark.parametrize("branching", [False, True], ids=["traced", "not traceable"])
def test_units_that_the_model_returns_stay(branching: bool) -> None:
    torch.manual_seed(0)

    class Features(TwoHeads):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            if self.branching and x.sum() > 1e9:
                x = 2 * x
            units = self.relu(self.trunk(x))
            return self.value(self.act(self.branch(units))), units

    model, x = Features(lambda *out: out, branching=branching).eval(), drawn(5)
    flow = measured(model, x, 0)
    small = small_one(model, flow, x, output=0, remove=0.5, tolerance=None)
    assert set(small.removed["layer"]) == {"act"} and (small.removed["how"] == "cut").all()
    assert "'relu' is left whole: the model returns its units" in repr(small)
    with torch.no_grad():
        assert torch.equal(small.model(x)[1], model(x)[1])
    with pytest.raises(InputError, match="'relu' is left whole: the model returns its units"):
        small_one(model, flow, x, output=0, remove={"relu": 0.5})


class Halves(nn.Module):
    """One layer of two halves, of which a second output reads the first only."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(5, 6)
        self.relu, self.policy, self.value = nn.ReLU(), nn.Linear(12, 3), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        return self.policy(self.relu(torch.cat([first, self.second(x)], dim=1))), self.value(first)


@pytest.mark.parametrize("compensate", ["linear", "mean"])
def test_an_output_that_loses_all_it_reads_keeps_its_mean(compensate: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Halves().eval(), drawn(5)
    options = {"remove": {"relu": 0.5}, "rule": in_order, "tolerance": None, "compensate": compensate}
    small = small_one(model, measured(model, x, 0), x, output=0, **options)
    assert small.model.get_parameter("value.weight").shape == (1, 0)
    small.save(tmp_path / "small.safetensors")
    with torch.no_grad():
        value = nif.shrink(Halves().eval(), tmp_path / "small.safetensors")(x)[1]
        assert torch.allclose(value, model(x)[1].mean().expand(ROWS, 1), atol=1e-5)


def test_outputs_that_are_no_rows_or_no_real_numbers_do_no_harm() -> None:
    def returns(policy: Tensor, value: Tensor) -> Any:
        hidden = torch.full_like(policy, -torch.inf)
        return {"policy": policy, "loss": value.mean(), "best": policy.argmax(1), "mask": hidden, "note": "x"}

    torch.manual_seed(0)
    model, x = TwoHeads(returns).eval(), drawn(5)
    with torch.no_grad():
        model.trunk.weight[3], model.trunk.bias[3] = 0, 2
    flow = measured(model, x, "policy")
    small = small_one(model, flow, x, output="policy")
    assert small.removed["index"].tolist() == [3] and small.score_after < 1e-5
    assert len(small_one(model, flow, x, output="policy", remove=0.5, tolerance=None).removed) == 6


def test_what_a_model_returns_may_hold_itself() -> None:
    returned: dict[str, Any] = {"policy": torch.zeros(1)}
    returned["again"] = [returned, returned["policy"]]
    assert len(every_output(returned)) == 1


def test_an_output_must_be_chosen_and_be_there() -> None:
    model, x, flow = two_heads("mapping")
    with pytest.raises(InputError, match=r"Choose one: output='value', output='policy'"):
        small_one(model, flow, x)
    with pytest.raises(InputError, match="Did you mean 'policy'"):
        small_one(model, flow, x, output="polic")


def test_a_large_output_does_not_hide_the_change_of_a_small_one() -> None:
    model, x, _ = two_heads("tuple")
    with torch.no_grad():
        model.value.weight *= 1e6
        model.policy.weight[:, 0] *= 10
    flow = measured(model, x, 0)
    small = small_one(model, flow, x, output=0, remove=0.9, tolerance=0.0)
    with torch.no_grad():
        assert (small.model(x)[0] - model(x)[0]).abs().max() < 1e-4


def test_the_importance_of_torch_pruning() -> None:
    import torch_pruning as tp

    from nif.pruning.torch_pruning import FlowImportance

    model, x, flow = two_heads("tuple")
    importance = FlowImportance(flow, model, x, output=0)
    tp.pruner.MagnitudePruner(
        model, x[:1], importance=importance, pruning_ratio=0.25, ignored_layers=[model.policy, model.value]
    ).step()
    assert model.trunk.out_features == 9 and np.isfinite(model(x)[0].detach().numpy()).all()
