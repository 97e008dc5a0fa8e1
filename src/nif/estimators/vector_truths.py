r"""Vectors with exactly known mutual information: the tasks of 'Beyond Normal' that are not pairs of numbers.

References:
    Czyż et al. (2023), Beyond Normal: on the evaluation of mutual information estimators,
    https://arxiv.org/abs/2306.11078
    Arellano-Valle, Contreras-Reyes & Genton (2013), Shannon entropy and mutual information for multivariate
    skew-elliptical distributions, https://doi.org/10.1111/j.1467-9469.2011.00774.x
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad
from scipy.special import digamma, gammaln, logsumexp
from scipy.stats import norm

from nif.estimators.truths import Map, Truth, correlated_normal, half_cube, mapped

Matrix = Float[np.ndarray, "dim dim"]
Side = Float[np.ndarray, "sample dim"]


def equal_correlations(dim: int, rho: float = 0.5) -> Matrix:
    """The matrix whose numbers off the diagonal are all the same: 'dense' in the benchmark."""
    return np.eye(dim) * (1 - rho) + rho


def two_pairs(dim: int, rho: float = 0.8) -> Matrix:
    """The correlations of x and y, `dim` numbers each, of which the first two of x have a partner in y."""
    matrix = np.eye(2 * dim)
    for k in range(2):
        matrix[k, dim + k] = matrix[dim + k, k] = rho
    return matrix


def normal_vectors(correlations: Matrix, dim_x: int, name: str) -> Truth:
    r"""Jointly normal vectors, :math:`I = \tfrac12 \log (|\Sigma_x| |\Sigma_y| / |\Sigma|)`.

    Example:
        >>> round(normal_vectors(two_pairs(3), 3, "2-pair").nats, 4)
        1.0217
    """
    return student_vectors(math.inf, correlations, dim_x, name)


def student_vectors(freedom: float, dispersion: Matrix, dim_x: int, name: str) -> Truth:
    r"""Vectors with a joint Student distribution: dependent through their common scale as well.

    .. math:: I = \tfrac12 \log \frac{|\Sigma_x| |\Sigma_y|}{|\Sigma|}
        + h(\nu, d_x) + h(\nu, d_y) - h(\nu, d_x + d_y)

    where :math:`h(\nu, d)` is the entropy with identity dispersion (Arellano-Valle et al., eq. 7).

    Args:
        freedom: Degrees of freedom; infinity for the normal distribution.
        dispersion: Of x and y together.
        dim_x: Numbers that belong to x; the others are y.
        name: For tables.

    Example:
        >>> round(student_vectors(2, np.eye(6), 3, "Student").nats, 4)
        0.2909
    """
    factor = np.linalg.cholesky(dispersion)
    dim = len(dispersion)

    def draw(samples: int, generator: np.random.Generator) -> tuple[Side, Side]:
        both = generator.standard_normal((samples, dim)) @ factor.T
        if math.isfinite(freedom):
            both /= np.sqrt(generator.chisquare(freedom, size=(samples, 1)) / freedom)
        return both[:, :dim_x], both[:, dim_x:]

    blocks = dispersion[:dim_x, :dim_x], dispersion[dim_x:, dim_x:], dispersion
    log_x, log_y, log_both = (float(np.linalg.slogdet(block)[1]) for block in blocks)
    common = _entropy(freedom, dim_x) + _entropy(freedom, dim - dim_x) - _entropy(freedom, dim)
    return Truth(name, (log_x + log_y - log_both) / 2 + common, draw)


def _entropy(freedom: float, dim: int) -> float:
    """Of a Student vector with identity dispersion, less that of a normal one."""
    if math.isinf(freedom):
        return 0.0
    half, full = freedom / 2, (freedom + dim) / 2
    log_normaliser = float(gammaln(half) - gammaln(full)) + dim / 2 * math.log(freedom * math.pi)
    normal = dim / 2 * math.log(2 * math.pi * math.e)
    return log_normaliser + full * float(digamma(full) - digamma(half)) - normal


def spiral(first: int, speed: float = 1.0) -> Map:
    r"""Rotate the plane of two neighbouring coordinates by an angle of `speed` times :math:`|x|^2 / d`.

    One-to-one, because the length of x stays as it is.

    Example:
        >>> spiral(0, speed=np.pi)(np.array([[1.0, 0.0]])).round(6).tolist()
        [[0.0, 1.0]]
    """

    def rotate(side: np.ndarray) -> np.ndarray:
        angle = speed / side.shape[1] * np.square(side).sum(axis=1)
        one, other = side[:, first], side[:, first + 1]
        out = side.copy()
        out[:, first] = np.cos(angle) * one - np.sin(angle) * other
        out[:, first + 1] = np.sin(angle) * one + np.cos(angle) * other
        return out

    return rotate


def swiss_roll(uniform: np.ndarray) -> np.ndarray:
    """Roll the unit interval up in the plane."""
    turn = 1.5 * np.pi * (1 + 2 * uniform.reshape(-1, 1))
    return np.hstack([turn * np.cos(turn), turn * np.sin(turn)]) / 21


def stacked(truths: Sequence[Truth], name: str, seed: int | None = None) -> Truth:
    r"""Independent pairs side by side, :math:`I = \sum_k I_k`; with a seed, each side is rotated at random.

    Example:
        >>> pair = correlated_normal(0.75)
        >>> round(stacked([pair, pair], "two pairs", seed=0).nats / pair.nats, 6)
        2.0
    """

    def rotated(columns: list[np.ndarray], turn: int) -> Side:
        side = np.hstack([column.reshape(len(column), -1) for column in columns])
        if seed is None:
            return side
        random = np.random.default_rng([seed, turn]).standard_normal((side.shape[1], side.shape[1]))
        return np.asarray(side @ np.linalg.qr(random)[0])

    def draw(samples: int, generator: np.random.Generator) -> tuple[Side, Side]:
        of_x, of_y = zip(*(truth.draw(samples, generator) for truth in truths), strict=True)
        return rotated(list(of_x), 0), rotated(list(of_y), 1)

    return Truth(name, sum(truth.nats for truth in truths), draw)


def crossed_normals(rho: float) -> Truth:
    r"""An even mixture of two normal pairs of correlations rho and -rho: uncorrelated, in the form of an X.

    Both margins are standard normal. The value is integrated numerically.

    Example:
        >>> round(crossed_normals(0.9).nats, 4)
        0.4084
    """

    step = 0.015
    y = np.arange(-9, 9, step)
    x, spread = y[:, None], math.sqrt(1 - rho**2)
    log_density = np.logaddexp(norm.logpdf(y, rho * x, spread), norm.logpdf(y, -rho * x, spread)) - math.log(
        2
    )
    terms = norm.pdf(x) * np.exp(log_density) * (log_density - norm.logpdf(y))

    def draw(samples: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        one, other = correlated_normal(rho).draw(samples, generator)
        return one, other * generator.choice([-1.0, 1.0], size=samples)

    return Truth(f"crossed normals, rho {rho}", float(terms.sum()) * step**2, draw)


def label_and_normal(labels: int, step: float) -> Truth:
    r"""X one of m whole numbers, Y normal around `step` times it; the entropy of Y is integrated numerically.

    Example:
        >>> round(label_and_normal(3, 2.0).nats, 4)
        0.6191
    """
    centres = step * np.arange(labels)

    def term(y: float) -> float:
        log_density = float(logsumexp(norm.logpdf(y, centres))) - math.log(labels)
        return -math.exp(log_density) * log_density

    entropy = quad(term, -9, centres[-1] + 9, epsabs=1e-10, limit=500)[0]

    def draw(samples: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        label = generator.integers(0, labels, size=samples)
        return label.astype(np.float64), centres[label] + generator.standard_normal(samples)

    return Truth(f"{labels} labels", entropy - 0.5 * math.log(2 * math.pi * math.e), draw)


def _student_tasks() -> list[Truth]:
    sizes = (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3)
    return [
        student_vectors(freedom, np.eye(2 * dim), dim, f"Student {dim} x {dim}, {freedom} freedom")
        for dim, freedom in sizes
    ]


def _tasks() -> tuple[Truth, ...]:
    dense = [
        normal_vectors(equal_correlations(2 * dim), dim, f"normal {dim} x {dim}, dense")
        for dim in (2, 3, 5, 25, 50)
    ]
    pairs = {
        dim: normal_vectors(two_pairs(dim), dim, f"normal {dim} x {dim}, 2-pair") for dim in (2, 3, 5, 25)
    }
    student = _student_tasks()
    of_pairs = [pairs[dim] for dim in (3, 5, 25)]
    uniform = [mapped(task, f"CDF of {task.name}", norm.cdf, norm.cdf) for task in of_pairs]
    cubes = [mapped(task, f"half-cube of {task.name}", half_cube, half_cube) for task in of_pairs]
    spirals = [mapped(task, f"spiral of {task.name}", spiral(0), spiral(1)) for task in (*of_pairs, *uniform)]
    asinh = [mapped(student[k], f"asinh of {student[k].name}", np.arcsinh, np.arcsinh) for k in (0, 2, 4)]
    roll = mapped(
        mapped(correlated_normal(0.75), "uniform", norm.cdf, norm.cdf),
        "swiss roll 2 x 1",
        swiss_roll,
        np.asarray,
    )
    return roll, *dense, *pairs.values(), *student, *uniform, *cubes, *spirals, *asinh


BEYOND_NORMAL_VECTORS: tuple[Truth, ...] = _tasks()
"""The 31 of the 40 tasks of 'Beyond Normal' that are not in `nif.estimators.truths.BEYOND_NORMAL`."""
