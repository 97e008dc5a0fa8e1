"""The rules: each against its definition computed slowly, and what all of them promise."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import nif
from nif.core.errors import InputError
from nif.pruning.problem import PruningProblem, pruning_problem
from nif.pruning.rules import RULES
from nif.pruning.rules.redundancy import Reader, elimination_order
from nif.pruning.selection import cuttable, largest_harmless_subset, longest_harmless_prefix
from nif.pruning.sensitivity import readout
from support.networks import chain
from support.pruning_cases import NETWORKS, OF_ASSOCIATION, flow_of, network, rows

CURRENTS = nif.Currents(backgrounds=16, rows=40, steps=2, by_class=False, paths=0)

ROUGH = replace(CURRENTS, backgrounds=4, rows=16, steps=1)
"""For a rule that has to give a number to every unit, whatever it is."""


def prepared(*sizes: int) -> PruningProblem:
    model = chain(*sizes)
    x, y = rows(model, sizes[0], count=120)
    names = [str(1 + 2 * place) for place in range(len(sizes) - 2)]
    return pruning_problem(model, flow_of(model, x, names), TensorDataset(x, y))


@cache
def problem_of(name: str, currents: bool) -> PruningProblem:
    """That of a network of the table; rules do not change it."""
    model, x, y, layers = network(name)
    flow = nif.measure(model, x, ROUGH, layers=layers) if currents else flow_of(model, x, layers)
    return pruning_problem(model, flow, TensorDataset(x, y))


@pytest.mark.filterwarnings("ignore:.* backgrounds miss the total", "ignore:The model chooses its path")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_rule_scores_every_unit_of_every_network(rule: str, name: str) -> None:
    found = problem_of(name, rule == "current")
    units = cuttable(found)
    scores = RULES[rule](found, units, 0)
    assert scores.shape == units.shape
    assert np.isfinite(scores).all()
    assert rule == "silent" or len(np.unique(scores)) > 1  # all links have one p-value
    backwards = RULES[rule](found, units[::-1].copy(), 0)
    assert np.allclose(backwards[::-1], scores)
    assert (RULES[rule](found, units, 0) == scores).all()


def test_magnitude_is_the_norm_of_the_weights_that_make_a_unit() -> None:
    found = prepared(5, 6, 4, 3)
    scores = RULES["magnitude"](found, cuttable(found), 0)
    for layer, start, stop in ((0, 0, 6), (2, 6, 10)):
        norms = found.model[layer].weight.detach().numpy().astype(float)
        norms = np.sqrt((norms**2).sum(1))
        assert np.allclose(scores[start:stop], norms / norms.mean())


def test_current_is_the_absolute_current_relative_to_its_layer() -> None:
    model = chain(5, 6, 4, 3)
    x, y = rows(model, 5, count=120)
    flow = nif.measure(model, x, CURRENTS, layers=["1", "3"])
    found = pruning_problem(model, flow, TensorDataset(x, y))
    scores = RULES["current"](found, cuttable(found), 0)
    currents = [flow.neurons()["current"].loc[layer].abs().to_numpy() for layer in ("1", "3")]
    assert np.allclose(scores, np.concatenate([values / values.mean() for values in currents]))
    with pytest.raises(InputError, match="needs a flow of currents"):
        RULES["current"](prepared(5, 6, 3), np.arange(2), 0)


def test_silent_by_currents_is_what_the_decision_does_not_use() -> None:
    """Association finds that a unit which nothing reads tells much; it carries no current."""
    model = chain(5, 6, 4, 3)
    with torch.no_grad():
        model[2].weight[:, 1] = 0
        model[2].weight[:, 4] *= 1e-5
    x, _ = rows(model, 5, count=300)
    association = nif.prune(model, nif.measure(model, x, nif.Binned(), layers=["1", "3"]), x)
    assert not len(association.removed)
    small = nif.prune(model, nif.measure(model, x, CURRENTS, layers=["1", "3"]), x, tolerance=1e-3)
    assert set(zip(small.removed["layer"], small.removed["index"], strict=True)) >= {("1", 1), ("1", 4)}
    assert (small.model(x) - model(x)).abs().max() < 1e-3


def test_readout_is_the_squared_gradient_of_all_outputs() -> None:
    found = prepared(5, 6, 3)
    whole = torch.zeros(6, 6)
    for row in found.inputs[0]:
        slopes = torch.autograd.functional.jacobian(found.model[1:], found.model[0](row[None]).detach())[
            0, :, 0
        ]
        whole += slopes.T @ slopes
    assert torch.allclose(readout(found)["0"].float(), whole / len(found.inputs[0]), rtol=1e-4)


def test_readout_of_many_outputs_is_that_of_random_combinations() -> None:
    """The last layer reads itself: M is the identity, whose random version has it as its mean."""
    found = prepared(5, 6, 40)
    scale = readout(found)["2"]
    assert torch.diagonal(scale).mean() == pytest.approx(1, abs=0.2)
    assert (scale - torch.diag(torch.diagonal(scale))).mean().abs() < 0.05


def cost_of(covariance: np.ndarray, weight: np.ndarray, gone: np.ndarray) -> float:
    """Slow twin: error of the outputs when the others predict removed features by least squares."""
    kept = np.setdiff1d(np.arange(len(covariance)), gone)
    left = covariance[np.ix_(gone, gone)]
    if len(kept):
        across = covariance[np.ix_(gone, kept)]
        left = left - across @ np.linalg.solve(covariance[np.ix_(kept, kept)], across.T)
    return float(np.trace(weight[:, gone] @ left @ weight[:, gone].T))


@pytest.mark.parametrize("unit", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2], [3, 1, 3, 7, 1, 1]], ids=str)
def test_elimination_equals_trying_every_unit(unit: list[int]) -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 9))
    covariance, weight, unit_of = root @ root.T / 9, rng.normal(size=(4, 6)), np.array(unit)
    units = np.unique(unit_of)
    order, paid = elimination_order(
        [Reader(torch.from_numpy(np.linalg.inv(covariance)), torch.from_numpy(weight), unit_of)], units
    )
    gone: list[int] = []
    for chosen, cost in zip(order, paid, strict=True):
        trials = {
            int(one): cost_of(covariance, weight, np.flatnonzero(np.isin(unit_of, [*gone, one])))
            for one in units
            if one not in gone
        }
        before = cost_of(covariance, weight, np.flatnonzero(np.isin(unit_of, gone))) if gone else 0.0
        assert chosen == min(trials, key=trials.__getitem__)
        assert cost == pytest.approx(trials[int(chosen)] - before, rel=1e-6)
        gone.append(int(chosen))


@pytest.mark.parametrize("compensate", ["mean", None])
def test_contribution_is_the_error_that_the_mean_leaves_or_0(compensate: str | None) -> None:
    """The outputs are linear in the last units: the cost is the mean squared change of the outputs."""
    model = chain(5, 7, 3)
    with torch.no_grad():
        model[0].weight[3] *= 0.1  # hardly varies, around a large mean
        model[0].bias[3] = 4
    x, _ = rows(model, 5, count=200)
    found = pruning_problem(model, flow_of(model, x, ["1"]), x, compensate=compensate)
    order = np.argsort(RULES["contribution"](found, cuttable(found), 0))
    with torch.no_grad():
        units = model[:2](x).double().numpy()
    assert (order.tolist().index(3) == 6) == (compensate is None)  # without its mean it is missed most
    units -= units.mean(0) if compensate else 0
    weight = model[2].weight.detach().double().numpy()
    gone: list[int] = []
    for chosen in order:
        errors = {
            one: ((units[:, [*gone, one]] @ weight[:, [*gone, one]].T) ** 2).sum()
            for one in range(7)
            if one not in gone
        }
        assert chosen == min(errors, key=errors.__getitem__)
        gone.append(int(chosen))


def test_redundancy_removes_a_copy_before_a_unit_of_its_own() -> None:
    model = chain(5, 8, 3)
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = model[0].weight[6], model[0].bias[6]
        model[2].weight[:, [2, 6]] *= 4  # large weights on both copies do not save them
    x, _ = rows(model, 5)
    found = pruning_problem(model, flow_of(model, x, ["1"]), x)
    scores = RULES["redundancy"](found, cuttable(found), 0)
    with torch.no_grad():
        dead = (model[:2](x).std(0) < 1e-3).numpy()
    assert int(np.where(dead, np.inf, scores).argmin()) in {2, 6}
    assert int(scores.argmax()) in {2, 6}


def test_what_nothing_reads_goes_first_by_redundancy() -> None:
    model = chain(5, 8, 3)
    with torch.no_grad():
        model[2].weight[:, 4] = 0
    x, _ = rows(model, 5)
    found = pruning_problem(model, flow_of(model, x, ["1"]), x)
    assert RULES["redundancy"](found, cuttable(found), 0).argmin() == 4


def test_rules_leave_the_network_as_it_was() -> None:
    found = prepared(5, 6, 4, 3)
    before = copy.deepcopy(found.model.state_dict())
    for rule in OF_ASSOCIATION:
        RULES[rule](found, cuttable(found), 0)
    assert all(torch.equal(value, before[name]) for name, value in found.model.state_dict().items())
    assert all(weight.grad is None for weight in found.model.parameters())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=6))
def test_halving_finds_every_harmless_unit(count: int, harmful: set[int]) -> None:
    found = largest_harmless_subset(np.arange(count), lambda gone: not harmful & set(gone.tolist()))
    assert set(found.tolist()) == set(range(count)) - harmful


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_bisection_finds_the_longest_beginning(count: int, allowed: int) -> None:
    assert len(longest_harmless_prefix(np.arange(count), lambda gone: len(gone) <= allowed)) == min(
        count, allowed
    )


class Frozen(nn.Module):
    """The same network, part of which gives no gradients."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.body, self.middle, self.head = how, nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "no_grad":
            with torch.no_grad():
                x = self.body(x).relu()
        elif self.how == "inference_mode":
            with torch.inference_mode():
                x = self.body(x).relu()
            x = x.clone()
        else:
            x = self.body(x).relu()
        head: Tensor = self.head(self.middle(x.detach() if self.how == "detach" else x).relu())
        return head


@pytest.mark.parametrize("how", ["no_grad", "inference_mode", "detach"])
@pytest.mark.parametrize("rule", ["redundancy", "contribution"])
def test_a_frozen_part_is_pruned_as_any_other(how: str, rule: str) -> None:
    x = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    flow = nif.measure(Frozen(""), x, nif.GaussianCopula(), progress=False)
    plain, frozen = (
        nif.prune(Frozen(kind), flow, x, remove=0.4, tolerance=None, rule=rule, progress=False)
        for kind in ("", how)
    )
    assert frozen.removed["unit"].tolist() == plain.removed["unit"].tolist()
    assert frozen.score_after == pytest.approx(plain.score_after, rel=1e-4)
