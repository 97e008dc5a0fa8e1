"""Relevance less redundancy: every choice of eq. 2 against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nif.core.errors import InputError
from nif.estimators.estimate import Estimate
from nif.measures.association.decomposition import DAVIS2019, Decomposition, links, redundancy


def estimate(nats: np.ndarray, stderr: float = 0.1) -> Estimate:
    return Estimate.of(nats, stderr=stderr, p_value=0.5, samples=100, estimator="Ksg()")


@pytest.fixture
def within() -> np.ndarray:
    values = np.random.default_rng(0).uniform(size=(4, 4))
    return (values + values.T) / 2


def test_index_order_is_the_sum_over_earlier_units(within: np.ndarray) -> None:
    found = redundancy(Decomposition(order="index"), estimate(within)).nats
    expected = [sum(within[i, j] for j in range(i)) for i in range(4)]
    np.testing.assert_allclose(found, expected)


def test_average_order_is_the_mean_over_all_numberings(within: np.ndarray) -> None:
    from itertools import permutations

    sums = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        for place, unit in enumerate(order):
            sums[unit] += sum(within[unit, other] for other in order[:place])
    found = redundancy(Decomposition(order="average"), estimate(within)).nats
    np.testing.assert_allclose(found, sums / len(orders))


def test_average_order_does_not_depend_on_numbering(within: np.ndarray) -> None:
    shuffle = np.array([2, 0, 3, 1])
    found = redundancy(Decomposition(), estimate(within)).nats
    renumbered = redundancy(Decomposition(), estimate(within[np.ix_(shuffle, shuffle)])).nats
    np.testing.assert_allclose(renumbered, found[shuffle])


@pytest.mark.parametrize(("beta", "factor"), [(None, 1 / 3), (0.0, 0.0), (2.0, 2.0)])
def test_link_is_relevance_less_beta_times_redundancy(
    within: np.ndarray, beta: float | None, factor: float
) -> None:
    decomposition = Decomposition(beta=beta)
    relevance = np.random.default_rng(1).uniform(size=(4, 2))
    shared = redundancy(decomposition, estimate(within))
    found = links(decomposition, estimate(relevance), shared, 0, 1)
    for i in range(4):
        others = sum(within[i, j] for j in range(4) if j != i) / 2
        np.testing.assert_allclose(found.nats[i], relevance[i] - factor * others)
    np.testing.assert_allclose(found.relevance, relevance)
    np.testing.assert_allclose(found.stderr, np.sqrt(0.1**2 + factor**2 * 3 * 0.05**2))


def test_a_layer_of_one_unit_has_no_redundancy() -> None:
    shared = redundancy(Decomposition(), estimate(np.array([[0.7]])))
    assert shared.nats.tolist() == [0.0]


def test_the_published_preset() -> None:
    assert DAVIS2019.as_dict() == {"beta": 1.0, "relevance": "layer", "order": "index", "critic": "joint"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevance": "neuron"}, "relevance is 'neuron'; expected 'unit' or 'layer'"),
        ({"order": "random"}, "order is 'random'"),
        ({"critic": "both"}, "critic is 'both'"),
        ({"beta": -1.0}, "beta is -1.0; expected a number from 0 up"),
        ({"beta": float("nan")}, "beta is nan"),
    ],
)
def test_unknown_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Decomposition(**options)
