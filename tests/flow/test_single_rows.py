"""Every way to read the currents of a single row, on three networks, against exact values.

A network with a shortcut against 512 midpoint steps of every unit; twelve classes and two values, whose
information is a sum over features, against what each feature gains alone; all of them against Shapley values
by enumeration where features move one after another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.comparison.captum import InformationFlow

DATA, GIVEN = (
    1.5 * torch.randn(count, 4, generator=torch.Generator().manual_seed(count)).double() for count in (12, 3)
)


class Skip(nn.Module):
    """A block that a shortcut leads past, and an output that reads the features too; three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.inner, self.tanh = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh()
        self.out, self.past = nn.Linear(5, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.relu(self.first(x)), x)

    def after(self, hidden: Tensor, x: Tensor) -> Tensor:
        return 3 * (self.out(hidden + self.tanh(self.inner(hidden))) + self.past(x))


class Apart(nn.Module):
    """Small networks of two features each, whose outputs are `joined`."""

    def __init__(self, sizes: tuple[int, int], joined: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, n)) for n in sizes)
        self.joined = joined

    def each(self, x: Tensor) -> list[Tensor]:
        return [3 * part(pair) for part, pair in zip(self.parts, x.split(2, 1), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        return self.joined(*self.each(x))


def every_pair(first: Tensor, second: Tensor) -> Tensor:
    """Twelve probabilities: the products of those of three and of four alternatives."""
    both = first.softmax(1)[:, :, None] * second.softmax(1)[:, None, :]
    return (both.flatten(1)).log().softmax(1)


def side_by_side(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second], dim=1)


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double()


def twelve() -> nn.Module:
    return made(lambda: Apart((3, 4), every_pair))


def two_values() -> nn.Module:
    return made(lambda: Apart((1, 1), side_by_side))


NETWORKS = {"skip": lambda: made(Skip), "twelve classes": twelve, "two values": two_values}

METHOD = nif.Currents(backgrounds=len(DATA), steps=64, paths=0)


def method_of(name: str, **options: Any) -> nif.Currents:
    """Each given row against all of the data; two outputs could be two logits."""
    return replace(METHOD, decision="value" if name == "two values" else None, **options)


MIDDLES = ((torch.arange(512, dtype=torch.float64) + 0.5) / 512)[:, None, None]
"""Of 512 steps."""

Terms = Callable[[Tensor, Tensor], Tensor]
"""The terms of v of each class or value: of outputs ``[..., background, output]``, at those of a row."""


def terms_of(name: str, net: nn.Module, data: Tensor, nodes: int = 9) -> Terms:
    """By the definition; values behind noise of .2 of their deviation in the data, by nodes."""
    if name != "two values":
        probabilities = (lambda o: o) if name == "twelve classes" else (lambda o: o.softmax(-1))
        return lambda there, here: probabilities(here)[0] * probabilities(there).mean(-2).log()
    places, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    noise = 0.2 * net(data).detach().std(0)

    def values(there: Tensor, here: Tensor) -> Tensor:
        seen = (here + noise * places[:, None])[:, None]
        density = torch.distributions.Normal(there[..., None, :, :], noise).log_prob(seen).exp().mean(-2)
        return (weights[:, None] / weights.sum() * density.log()).sum(-2)

    return values


def explained(net: nn.Module, method: nif.Currents, data: Tensor = DATA) -> nif.Flow:
    return nif.measure(net, data, method, explain=GIVEN, progress=False)


def shapley(net: nn.Module, data: Tensor, row: Tensor, terms: Terms) -> Tensor:
    """``[feature, term]``: the mean rise over all orders of the four features."""
    here = net(row[None]).detach()
    found = torch.zeros(4, len(terms(here, here)), dtype=torch.float64)
    for order in itertools.permutations(range(4)):
        there = data.clone()
        before = terms(net(there).detach(), here)
        for feature in order:
            there[:, feature] = row[feature]
            after = terms(net(there).detach(), here)
            found[feature] += (after - before) / math.factorial(4)
            before = after
    return found


def readings(net: nn.Module, flow: nif.Flow, terms: Terms, method: nif.Currents) -> np.ndarray:
    """``[row, feature, term]``, once all ways to read it agree with each other and with v at both ends."""
    whole, by_class = flow.to_shap(by_class=False), flow.to_shap()
    np.testing.assert_array_equal(whole.values, flow.local())
    for place, row in enumerate(GIVEN):
        here = net(row[None]).detach()
        base, value = terms(net(DATA).detach(), here), terms(here, here)
        units = flow.local(place)["current"]
        np.testing.assert_allclose(units.loc["input"], flow.local().loc[place], atol=1e-12)
        assert units.loc["input"].sum() == pytest.approx(float((value - base).sum()), abs=1e-6)
        assert units.loc["output"].sum() == pytest.approx(float((value - base).sum()), abs=1e-6)
        np.testing.assert_allclose(by_class.base_values[place], base, atol=1e-6)
        np.testing.assert_allclose(
            by_class.base_values[place] + by_class.values[place].sum(0), value, atol=1e-6
        )
        assert whole.base_values[place] == pytest.approx(float(base.sum()), abs=1e-6)
    np.testing.assert_allclose(by_class.values.sum(2), whole.values, atol=1e-6)
    captum = InformationFlow(net, DATA, method)
    found, missed = captum.attribute(GIVEN, return_convergence_delta=True)
    np.testing.assert_allclose(found, whole.values, atol=1e-6)
    np.testing.assert_allclose(missed, 0, atol=1e-6)
    targets = [2, 0, 1] if by_class.shape[2] > 2 else [1, 0, 0]
    chosen = captum.attribute(GIVEN, target=targets)
    np.testing.assert_allclose(chosen, by_class.values[np.arange(len(GIVEN)), :, targets], atol=1e-6)
    return np.asarray(by_class.values)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_along_orders_all_readings_are_shapley_values_by_enumeration(name: str) -> None:
    net, method = NETWORKS[name](), method_of(name, steps=1, path="orders", orders=24)
    terms = terms_of(name, net, DATA)
    values = readings(net, explained(net, method), terms, method)
    for place, row in enumerate(GIVEN):
        np.testing.assert_allclose(values[place], shapley(net, DATA, row, terms), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_the_straight_way_all_readings_add_up_and_are_the_midpoint_integral(name: str) -> None:
    net, method = NETWORKS[name](), method_of(name, steps=64 if name == "two values" else 32)
    terms = terms_of(name, net, DATA)
    values = readings(net, explained(net, method), terms, method)
    for place, row in enumerate(GIVEN):
        there = (DATA + MIDDLES * (row - DATA)).requires_grad_()
        of_steps = terms(net(there.flatten(0, 1)).unflatten(0, there.shape[:2]), net(row[None]).detach())
        slopes = [torch.autograd.grad(v, there, retain_graph=True)[0] for v in of_steps.sum(0)]
        found = torch.stack([(slope * (row - DATA)).mean(0).sum(0) for slope in slopes], 1)
        np.testing.assert_allclose(values[place], found, atol=2e-3 * float(found.sum()))


def test_units_of_a_row_are_conductance_and_a_shortcut_carries_the_rest() -> None:
    """The move of a unit in each of 512 steps, times the slope in its middle past no other recorded layer."""
    net = made(Skip)
    flow, terms = explained(net, METHOD), terms_of("skip", net, DATA)
    for place, row in enumerate(GIVEN):
        here, there = net(row[None]).detach(), DATA + MIDDLES * (row - DATA)
        before, after = (hidden_of(net, there + side / 1024 * (row - DATA)) for side in (-1, 1))
        hidden, inner = (values.requires_grad_() for values in hidden_of(net, there).values())
        outputs = {
            "relu": net.after(hidden, there),
            "tanh": 3 * (net.out(hidden.detach() + inner) + net.past(there)),
        }
        units = flow.local(place)["current"]
        rise = float((terms(here, here) - terms(net(DATA).detach(), here)).sum())
        for (name, output), unit in zip(outputs.items(), (hidden, inner), strict=True):
            (slope,) = torch.autograd.grad(terms(output, here).sum(), unit)
            expected = (slope * (after[name] - before[name])).sum((0, 1))
            np.testing.assert_allclose(units.loc[name], expected, atol=2e-3 * rise)
        assert abs(units.loc["relu"].sum() - rise) > 1e-2 * rise  # what the features lead past it


def hidden_of(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    hidden = net.relu(net.first(x)).detach()
    return {"relu": hidden, "tanh": net.tanh(net.inner(hidden)).detach()}


def test_of_an_additive_decision_each_part_has_what_it_gains_alone() -> None:
    """On any way: the two values do not share a feature, and so do twelve classes from one background."""
    net = two_values()
    flow, terms = explained(net, method_of("two values")), terms_of("two values", net, DATA)
    for place, row in enumerate(GIVEN):
        here = net(row[None]).detach()
        rises = terms(here, here) - terms(net(DATA).detach(), here)
        pairs = flow.local().loc[place].to_numpy().reshape(2, 2).sum(1)
        np.testing.assert_allclose(pairs, rises, atol=1e-6)
    values = np.asarray(flow.to_shap().values)
    np.testing.assert_array_equal(values[:, :2, 1], 0)
    np.testing.assert_array_equal(values[:, 2:, 0], 0)
    net, one = twelve(), DATA[:1]
    with pytest.warns(UserWarning):
        alone = explained(net, METHOD, one)
    for place, row in enumerate(GIVEN):
        parts = zip(net.each(row[None]), net.each(one), strict=True)
        rises = [(p.softmax(1) * (p.log_softmax(1) - q.log_softmax(1))).sum().item() for p, q in parts]
        pairs = alone.local().loc[place].to_numpy().reshape(2, 2).sum(1)
        np.testing.assert_allclose(pairs, rises, atol=1e-6)
