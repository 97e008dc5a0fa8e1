"""The information of independent Gaussian sides: from drawn covariances, and the p-values that it gives."""

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

import nif
from nif.estimators.conditional import _gaussian_p_value
from nif.estimators.wilks import Independent


def informations(samples: int, dim_x: int, dim_y: int, draws: int) -> np.ndarray:
    """Of normal samples, from determinants of their covariances."""
    drawn = np.random.default_rng(1).standard_normal((draws, samples, dim_x + dim_y))
    both = drawn - drawn.mean(1, keepdims=True)
    sides = both[..., :dim_x], both[..., dim_x:], both
    x, y, together = (np.linalg.slogdet(side.transpose(0, 2, 1) @ side)[1] for side in sides)
    return (x + y - together) / 2


@pytest.mark.parametrize("dims", [(1, 1), (1, 28), (3, 2), (14, 14), (5, 24)], ids=str)
def test_moments_and_p_values_are_those_of_drawn_samples(dims: tuple[int, int]) -> None:
    null, drawn = Independent(30, *dims), informations(30, *dims, draws=4_000)
    assert null.mean == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 4_000**0.5)
    assert null.variance == pytest.approx(drawn.var(), rel=0.15)
    p_values = null.p_value(drawn)
    assert kstest(p_values, "uniform").pvalue > 1e-3
    for level in (0.05, 0.01):
        assert (p_values < level).mean() == pytest.approx(level, abs=4 * (level / 4_000) ** 0.5)


def test_one_column_of_each_side_is_the_test_of_a_correlation() -> None:
    """Student's t of a correlation."""
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    found = pearsonr(x, y)
    assert Independent(40, 1, 1).p_value(-0.5 * np.log1p(-(found.statistic**2))) == pytest.approx(
        found.pvalue
    )


def test_as_many_columns_as_samples_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(60, 61))
    assert np.isfinite(nif.estimate(x[:, :30], x[:, 30:59], "gaussian_copula").p_value)
    for sides in ((x[:, :30], x[:, 30:60]), (x[:, :60], x[:, 60])):
        with pytest.raises(nif.InputError, match=r"needs more than .* samples; 60 were given"):
            nif.estimate(*sides, "gaussian_copula")
    with pytest.raises(nif.InputError, match=r"1 \+ 59 linearly independent columns"):
        nif.estimate(x[:, 60], x[:, 0] + x[:, 60], "gaussian_copula", given=x[:, :60])


def test_a_side_of_which_nothing_is_left_shows_nothing() -> None:
    null = Independent(60, 0, 3)
    assert (null.mean, null.variance, null.p_value(0.0)) == (0.0, 0.0, 1.0)


def test_equal_columns_count_once() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 60, 2))
    once, often = nif.estimate(x, y, "gaussian_copula"), nif.estimate(np.tile(x, 40), y, "gaussian_copula")
    assert (often.nats, often.stderr, often.p_value) == pytest.approx((once.nats, once.stderr, once.p_value))


def test_many_independent_columns_have_about_zero_nats_and_uniform_p_values() -> None:
    """20 + 20 columns of 60 rows; and 2 + 2 given 40: a chi-squared variable rejects 18 % of the first."""
    generator = np.random.default_rng(0)
    x, y, z = (generator.normal(size=(150, 60, columns)) for columns in (20, 20, 40))
    many = nif.GaussianCopula().estimate(x, y)
    assert many.nats.mean() == pytest.approx(0, abs=4 * many.nats.std() / 150**0.5)
    given = [_gaussian_p_value(*sides, z) for *sides, z in zip(x[..., :2], y[..., :2], z, strict=True)]
    for p_values in (many.p_value, np.array(given)):
        assert kstest(p_values, "uniform").pvalue > 1e-3
