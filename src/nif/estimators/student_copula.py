r"""The Student copula of vectors, with its degrees of freedom by maximum likelihood.

Its log density ratio is a function of quadratic forms, like that of a Gaussian copula, but sides that are
uncorrelated can depend on each other through a common scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, ndtr, stdtrit

Scores = Float[np.ndarray, "sample dim"]
Matrix = Float[np.ndarray, "dim dim"]

LEAST_FREEDOM, MOST_FREEDOM = 0.5, 1000.0
"""Range of the degrees of freedom; at its upper end the copula is nearly Gaussian."""

RIDGE = 1e-5
"""Added to the diagonal of correlations, so that nearly singular layers stay finite."""

ROWS_FOR_FREEDOM = 3_000
"""Rows that the degrees of freedom, a single number, are fitted to."""


def student_scores(scores: Float[np.ndarray, "*shape"], freedom: float) -> Float[np.ndarray, "*shape"]:
    r"""From normal scores to those of a Student distribution, :math:`q = F_\nu^{-1}(\Phi(z))`.

    By a cubic spline through 401 exact values, which is off by less than 1e-5 for scores of up to 5.

    Example:
        >>> student_scores(np.array([-1.0, 1.0, 2.0]), freedom=3.0).round(4).tolist()
        [-1.1969, 1.1969, 3.3068]
    """
    from scipy.interpolate import CubicSpline  # here: a long import

    sizes = np.abs(scores)
    grid = np.linspace(0, max(float(sizes.max(initial=0)), 1.0), 401)
    return np.sign(scores) * CubicSpline(grid, -stdtrit(freedom, ndtr(-grid)))(sizes)


@dataclass(frozen=True, eq=False)
class StudentCopula:
    r"""A Student copula.

    .. math:: \log \frac{c(x, y)}{c(x) c(y)} = \text{const}
        - \tfrac{\nu + d}{2} \log(1 + q^\top R^{-1} q / \nu)
        + \sum_{s \in \{x, y\}} \tfrac{\nu + d_s}{2} \log(1 + q_s^\top R_s^{-1} q_s / \nu)

    with q the Student scores of both sides. As :math:`\nu \to \infty`, it is that of the Gaussian copula.

    Attributes:
        freedom: Degrees of freedom :math:`\nu`.
        correlations: :math:`R`, of the numbers of x and y together.
    """

    freedom: float
    correlations: Matrix

    @classmethod
    def fit(cls, scores: Scores) -> StudentCopula:
        """Maximise the likelihood of normal scores, the correlations by expectation maximisation.

        Example:
            >>> generator = np.random.default_rng(0)
            >>> both = generator.standard_normal((2000, 3)) / np.sqrt(generator.chisquare(4, (2000, 1)) / 4)
            >>> from nif.estimators.ranks import normal_scores
            >>> 3 < StudentCopula.fit(normal_scores(both)).freedom < 5
            True
        """
        from scipy.optimize import minimize_scalar  # here: a long import

        some = scores[:: max(1, len(scores) // ROWS_FOR_FREEDOM)]

        def loss(log_freedom: float) -> float:
            freedom = math.exp(log_freedom)
            q = student_scores(some, freedom)
            return -_log_likelihood(q, freedom, _correlations(q, freedom, steps=4))

        limits = math.log(LEAST_FREEDOM), math.log(MOST_FREEDOM)
        found = minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 0.02})
        freedom = math.exp(float(found.x))
        return cls(freedom, _correlations(student_scores(scores, freedom), freedom, steps=10))

    def precisions(self, dim_x: int) -> tuple[Float[np.ndarray, "_ _"], ...]:
        """The inverses of the correlations of both sides, of x and of y."""
        return (
            np.linalg.inv(self.correlations),
            np.linalg.inv(self.correlations[:dim_x, :dim_x]),
            np.linalg.inv(self.correlations[dim_x:, dim_x:]),
        )


def _correlations(q: Scores, freedom: float, steps: int) -> Matrix:
    """Of Student scores: rows far from the centre, in units of the correlations, count less."""
    rows, dim = q.shape
    # Starts at the correlation of the signs, which does not depend on the scale of a row.
    matrix = np.sin(np.pi / 2 * np.sign(q).T @ np.sign(q) / rows) * 0.99 + 0.01 * np.eye(dim)
    matrix = _positive(matrix)
    for _ in range(steps):
        weight = (freedom + dim) / (freedom + _squared_lengths(q, np.linalg.inv(matrix)))
        matrix = (q * weight[:, None]).T @ q / rows
        deviation = np.sqrt(np.maximum(matrix.diagonal(), 1e-30))
        matrix = matrix / np.outer(deviation, deviation) + RIDGE * np.eye(dim)
    return matrix


def _positive(matrix: Matrix) -> Matrix:
    """The matrix with no eigenvalue below a hundredth."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0.01)) @ vectors.T)


def _squared_lengths(q: Scores, precision: Matrix) -> Float[np.ndarray, " sample"]:
    return np.asarray(((q @ precision) * q).sum(axis=1))


def _log_likelihood(q: Scores, freedom: float, correlations: Matrix) -> float:
    """Mean log density of the copula at Student scores."""
    dim, half = q.shape[1], freedom / 2
    lengths = _squared_lengths(q, np.linalg.inv(correlations))
    joint = gammaln(half + dim / 2) - gammaln(half) - np.linalg.slogdet(correlations)[1] / 2
    joint -= (half + dim / 2) * np.log1p(lengths / freedom).mean()
    margin = dim * (gammaln(half + 0.5) - gammaln(half))
    margin -= (half + 0.5) * np.log1p(q**2 / freedom).sum(axis=1).mean()
    return float(joint - margin)
