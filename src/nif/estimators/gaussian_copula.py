"""Information of a Gaussian copula: closed form, one matrix product for all pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nif.core.types import Advance, ignore
from nif.estimators.entropy import (
    constant_pairs,
    entropies_of_values,
    entropy_of_values,
    with_constant_pairs,
)
from nif.estimators.estimate import ColumnsX, ColumnsY, Estimate, SidesX, SidesY
from nif.estimators.ranks import rank_bias, standard_scores
from nif.estimators.wilks import Independent

RANK_BIAS_UNCERTAINTY = 0.5
"""Fraction of the correction for ranks that is its standard error: strong correlations deviate more."""


@dataclass(frozen=True)
class GaussianCopula:
    r"""Mutual information of the Gaussian that has the ranks' correlations.

    .. math:: I = -\tfrac12 \log \frac{|\Sigma|}{|\Sigma_x| |\Sigma_y|}

    of the normal scores, less the bias of the entropy of a fitted Gaussian, plus the loss of information by
    ranking (`nif.estimators.ranks.rank_bias`). The p-value is that of Wilks' test
    (`nif.estimators.wilks`). Fast, and exact where the copula is Gaussian; elsewhere it is
    a lower bound in the limit of many samples. It detects monotone dependence only: y = x² looks independent,
    and ties (ReLU units) are not treated as atoms.

    References:
        Ince et al. (2017), A statistical framework for neuroimaging data analysis based on mutual information
        estimated via a Gaussian copula, https://arxiv.org/abs/1611.03336 (bias: its eq. 10)

    Example:
        >>> x, noise = np.random.default_rng(0).normal(size=(2, 1, 500, 1))
        >>> information = GaussianCopula().estimate(x, x + noise)
        >>> bool(abs(information.nats[0] - 0.347) < 3 * information.stderr[0])
        True
    """

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X; Y) of each pair; see `nif.estimators.estimate.Estimator`. The seed is not used.

        Raises:
            InputError: Both sides together have as many columns as there are samples, or more.
        """
        degenerate = constant_pairs(x, y)
        pairs = list(zip(x[~degenerate], y[~degenerate], strict=True))
        limits = np.array([min(map(entropy_of_values, pair)) for pair in pairs])
        results = [
            _estimate_pair(*pair, math.exp(limit) / len(pair[0]))
            for pair, limit in zip(pairs, limits, strict=True)
        ]
        nats, stderr, p_value = np.array(results).reshape(-1, 3).T
        advance(len(x))
        return with_constant_pairs(
            degenerate, np.minimum(nats, limits), stderr, p_value, samples=x.shape[1], estimator=self
        )

    def pairwise(self, x: ColumnsX, y: ColumnsY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs from one matrix of correlations."""
        samples = len(x)
        rho = standard_scores(x).T @ standard_scores(y) / samples
        advance(rho.size)
        varied = ~((np.ptp(x, axis=0) == 0)[:, None] | (np.ptp(y, axis=0) == 0)[None, :])
        rho = np.clip(rho, -1 + 1e-12, 1 - 1e-12)[varied]
        untied = np.exp(np.minimum.outer(entropies_of_values(x), entropies_of_values(y))[varied]) / samples
        null, plug_in = Independent(samples, 1, 1), -0.5 * np.log1p(-(rho**2))
        lost = rank_bias(_without_chance(rho, plug_in, null), samples, untied)
        nats = plug_in + lost - null.mean
        variance = _variance(rho**2, samples) + null.variance
        return with_constant_pairs(
            ~varied,
            np.minimum(nats, np.log(samples * untied)),
            np.sqrt(variance + (RANK_BIAS_UNCERTAINTY * lost) ** 2),
            null.p_value(plug_in),
            samples=samples,
            estimator=self,
        )


def _estimate_pair(
    x: Float[np.ndarray, "sample dim_x"], y: Float[np.ndarray, "sample dim_y"], untied: float
) -> tuple[float, ...]:
    """Nats, standard error and p-value of one pair of vectors (Wilks' ratio)."""
    samples, bases = len(x), [orthonormal(standard_scores(side)) for side in (x, y)]
    null = Independent(samples, *(base.shape[1] for base in bases))
    correlations = cosines(*bases)
    plug_in = float(-0.5 * np.log1p(-(correlations**2)).sum())
    lost = float(rank_bias(_without_chance(correlations, plug_in, null), samples, untied).sum())
    variance = _variance(correlations**2, samples).sum() + null.variance
    nats = plug_in + lost - null.mean
    return nats, math.sqrt(variance + (RANK_BIAS_UNCERTAINTY * lost) ** 2), float(null.p_value(plug_in))


def _without_chance(
    correlations: Float[np.ndarray, "*shape"], plug_in: float | Float[np.ndarray, "*shape"], null: Independent
) -> Float[np.ndarray, "*shape"]:
    """Less the part of their squares that independent sides show by chance: of many columns, nearly all."""
    return np.sqrt(1 - null.mean / np.maximum(plug_in, null.mean)) * correlations


def cosines(
    x: Float[np.ndarray, "sample direction_x"], y: Float[np.ndarray, "sample direction_y"]
) -> Float[np.ndarray, " angle"]:
    """Of the angles between the spaces of two orthonormal bases: canonical correlations."""
    return np.clip(np.linalg.svd(x.T @ y, compute_uv=False), 0.0, 1 - 1e-12)


def orthonormal(side: Float[np.ndarray, "sample dim"]) -> Float[np.ndarray, "sample direction"]:
    """An orthonormal basis of the columns."""
    left, size, _ = np.linalg.svd(side, full_matrices=False)
    return np.asarray(left[:, size > 1e-9 * max(size[0], 1e-300)])


def _variance(squared: Float[np.ndarray, "*shape"], samples: int) -> Float[np.ndarray, "*shape"]:
    """Of the value at a correlation: dI = rho d(artanh rho), whose variance is 1 / (N - 3) (Fisher's z)."""
    return squared / (samples - 3)
