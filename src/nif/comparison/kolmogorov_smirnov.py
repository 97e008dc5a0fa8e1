"""The two-sample Kolmogorov-Smirnov test, by which the paper compares attributions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import ks_2samp, kstwobign


class KolmogorovSmirnov(NamedTuple):
    """The statistic of the two-sample test with two p-values.

    A small p rejects that both sets come from one distribution; a large p does not show that they do.
    """

    statistic: float
    asymptotic: float
    exact: float


def kolmogorov_smirnov(
    first: Float[np.ndarray, " first"], second: Float[np.ndarray, " second"]
) -> KolmogorovSmirnov:
    """Largest difference of the two empirical distribution functions, with its p-values.

    The test compares the two sets of values and ignores their order: two attributions that rank the features
    in opposite order can have a statistic of 0.

    References:
        Stephens (1970), Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics without
        extensive tables. Exact: Hodges (1958), The significance probability of the Smirnov two-sample test.

    Example:
        >>> test = kolmogorov_smirnov(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.1, 1.2, 1.3, 1.4]))
        >>> [round(value, 4) for value in test]
        [1.0, 0.0111, 0.0286]
    """
    outcome = ks_2samp(first, second, method="exact")
    p_value = asymptotic_p_value(float(outcome.statistic), len(first), len(second))
    return KolmogorovSmirnov(float(outcome.statistic), p_value, float(outcome.pvalue))


def asymptotic_p_value(statistic: float, first: int, second: int) -> float:
    r"""p-value of the limiting distribution, with Stephens' factor for small samples.

    .. math:: \lambda = (\sqrt{n_e} + 0.12 + 0.11 / \sqrt{n_e}) D, \quad n_e = nm / (n + m)

    Example:
        The three values of the paper's table, n = m = 4, which it cuts off to .011, .107 and .996:

        >>> [round(asymptotic_p_value(d, 4, 4), 4) for d in (1.0, 0.75, 0.25)]
        [0.0111, 0.1075, 0.9969]
    """
    root = math.sqrt(first * second / (first + second))
    return float(kstwobign.sf((root + 0.12 + 0.11 / root) * statistic))
