"""The Kolmogorov–Smirnov test: against the paper, its series, and all ways to deal the values."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from nif.comparison.kolmogorov_smirnov import asymptotic_p_value, kolmogorov_smirnov


@pytest.mark.parametrize(("d", "p"), [(1.0, 0.011), (0.75, 0.107), (0.25, 0.996)])
def test_asymptotic_p_values_are_those_of_the_paper(d: float, p: float) -> None:
    assert 0 <= asymptotic_p_value(d, 4, 4) - p < 1e-3  # the paper cuts off after three digits


def test_asymptotic_p_value_is_the_series_of_kolmogorov() -> None:
    root = math.sqrt(15 * 10 / 25)
    z = (root + 0.12 + 0.11 / root) * 0.4
    series = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k**2 * z**2) for k in range(1, 50))
    assert asymptotic_p_value(0.4, 15, 10) == pytest.approx(series, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.35, 1.0])
def test_exact_p_value_counts_all_ways_to_deal_the_values(shift: float) -> None:
    """Slow twin: of all ways to deal eight values into two sets of four, the share with as large a D."""
    first = np.array([0.1, 0.2, 0.3, 0.4])
    second = np.array([0.11, 0.21, 0.31, 0.41]) + shift
    pooled = np.concatenate([first, second])

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return max(abs((a <= t).mean() - (b <= t).mean()) for t in pooled)

    deals = [
        distance(pooled[list(chosen)], np.delete(pooled, chosen)) for chosen in combinations(range(8), 4)
    ]
    test = kolmogorov_smirnov(first, second)
    assert test.statistic == pytest.approx(distance(first, second))
    assert test.exact == pytest.approx(np.mean(np.array(deals) >= distance(first, second) - 1e-9))


def test_same_values_in_another_order_are_not_told_apart() -> None:
    """What the docstring warns of: the statistic does not see which feature has which value."""
    test = kolmogorov_smirnov(np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7]))
    assert (test.statistic, test.asymptotic, test.exact) == (0.0, 1.0, 1.0)
