"""The Student copula: exact scores, parameters recovered from samples, and degenerate columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student_t

from nif.estimators.ranks import normal_scores
from nif.estimators.student_copula import MOST_FREEDOM, StudentCopula, student_scores
from nif.estimators.vector_truths import equal_correlations, normal_vectors, student_vectors


@pytest.mark.parametrize("freedom", [0.5, 1.0, 4.5, 60.0])
def test_scores_are_quantiles(freedom: float) -> None:
    z = np.linspace(-4.5, 4.5, 101)
    assert student_scores(z, freedom) == pytest.approx(
        student_t.ppf(norm.cdf(z), freedom), rel=2e-5, abs=1e-6
    )


@pytest.mark.parametrize("freedom", [1.0, 3.0, 8.0])
def test_freedom_and_correlations_are_recovered_whatever_the_margins(freedom: float) -> None:
    dispersion = equal_correlations(4, 0.5)
    x, y = student_vectors(freedom, dispersion, 2, "Student").sample(8_000, seed=0)
    columns = np.hstack([np.arcsinh(x), y**3])
    copula = StudentCopula.fit(normal_scores(columns))
    assert copula.freedom == pytest.approx(freedom, rel=0.15)
    assert copula.correlations == pytest.approx(dispersion, abs=0.04)


def test_a_normal_copula_has_many_degrees_of_freedom() -> None:
    x, y = normal_vectors(equal_correlations(4, 0.5), 2, "normal").sample(4_000, seed=0)
    copula = StudentCopula.fit(normal_scores(np.hstack([x, y])))
    assert 40 < copula.freedom <= MOST_FREEDOM


def test_precisions_are_inverses_of_the_blocks() -> None:
    matrix = equal_correlations(5, 0.3)
    both, of_x, of_y = StudentCopula(3.0, matrix).precisions(2)
    for precision, block in ((both, matrix), (of_x, matrix[:2, :2]), (of_y, matrix[2:, 2:])):
        assert precision @ block == pytest.approx(np.eye(len(block)))


def test_constant_and_equal_columns_are_finite() -> None:
    columns = np.random.default_rng(0).standard_normal((300, 4))
    columns[:, 1], columns[:, 3] = 7.0, columns[:, 0]
    copula = StudentCopula.fit(normal_scores(columns))
    assert np.isfinite(copula.correlations).all()
    assert all(np.isfinite(matrix).all() for matrix in copula.precisions(2))
