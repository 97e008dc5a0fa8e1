"""Pruning of models with several inputs and of models that return several tensors."""

from __future__ import annotations

import copy
import warnings
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import nif
from nif.contracts import InputError
from nif.flow import Flow
from nif.pruning import RULES, Pruned
from nif.pruning.selection import cuttable
from nif.pruning.subject import Subject, subject

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
    """Its way depends on the data, so that it can not be traced."""

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


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(seed))


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


def prepared(name: str, kind: torch.dtype = torch.float32) -> tuple[nn.Module, dict[str, Tensor], Flow]:
    make, data = NETWORKS[name]
    torch.manual_seed(0)
    model, inputs = make().eval().to(kind), data()
    return model, inputs, measured(model, inputs)


def measured(model: nn.Module, data: Any, output: int | str | None = None) -> Flow:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The model chooses its path by the data")
        return nif.measure(model, data, estimator=nif.Binned(), output=output, progress=False)


def small_one(model: nn.Module, flow: Flow, data: Any, **options: Any) -> Pruned:
    return nif.prune(model, flow, data, progress=False, **options)


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


def scores_of(rule: str, found: Subject) -> Float[np.ndarray, " unit"]:
    units = cuttable(found)
    scores = RULES[rule](found, units, 0)
    assert scores.shape == units.shape and np.isfinite(scores).all()
    return scores


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_rule(name: str, rule: str) -> None:
    model, data, flow = prepared(name)
    gives = given(model, data)
    for rows in (data, {**data, "label": (gives - gives.mean(0)).argmax(1)}):
        assert len(np.unique(scores_of(rule, subject(model, flow, rows)))) > 1 or rule == "silent"


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


def two_heads(kind: str, *, branching: bool = False) -> tuple[TwoHeads, Tensor, Flow]:
    """With units of the trunk that are constant: 3 at 0, and 5 at 2."""
    torch.manual_seed(0)
    model = TwoHeads(KINDS[kind][0], branching=branching).eval()
    with torch.no_grad():
        model.trunk.weight[[3, 5]] = 0
        model.trunk.bias[3], model.trunk.bias[5] = -1, 2
    x = drawn(5)
    return model, x, measured(model, x, KINDS[kind][1])


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


@pytest.mark.parametrize("rule", RULES)
def test_rules_with_a_head_that_is_not_measured(rule: str) -> None:
    model, x, flow = two_heads("tuple")
    y = (model(x)[0] - model(x)[0].mean(0)).argmax(1)
    both, one = (subject(model, flow, data, 0) for data in (x, TensorDataset(x, y)))
    with torch.no_grad():
        for network in (both.model, one.model):
            network.get_parameter("policy.weight")[:, :6] = 0
    scores, of_both = scores_of(rule, one), scores_of(rule, both)
    if rule in {"contribution", "taylor"}:
        assert scores[:6].max() <= scores[6:].min()
    if rule == "taylor":  # without labels, what the other head reads counts too
        assert scores[:6].max() == 0 < of_both[:6].max()


@pytest.mark.parametrize("compensate", ["linear", "mean", None])
def test_cut_equals_zeroed_in_every_output(compensate: str | None) -> None:
    model, x, flow = two_heads("tuple")
    options = {"remove": 0.5, "tolerance": None, "compensate": compensate, "output": 0}
    cut, zeroed = (small_one(model, flow, x, cut=cut, **options) for cut in (True, False))
    assert len(cut.removed) == 6 and (cut.removed["how"] == "cut").all()
    with torch.no_grad():
        for one, other in zip(cut.model(x), zeroed.model(x), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def in_order(subject: Subject, units: np.ndarray, seed: int) -> Float[np.ndarray, " unit"]:
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
    assert len(small.put_back) > 0


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
    assert f"Outputs that accuracy does not see moved by up to {moved:.3g}" in repr(small)


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

    from nif.torch_pruning import FlowImportance

    model, data, flow = prepared("concatenated")
    example = {name: values[:1] for name, values in data.items()}
    importance = FlowImportance(flow, model, data)
    tp.pruner.MagnitudePruner(
        model, example, importance=importance, pruning_ratio=1 / 3, ignored_layers=[model.head]
    ).step()
    net: Any = model
    assert (net.left.out_features, net.right.out_features, net.next.in_features) == (6, 6, 12)
    heads, x, of_heads = two_heads("tuple")
    worth = FlowImportance(of_heads, heads, x, output=0)
    tp.pruner.MagnitudePruner(
        heads, x[:1], importance=worth, pruning_ratio=0.25, ignored_layers=[heads.policy, heads.value]
    ).step()
    assert heads.trunk.out_features == 9 and np.isfinite(heads(x)[0].detach().numpy()).all()
