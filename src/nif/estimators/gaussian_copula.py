"""Information of a Gaussian copula: closed form, one matrix product for all pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import digamma
from scipy.stats import beta, chi2

from nif.core.types import Advance, ignore
from nif.estimators.entropy import constant_pairs, entropies_of_values, entropy_of_values, fill
from nif.estimators.estimate import Estimate, Outcome
from nif.estimators.ranks import lost_to_ranks, standard_scores

DOUBT = 0.5
"""Share of what ranks lose that is taken for its own standard error: strong ones deviate more."""


@dataclass(frozen=True)
class GaussianCopula:
    r"""Mutual information of the Gaussian that has the ranks' correlations.

    .. math:: I = -\tfrac12 \log \frac{|\Sigma|}{|\Sigma_x| |\Sigma_y|}

    of the normal scores, less the bias that the entropy of a fitted Gaussian has, plus what ranks lose of a
    correlation (`nif.estimators.ranks.lost_to_ranks`). Fast and exact where the copula is Gaussian; elsewhere
    it is a lower bound in the limit of many samples. It sees monotone dependence only: y = x² looks
    independent, and ties (ReLU units) are not understood as atoms.

    References:
        Ince et al. (2017), A statistical framework for neuroimaging data analysis based on mutual information
        estimated via a Gaussian copula, https://arxiv.org/abs/1611.03336 (bias: its eq. 10)

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1, 500, 1))
        >>> found = GaussianCopula().estimate(x, x + np.random.default_rng(1).normal(size=(1, 500, 1)))
        >>> bool(abs(found.nats[0] - 0.347) < 3 * found.stderr[0])
        True
    """

    def estimate(
        self,
        x: Float[np.ndarray, "pair sample dim_x"],
        y: Float[np.ndarray, "pair sample dim_y"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X; Y) of each pair; see `nif.estimators.estimate.Estimator`. Nothing is drawn."""
        degenerate = constant_pairs(x, y)
        kept = list(zip(x[~degenerate], y[~degenerate], strict=True))
        most = np.array([min(map(entropy_of_values, pair)) for pair in kept])
        found = [_one(*pair, math.exp(nats) / len(pair[0])) for pair, nats in zip(kept, most, strict=True)]
        nats, stderr, p_value = np.array(found).reshape(-1, 3).T
        nats = np.minimum(nats, most)
        advance(len(x))
        outcome = np.full(len(nats), Outcome.CONVERGED)
        return fill(degenerate, nats, stderr, p_value, outcome, samples=x.shape[1], estimator=repr(self))

    def pairwise(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs from one matrix of correlations."""
        rho = standard_scores(x).T @ standard_scores(y) / len(x)
        advance(rho.size)
        degenerate = (np.ptp(x, axis=0) == 0)[:, None] | (np.ptp(y, axis=0) == 0)[None, :]
        most = np.minimum.outer(entropies_of_values(x), entropies_of_values(y))
        return self.of_correlations(rho, degenerate, len(x), np.exp(most) / len(x))

    def of_correlations(
        self,
        rho: Float[np.ndarray, "a b"],
        degenerate: Bool[np.ndarray, "a b"],
        samples: int,
        untied: Float[np.ndarray, "a b"] | float = 1.0,
        ranked: int | None = None,
    ) -> Estimate:
        """I(X_a; Y_b) from the correlations of the normal scores.

        Args:
            rho: Of each pair.
            degenerate: Where a side is constant.
            samples: Rows that they rest on.
            untied: Exponential of the entropy of the values of the side that has less of it, as a share of
                the rows that are ranked: 1 where all values differ.
            ranked: Rows among which each value was ranked; all if None.
        """
        ranked = samples if ranked is None else ranked
        rho = np.clip(rho, -1 + 1e-12, 1 - 1e-12)
        lost = lost_to_ranks(rho, ranked, untied)
        nats = -0.5 * np.log1p(-(rho**2)) + lost - _bias(samples, 1, 1)
        variance = _variance(rho**2, samples) + _null_variance(samples, 1, 1) + (DOUBT * lost) ** 2
        return Estimate.of(
            np.where(degenerate, 0.0, np.minimum(nats, np.log(ranked * untied))),
            stderr=np.where(degenerate, 0.0, np.sqrt(variance)),
            p_value=np.where(degenerate, 1.0, beta.sf(rho**2, 0.5, (samples - 2) / 2)),
            outcome=np.where(degenerate, Outcome.DEGENERATE, Outcome.CONVERGED),
            samples=samples,
            estimator=repr(self),
        )


def _one(
    x: Float[np.ndarray, "sample dim_x"], y: Float[np.ndarray, "sample dim_y"], untied: float
) -> tuple[float, ...]:
    """Nats, standard error and p-value of one pair of vectors (Wilks' ratio)."""
    samples, dim_x, dim_y = len(x), x.shape[1], y.shape[1]
    correlations = _canonical_correlations(standard_scores(x), standard_scores(y))
    plug_in = float(-0.5 * np.log1p(-(correlations**2)).sum())
    if dim_x == dim_y == 1:
        p_value = beta.sf(correlations[0] ** 2, 0.5, (samples - 2) / 2)
    else:
        statistic = (samples - 1 - (dim_x + dim_y + 1) / 2) * 2 * plug_in
        p_value = chi2.sf(statistic, dim_x * dim_y)
    lost = float(lost_to_ranks(correlations, samples, untied).sum())
    variance = _variance(correlations**2, samples).sum() + _null_variance(samples, dim_x, dim_y)
    nats = plug_in + lost - _bias(samples, dim_x, dim_y)
    return nats, math.sqrt(variance + (DOUBT * lost) ** 2), float(p_value)


def _canonical_correlations(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, " correlation"]:
    """Singular values of the product of orthonormal bases; rank-deficient layers are allowed."""
    bases = []
    for side in (x, y):
        left, size, _ = np.linalg.svd(side, full_matrices=False)
        bases.append(left[:, size > 1e-9 * max(size[0], 1e-300)])
    values = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.clip(values, 0.0, 1 - 1e-12)


def _bias(samples: int, dim_x: int, dim_y: int) -> float:
    """Mean of the plug-in value for independent Gaussian sides."""

    def log_det(dim: int) -> float:
        """Expected log determinant of a Wishart matrix, up to what cancels."""
        return float(digamma((samples - np.arange(1, dim + 1)) / 2).sum())

    return (log_det(dim_x) + log_det(dim_y) - log_det(dim_x + dim_y)) / 2


def _variance(squared: Float[np.ndarray, "*shape"], samples: int) -> Float[np.ndarray, "*shape"]:
    """Of the value at a correlation: dI = rho d(artanh rho), whose variance is 1 / (N - 3) (Fisher's z)."""
    return squared / (samples - 3)


def _null_variance(samples: int, dim_x: int, dim_y: int) -> float:
    """Of the value for independent sides, a chi-squared variable over 2 N: the delta method gives 0 there."""
    return dim_x * dim_y / (2 * samples**2)
