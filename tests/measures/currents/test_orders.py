"""Ways through orders of groups of features: Shapley values of v, and hidden units that carry as much."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.types import UnitCurrents
from nif.data.groups import Groups
from nif.measures.currents.decisions import Classes
from nif.measures.currents.orders import Orders
from nif.measures.currents.sample import Sample
from support.currents import by_midpoints, measured, shapley_values, total, trained, units, value_on_the_way
from support.networks import chain

BITS = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()
GROUPS = np.array([0, 1, 2, 2, 2, 2])
LABELS = ((BITS[:, 0] != BITS[:, 1]).float() + BITS[:, 2] + BITS[:, 3] * BITS[:, 4] > 1).long()


def log_softmax(outputs: Tensor) -> Tensor:
    return outputs.log_softmax(-1)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Two classes from six bits, the last of which decides nothing."""
    return trained(chain(6, 16, 8, 2), BITS, LABELS)


def all_rows(net: nn.Module, x: Tensor) -> tuple[Sample, Classes]:
    """Every row is explained, and all others are its backgrounds: nothing is drawn."""
    decided = Classes(log_softmax, 2, "")
    return Sample.of(decided, net(x).detach(), 512, 512, np.random.default_rng(0)), decided


def by_enumeration(net: nn.Module, x: Tensor, index: np.ndarray) -> np.ndarray:
    """The mean rise of v over all orders of the groups, one order after the other."""
    sample, decided = all_rows(net, x)
    value = value_on_the_way(sample, decided, net(x).detach())
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    count = int(index.max()) + 1
    rises = np.zeros(count)
    for order in itertools.permutations(range(count)):
        known = np.zeros(len(index), bool)
        levels = []
        for group in (None, *order):
            known |= index == group
            with torch.no_grad():
                levels.append(float(value(net(torch.where(torch.from_numpy(known), here, there)))))
        rises[list(order)] += np.diff(levels) / math.factorial(count)
    return rises


@pytest.mark.slow
def test_all_orders_of_six_bits_give_their_shapley_values(net: nn.Module) -> None:
    x = BITS[:6]
    result = measured(net, x, path="orders", orders=32, backgrounds=5, steps=1)
    expected = shapley_values(net, x, *all_rows(net, x))
    assert result.options["path"] == "one of 6 groups of features after another, all orders"
    assert [layer.sum() for layer in units(result)] == pytest.approx([total(result)] * 4, rel=1e-5)
    np.testing.assert_allclose(units(result)[0], expected, rtol=0, atol=1e-5 * total(result))
    assert np.abs(expected - units(measured(net, x, backgrounds=5))[0]).max() > 0.01 * total(result)


def test_one_hot_groups_move_at_once() -> None:
    generator = torch.Generator().manual_seed(1)
    category = torch.randint(0, 3, (60, 2), generator=generator)
    x = torch.cat([nn.functional.one_hot(category, 3).flatten(1).float(), torch.randn(60, 1)], 1)
    y = ((category[:, 0] == category[:, 1]) ^ (x[:, 6] > 0.5)).long()
    net, index = trained(chain(7, 16, 2), x, y), np.array([0, 0, 0, 1, 1, 1, 2])
    result = measured(net, x, groups=index, path="orders", backgrounds=59, steps=1)
    expected = by_enumeration(net, x, index)
    np.testing.assert_allclose(units(result)[0], expected, rtol=0, atol=1e-5 * total(result))


def test_units_and_links_have_the_mean_of_midpoint_gradients_over_all_orders(net: nn.Sequential) -> None:
    x = BITS[:6]
    sample, decided = all_rows(net, x)
    expected = [np.zeros((16, 8)), np.zeros((8, 2))]
    hidden = np.zeros(16)
    for order in itertools.permutations(range(3)):
        known = torch.zeros(6, dtype=torch.bool)
        for group in order:
            more = known | torch.from_numpy(group == GROUPS)
            of_units, of_links = by_midpoints(net, x, sample, decided, steps=32, known=(known, more))
            hidden += of_units[2] / 6
            expected = [sums + links / 6 for sums, links in zip(expected, of_links[1:], strict=True)]
            known = more
    result = measured(net, x, groups=GROUPS, path="orders", backgrounds=5, steps=8)
    assert np.abs(units(result)[1] - hidden).max() <= 0.01 * total(result)
    for links, of_links in zip(result.links[1:], expected, strict=True):
        assert np.abs(links.nats - of_links).max() <= 0.01 * total(result)
    straight = units(measured(net, x, backgrounds=5, steps=8))[1]
    assert np.abs(straight - hidden).max() > 0.02 * total(result)


@pytest.mark.slow
def test_random_orders_have_the_shapley_values_as_their_mean(net: nn.Module) -> None:
    x, seeds = BITS[:6], range(10)
    expected = shapley_values(net, x, *all_rows(net, x))
    drawn = [
        units(measured(net, x, seed=seed, path="orders", orders=2, backgrounds=5, steps=1))[0]
        for seed in seeds
    ]
    error = np.std(drawn, axis=0, ddof=1) / math.sqrt(len(seeds))
    assert error.max() > 1e-4 * expected.sum()
    assert (np.abs(np.mean(drawn, axis=0) - expected) < 4 * error + 1e-6).all()


@pytest.mark.slow
def test_the_standard_error_holds_what_random_orders_add(net: nn.Module) -> None:
    """All rows are explained against all others, so that seeds change nothing but the orders."""

    def tables(orders: int, seed: int) -> UnitCurrents:
        result = measured(
            net, BITS, groups=GROUPS, path="orders", orders=orders, seed=seed, backgrounds=39, steps=1
        )
        assert result.currents is not None
        return result.currents.units[0]

    drawn, exact = [tables(1, seed) for seed in range(12)], [tables(4, seed) for seed in range(2)]
    added = np.mean([np.square(of_units.stderr) for of_units in drawn], axis=0)
    added -= np.mean([np.square(of_units.stderr) for of_units in exact], axis=0)
    between = np.var([of_units.nats for of_units in drawn], axis=0, ddof=1)
    assert 0.5 < added.sum() / between.sum() < 2


@pytest.mark.parametrize("orders", [1, 3])
def test_every_layer_carries_the_same(net: nn.Module, orders: int) -> None:
    result = measured(net, BITS, path="orders", orders=orders, steps=1, rows=10, backgrounds=5)
    for layer in units(result):
        assert layer.sum() == pytest.approx(total(result), abs=1e-5 * np.abs(layer).sum())
    assert result.links[0].nats.sum(1) == pytest.approx(units(result)[0], abs=1e-5 * total(result))


def test_classes_add_up_along_orders(net: nn.Module) -> None:
    result = measured(net, BITS, path="orders", orders=2, steps=1, rows=10, by_class=True)
    assert result.currents is not None
    assert result.currents.attribution.sum(1) == pytest.approx(units(result)[0], abs=1e-5 * total(result))


def test_one_group_of_all_features_takes_the_straight_way(net: nn.Module) -> None:
    groups = np.zeros(6, np.int64)
    one, other = (measured(net, BITS, groups=groups, path=path) for path in ("straight", "orders"))
    np.testing.assert_allclose(other.links[1].nats, one.links[1].nats, rtol=0, atol=1e-6)


def test_orders_come_in_pairs_and_weights_sum_to_one() -> None:
    rows = [torch.zeros(5, 2, 3)]
    some = Orders.of(rows, None, 4, np.random.default_rng(0))
    assert some.ranks is not None
    assert (some.ranks[2:] == 5 - some.ranks[:2]).all()
    assert (np.sort(some.ranks, axis=2) == np.arange(6)).all()
    groups = Groups(np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c"))
    for orders, steps in ((some, 6 * 4), (Orders.of(rows, groups, 4, np.random.default_rng(0)), 12)):
        ways = [(weight, len(list(shares)) - 1) for weight, shares in orders.ways(np.arange(5), 1)]
        assert sum(count for _, count in ways) == len(orders) == steps
        moves = sum(weight * count for weight, count in ways)
        assert moves == pytest.approx(orders.groups)  # each group once


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(nif.InputError, match="101 features would move one after another"):
        Orders.of([torch.zeros(2, 101)], None, 8, np.random.default_rng(0))
    with pytest.raises(nif.InputError, match="path is 'curved'; expected 'straight' or 'orders'"):
        nif.Currents(path="curved")
    with pytest.raises(nif.InputError, match="orders is 0; expected a whole number of 1 or more"):
        nif.Currents(orders=0)


def test_the_straight_way_is_the_default_and_is_stated(net: nn.Module) -> None:
    assert measured(net, BITS, rows=5).options["path"] == "straight"
