"""Exchanges after a greedy choice, against the cost of every choice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.pruning.rules.redundancy import Reader, elimination_order
from nif.pruning.rules.swaps import _gains, exchanged
from support.pruning_cases import flow_of, rows

UNITS = np.arange(8)


def reader(seed: int, features: int = 1, outputs: int = 3, units: int = 8) -> Reader:
    """Units of some features each, correlated, read by a random layer."""
    generator = torch.Generator().manual_seed(seed)
    count = units * features
    mixed = torch.randn(count, count + 2, generator=generator, dtype=torch.float64)
    weight = torch.randn(outputs, count, generator=generator, dtype=torch.float64)
    unit = np.repeat(np.arange(units), features)
    return Reader(torch.linalg.inv(mixed @ mixed.T / count), weight, unit)


def error(layer: Reader, gone: np.ndarray) -> float:
    """What is left of the outputs after least squares on the kept units, from the covariance itself."""
    covariance, weight = torch.linalg.inv(layer.inverse).numpy(), layer.weight.numpy()
    away = np.isin(layer.unit, gone)
    known = covariance[np.ix_(~away, ~away)]
    across = covariance[np.ix_(~away, away)]
    left = covariance[np.ix_(away, away)] - across.T @ np.linalg.solve(known, across)
    return float(np.trace(weight[:, away] @ left @ weight[:, away].T))


@pytest.mark.parametrize("features", [1, 3])
def test_the_cost_of_several_units_is_the_error_of_least_squares(features: int) -> None:
    layer = reader(0, features)
    for gone in ([2], [1, 5], [0, 3, 4, 7]):
        assert np.isclose(layer.cost_of(np.array(gone)), error(layer, np.array(gone)))
        rest = layer.without(np.array(gone))
        costs = [error(layer, np.array([*gone, unit])) - error(layer, np.array(gone)) for unit in rest.units]
        assert np.allclose(rest.costs(), costs)


@pytest.mark.parametrize("features", [1, 3])
def test_what_the_return_of_a_unit_gains_is_the_difference_of_two_costs(features: int) -> None:
    layer, gone = reader(1, features), np.array([6, 1, 4])
    known, gains = _gains(layer, gone)
    assert known.tolist() == [1, 4, 6]
    wanted = [error(layer, gone) - error(layer, gone[gone != unit]) for unit in known]
    assert np.allclose(gains, wanted)


@pytest.mark.parametrize("seed", range(12))
def test_exchanges_never_cost_more_and_end_where_no_exchange_of_the_best_helps(seed: int) -> None:
    layers = [reader(seed), reader(100 + seed, features=2)]
    order, _ = elimination_order([reader(seed), reader(100 + seed, features=2)], UNITS)
    greedy = order[:4]
    found = exchanged(layers, greedy, UNITS)
    costs = {
        gone: sum(error(layer, np.array(gone)) for layer in layers) for gone in combinations(range(8), 4)
    }
    before, after = (costs[tuple(sorted(gone.tolist()))] for gone in (greedy, found))
    assert len(set(found.tolist())) == 4
    assert min(costs.values()) - 1e-9 <= after <= before + 1e-9
    neighbours = [gone for gone in costs if len(set(gone) & set(found.tolist())) == 3]
    assert after <= min(costs[gone] for gone in neighbours) * (1 + 1e-6) + 1e-9
    assert exchanged(layers, greedy, UNITS, most=0).tolist() == greedy.tolist()


def test_some_greedy_choices_are_improved() -> None:
    improved, units = 0, np.arange(24)
    for seed in range(6):
        layers = [reader(seed, units=24), reader(100 + seed, units=24)]
        greedy = elimination_order([reader(seed, units=24), reader(100 + seed, units=24)], units)[0][:12]
        found = exchanged(layers, greedy, units)
        costs = [sum(layer.cost_of(gone) for layer in layers) for gone in (greedy, found)]
        assert costs[1] <= costs[0] + 1e-9
        improved += costs[1] < 0.995 * costs[0]
    assert improved >= 2


def test_a_pruned_network_is_nearer_to_the_original_with_exchanges() -> None:
    """Of layers that are random, in which many choices are almost as good as each other."""
    changes: dict[int, list[float]] = {0: [], 20: []}
    for seed in range(3):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(10, 60), nn.Tanh(), nn.Linear(60, 5)).eval()
        x, _ = rows(model, 10, count=600)
        flow = flow_of(model, x, ["1"])
        for exchanges, found in changes.items():
            small = nif.prune(model, flow, x, remove=0.6, tolerance=None, exchanges=exchanges, progress=False)
            assert len(small.removed) == 36
            with torch.no_grad():
                found.append(float((small.model(x) - model(x)).square().mean()))
    assert np.mean(changes[20]) < np.mean(changes[0])


def test_other_numbers_of_exchanges_are_refused() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    x, _ = rows(model, 6)
    with pytest.raises(InputError, match="exchanges is -1"):
        nif.prune(model, flow_of(model, x, ["1"]), x, exchanges=-1, progress=False)
