"""Relevance less redundancy: every choice of eq. 2 against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nif.estimators.estimate import Estimate
from nif.measures.association.decomposition import links, redundancy


def estimate(nats: np.ndarray, stderr: float = 0.1) -> Estimate:
    return Estimate.of(nats, stderr=stderr, p_value=0.5, samples=100, estimator="Ksg()")


@pytest.fixture
def within() -> np.ndarray:
    values = np.random.default_rng(0).uniform(size=(4, 4))
    return (values + values.T) / 2


def test_index_order_is_the_sum_over_earlier_units(within: np.ndarray) -> None:
    found = redundancy(estimate(within), "index").nats
    expected = [sum(within[i, j] for j in range(i)) for i in range(4)]
    np.testing.assert_allclose(found, expected)


def test_average_order_is_the_mean_over_all_numberings(within: np.ndarray) -> None:
    from itertools import permutations

    sums = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        for place, unit in enumerate(order):
            sums[unit] += sum(within[unit, other] for other in order[:place])
    found = redundancy(estimate(within), "average").nats
    np.testing.assert_allclose(found, sums / len(orders))


def test_average_order_does_not_depend_on_numbering(within: np.ndarray) -> None:
    shuffle = np.array([2, 0, 3, 1])
    found = redundancy(estimate(within)).nats
    renumbered = redundancy(estimate(within[np.ix_(shuffle, shuffle)])).nats
    np.testing.assert_allclose(renumbered, found[shuffle])


@pytest.mark.parametrize(("beta", "factor"), [(None, 1 / 3), (0.0, 0.0), (2.0, 2.0)])
def test_link_is_relevance_less_beta_times_redundancy(
    within: np.ndarray, beta: float | None, factor: float
) -> None:
    relevance = np.random.default_rng(1).uniform(size=(4, 2))
    shared = redundancy(estimate(within))
    found = links(estimate(relevance), shared, 0, 1, beta=beta)
    for i in range(4):
        others = sum(within[i, j] for j in range(4) if j != i) / 2
        np.testing.assert_allclose(found.nats[i], relevance[i] - factor * others)
    np.testing.assert_allclose(found.relevance, relevance)
    np.testing.assert_allclose(found.stderr, np.sqrt(0.1**2 + factor**2 * 3 * 0.05**2))


def test_a_layer_of_one_unit_has_no_redundancy() -> None:
    shared = redundancy(estimate(np.array([[0.7]])))
    assert shared.nats.tolist() == [0.0]
