"""The test of the most frequent values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from nif.estimators.atoms import atoms_p_value, with_test_of_atoms


class Fixed:
    """A generator whose uniform number is chosen."""

    def __init__(self, number: float) -> None:
        self.number = number

    def uniform(self) -> float:
        return self.number


@pytest.mark.parametrize("overlap", range(5))
def test_without_randomisation_it_is_fishers_exact_test(overlap: int) -> None:
    """Whatever the other values are: the most frequent one is marked."""
    x, y = np.arange(30.0), np.arange(30.0)[::-1].copy()
    x[:20] = -1.0
    y[20 - overlap :], y[: 10 - overlap] = 0.5, 0.5
    y[10 - overlap : 20 - overlap] = np.arange(10.0) + 40
    if (y == 0.5).sum() != 20:
        y[: 20 - (10 + overlap)] = 0.5
    marked = [(x == -1.0), (y == 0.5)]
    table = [[(a & b).sum() for b in (marked[1], ~marked[1])] for a in (marked[0], ~marked[0])]
    assert atoms_p_value(x, y, Fixed(1.0)) == pytest.approx(fisher_exact(table).pvalue)


def test_independent_values_are_rejected_exactly_at_the_level() -> None:
    """Also where Fisher's test, not randomised, would never reject: one in ten and one in six."""
    generator = np.random.default_rng(0)
    x, y = np.arange(60.0) >= 54, np.arange(60.0) >= 50
    p_values = [atoms_p_value(x * 1.0, generator.permutation(y) * 1.0, generator) for _ in range(400)]
    for level in (0.05, 0.5):
        assert np.mean(np.array(p_values) < level) == pytest.approx(level, abs=3 * (level / 400) ** 0.5)


def test_two_tests_are_combined_from_the_smaller() -> None:
    x = np.arange(40.0) % 2
    generator = np.random.default_rng(0)
    assert with_test_of_atoms(0.5, x, x, generator) < 1e-9
    assert with_test_of_atoms(1e-4, x, np.roll(np.arange(40.0) % 4, 1), generator) <= 2e-4
