"""Whether a Gaussian copula is all that there is: found where it is not, seldom where it is."""

from __future__ import annotations

import numpy as np
import pytest

from nif.estimators.neural.misfit import Misfit, overlooked, unexplained
from nif.estimators.ranks import normal_scores
from nif.estimators.truths import Truth, mapped
from nif.estimators.vector_truths import (
    equal_correlations,
    normal_vectors,
    spiral,
    student_vectors,
    two_pairs,
)

NORMAL = normal_vectors(equal_correlations(20), 10, "dense")
TWISTED = mapped(normal_vectors(two_pairs(10), 10, "pairs"), "spiral", spiral(0), spiral(1))
HEAVY = student_vectors(2.0, np.eye(6), 3, "Student")


def misfit_of(truth: Truth, seed: int, rows: int = 2000) -> Misfit:
    x, y = truth.sample(rows, seed)
    return Misfit.of(normal_scores(x), normal_scores(y))


def test_a_gaussian_copula_is_possible_at_the_level_of_the_test() -> None:
    assert np.mean([misfit_of(NORMAL, seed).possible for seed in range(20)]) >= 0.9


@pytest.mark.parametrize("truth", [TWISTED, HEAVY], ids=["spiral", "Student"])
def test_another_copula_is_found(truth: Truth) -> None:
    assert not any(misfit_of(truth, seed).possible for seed in range(5))


def test_few_rows_leave_it_open() -> None:
    assert not misfit_of(NORMAL, 0, rows=999).possible


def test_what_is_overlooked_is_that_of_a_slope_that_changes_with_the_length() -> None:
    x, noise = np.random.default_rng(0).standard_normal((2, 5000, 2))
    slope = np.clip((np.square(x).sum(axis=1, keepdims=True) - 2) / 2, -1.6, 3.2)
    y = slope * x + noise
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    expected = np.linalg.slogdet(left.T @ left / len(x))[1] / 2  # the noise has variance 1
    assert overlooked(x, unexplained(x, y)) == pytest.approx(expected, abs=0.03)
    assert overlooked(x, unexplained(x, noise)) < 0.01


def test_sides_that_determine_each_other_leave_nothing_to_test() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 2))
    assert Misfit.of(x, x[:, :1]) == Misfit(possible=False, overlooked=0.0)
