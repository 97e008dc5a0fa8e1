"""Combine the p-values of families of tests, and adjust them for their number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.core.types import Values


def cauchy_combination(
    p_values: Float[np.ndarray, "... test"], weights: Float[np.ndarray, "... test"] | None = None
) -> Values:
    r"""One p-value from several of unknown dependence.

    .. math:: p = \tfrac12 - \tfrac1\pi \arctan \operatorname{mean}_k \tan\{(\tfrac12 - p_k)\pi\}

    A mean of Cauchy variables is Cauchy both when they are independent and when they are equal, so the
    result is calibrated at both ends and close to it between. `weights` of the tests sum to 1; they are
    equal if None.

    References:
        Liu & Xie (2020), Cauchy combination test, https://arxiv.org/abs/1808.09011

    Example:
        >>> float(cauchy_combination(np.array([0.03, 0.03])).round(6))
        0.03
    """
    inside = np.clip(p_values, 1e-15, 1 - 1e-15)
    tangents = np.tan((0.5 - inside) * np.pi)
    mean = tangents.mean(axis=-1) if weights is None else (weights * tangents).sum(axis=-1)
    return 0.5 - np.arctan(mean) / np.pi


def simes(p_values: Float[np.ndarray, "test unit"]) -> Float[np.ndarray, " unit"]:
    r"""p-value of "no test of this column has an effect", valid under positive dependence.

    .. math:: p = \min_k \; n \, p_{(k)} / k

    over the n tests of a column that are not NaN; 1 if there is none.

    References:
        Simes (1986), An improved Bonferroni procedure for multiple tests of significance.

    Example:
        >>> simes(np.array([[0.9, 1.0], [0.01, 1.0], [0.5, 1.0]])).tolist()
        [0.03, 1.0]
    """
    tests = np.isfinite(p_values).sum(axis=0)
    ordered = np.sort(p_values, axis=0) * tests / np.arange(1, len(p_values) + 1)[:, None]
    return np.fmin.reduce(ordered, axis=0, initial=1.0)


def benjamini_hochberg(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    r"""p-values adjusted for their number: the false discovery rate among all tests with as small a value.

    .. math:: q_{(k)} = \min_{j \ge k} \; n \, p_{(j)} / j

    The same bits as `scipy.stats.false_discovery_control`, the import of which would be a quarter of all that
    a measurement imports beside PyTorch.

    References:
        Benjamini & Hochberg (1995), Controlling the false discovery rate.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.9, 0.03, 0.02])).round(6).tolist()
        [0.04, 0.9, 0.04, 0.04]
    """
    order, tests = np.argsort(p_values), len(p_values)
    smallest = np.minimum.accumulate((p_values[order] * (tests / np.arange(1, tests + 1)))[::-1])[::-1]
    adjusted = np.empty(tests)
    adjusted[order] = np.minimum(smallest, 1.0)
    return adjusted
