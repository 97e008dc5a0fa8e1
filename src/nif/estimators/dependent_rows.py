r"""Standard errors and p-values for rows that depend on each other within blocks.

The value of an estimate stays as it is. Its standard error grows by the root of

.. math:: v = \frac{G}{G - 1} \frac{\sum_g \big(\sum_{s \in g} d(s)\big)^2}{\sum_s d(s)^2}

where d(s) is the influence of row s on the information, and g are groups of whole blocks: 1 where rows are
independent, and never less. Where there is no information the estimate is quadratic in the data, so its null
variance, :math:`1 / 2 N^2`, grows by :math:`v^2`. Few groups leave v itself uncertain: the error is that of
Student's distribution at 95 %. The p-value is that of `nif.estimators.block_test`.

Over pairs of autoregressive series with a slope of .9, rows of 1,000 and blocks of 50, 95 % intervals of
`Binned`, `Mine` and `Ksg` hold the information of normal pairs in 90 to 97 % of samples, where errors of
independent rows do in 47 to 63 %.

References:
    Künsch (1989), The jackknife and the bootstrap for general stationary observations, Annals of Statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri, stdtrit

from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.estimators.block_test import Groups, independence_of_columns, independence_of_pairs
from nif.estimators.estimate import (
    ColumnsX,
    ColumnsY,
    Estimate,
    Estimator,
    Outcome,
    PairwiseEstimator,
    SidesX,
    SidesY,
)
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.jit import compiled
from nif.estimators.pointwise import bins_of, influence_of_rows
from nif.estimators.ranks import standard_scores

Pairs = Int[np.ndarray, " pair"]

NORMAL = float(ndtri(0.975))


@dataclass(frozen=True, eq=False)
class DependentRows:
    """An estimator whose standard errors and p-values know which rows depend on each other.

    Args:
        estimator: Of the values.
        groups: Of rows, which are independent of each other.
    """

    estimator: Estimator
    groups: Groups

    def __repr__(self) -> str:
        return repr(self.estimator)

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X; Y) of each pair of numbers; see `Estimator`.

        Raises:
            InputError: A side has more than one component.
        """
        if x.shape[2] != 1 or y.shape[2] != 1:
            raise InputError(
                f"blocks are for pairs of numbers; the sides have {x.shape[2]} and {y.shape[2]} components. "
                "Use nif.pairwise, or omit blocks."
            )
        found = self.estimator.estimate(x, y, seed=seed, advance=advance)
        columns, index = (x[:, :, 0].T, y[:, :, 0].T), np.arange(len(x))
        return self._with_errors(found, *columns, index, index, independence_of_pairs)

    def _with_errors(
        self,
        found: Estimate,
        x: ColumnsX,
        y: ColumnsY,
        a: Pairs,
        b: Pairs,
        test: Callable[[ColumnsX, ColumnsY, Groups], np.ndarray],
    ) -> Estimate:
        growth = inflation(self.estimator, x, y, a, b, self.groups).reshape(found.nats.shape)
        variance = found.stderr**2 * growth + (growth**2 - growth) / (2 * len(x) ** 2)
        student = float(stdtrit(self.groups.count - 1, 0.975)) / NORMAL
        degenerate = found.outcome == Outcome.DEGENERATE
        return Estimate.of(
            found.nats,
            stderr=np.where(degenerate, found.stderr, student * np.sqrt(variance)),
            p_value=np.where(degenerate, 1.0, test(x, y, self.groups)),
            samples=found.samples,
            estimator=found.estimator,
            outcome=found.outcome,
        )


class PairwiseDependentRows(DependentRows):
    """The same of an estimator that has a faster method for all pairs of columns."""

    def pairwise(self, x: ColumnsX, y: ColumnsY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs; see `PairwiseEstimator`."""
        assert isinstance(self.estimator, PairwiseEstimator)
        found = self.estimator.pairwise(x, y, seed=seed, advance=advance)
        a, b = np.indices(found.nats.shape).reshape(2, -1)
        return self._with_errors(found, x, y, a, b, independence_of_columns)


def of_dependent_rows(estimator: Estimator, block: Int[np.ndarray, " row"] | None) -> Estimator:
    """An estimator for rows of these blocks; itself where there are none.

    Example:
        >>> of_dependent_rows(GaussianCopula(), np.arange(100) // 10)
        GaussianCopula()
    """
    if block is None:
        return estimator
    kind = PairwiseDependentRows if isinstance(estimator, PairwiseEstimator) else DependentRows
    return kind(estimator, Groups.of(block))


def inflation(
    estimator: Estimator, x: ColumnsX, y: ColumnsY, a: Pairs, b: Pairs, groups: Groups
) -> Float[np.ndarray, " pair"]:
    """Variance of the information of columns a of x and b of y, over that of independent rows; 1 or more.

    Example:
        >>> x = np.repeat(np.random.default_rng(0).normal(size=(200, 2)), 4, axis=0)  # every row four times
        >>> pair = np.array([0]), np.array([1])
        >>> inflation(GaussianCopula(), x, x, *pair, Groups.of(np.arange(800) // 4)).round(1)
        array([4.])
    """
    x, y = x[groups.order], y[groups.order]
    if isinstance(estimator, GaussianCopula):
        found = _of_copula(standard_scores(x).T, standard_scores(y).T, a, b, groups)
    else:
        of_x, of_y = (np.ascontiguousarray(bins_of(side).T) for side in (x, y))
        found = np.empty(len(a))
        _of_bins(of_x, of_y, a, b, groups.index, groups.count, found)
    return np.maximum(found * groups.count / (groups.count - 1), 1.0)


def _of_copula(
    x: Float[np.ndarray, "a row"], y: Float[np.ndarray, "b row"], a: Pairs, b: Pairs, groups: Groups
) -> Float[np.ndarray, " pair"]:
    """By the influence of a row on the information of a Gaussian copula."""
    found = np.ones(len(a))
    for pair, (i, k) in enumerate(zip(a, b, strict=True)):
        rho = x[i] @ y[k] / x.shape[1]
        influence = x[i] * y[k] - rho / 2 * (x[i] ** 2 + y[k] ** 2)
        of_rows = float(influence @ influence)
        if of_rows > 1e-12 * x.shape[1]:
            sums = np.add.reduceat(influence, groups.starts)
            found[pair] = float(sums @ sums) / of_rows
    return found


@compiled
def _of_bins(x, y, a, b, group, count, found):  # type: ignore[no-untyped-def]
    influence, sums = np.empty(group.size), np.empty(count)
    for pair in range(a.size):
        influence_of_rows(x[a[pair]], y[b[pair]], influence)
        sums[:] = 0.0
        for row in range(group.size):
            sums[group[row]] += influence[row]
        square = 0.0
        for place in range(count):
            square += sums[place] ** 2
        found[pair] = square / group.size
