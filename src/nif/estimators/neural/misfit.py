r"""Whether a Gaussian copula is all there is between two vectors, and what it overlooks.

Critics of vectors start at a copula. Where training does not improve on the start, either it is right, or
what is missing is not learnt from so few rows: the critics alone cannot tell. Under a Gaussian copula the
normal scores of y less their regression on x, :math:`e = y - B x`, are independent of x, which can be tested.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from nif.estimators.gaussian_copula import orthonormal

Scores = Float[np.ndarray, "sample _"]

LEVEL = 0.01
"""Of the test that a Gaussian copula is right."""

FEWEST, FEWEST_OF_A_COLUMN = 1_000, 50
"""Rows, in all and for each column of both sides, from which on the test finds that one plane is twisted."""

ROWS = 10_000
"""At most, evenly spaced, that are looked at."""

SAME = 1e-5
"""Part of the deviation of a side below which a direction of it is one of the other side."""

LENGTHS = (-1.6, -1.2, -0.8, -0.4, 0.0, 0.5, 1.1, 2.0, 3.2)
"""Standardised squared lengths between which the regression of `overlooked` changes linearly."""


@dataclass(frozen=True)
class Misfit:
    """Of the Gaussian copula of two vectors.

    Attributes:
        possible: Whether no moment shows that it is wrong, of rows that are enough to show it.
        overlooked: Nats that it misses because y depends on x differently at different lengths of x, or
            x on y; 0 where there are too few rows to say.
    """

    possible: bool
    overlooked: float

    @classmethod
    def of(cls, x: Scores, y: Scores) -> Misfit:
        """Of normal scores.

        Example:
            >>> x, noise = np.random.default_rng(0).standard_normal((2, 2000, 3))
            >>> Misfit.of(x, x + noise).possible, Misfit.of(x, x**2 + noise).possible
            (True, False)
        """
        step = math.ceil(len(x) / ROWS)
        x, y = (side[::step] - side[::step].mean(axis=0) for side in (x, y))
        ways = (x, unexplained(x, y)), (y, unexplained(y, x))
        if not all(rest.shape[1] for _, rest in ways):
            return cls(False, 0.0)  # one side determines the other
        tests = sum(_moments(side.shape[1], rest.shape[1]) for side, rest in ways)
        limit = -ndtri(LEVEL / 2 / tests)
        found = any(np.abs(z).max() > limit for way in ways for z in _deviations(*way))
        enough = len(x) >= max(FEWEST, FEWEST_OF_A_COLUMN * (x.shape[1] + y.shape[1]))
        return cls(enough and not found, max(overlooked(*way) for way in ways) if found else 0.0)


def unexplained(x: Scores, y: Scores) -> Scores:
    """y less its regression on x, uncorrelated and of variance 1; directions that x explains are left out."""
    base = orthonormal(x)
    rest, size, _ = np.linalg.svd(y - base @ (base.T @ y), full_matrices=False)
    return np.asarray(rest[:, size > SAME * np.linalg.norm(y)] * math.sqrt(len(x)))


def _moments(dim: int, rest: int) -> int:
    return dim**2 * rest + dim * (dim + 1) * rest * (rest + 1) // 4


def _deviations(x: Scores, rest: Scores) -> Iterator[Float[np.ndarray, "_ _"]]:
    """Standardised moments that are 0 where the rest is independent of x: cubes of x, products of both."""
    base = orthonormal(x)
    for i, column in enumerate(x.T):
        cubes = np.square(column)[:, None] * x
        yield _correlations(cubes - base @ (base.T @ cubes), rest)
        products = column[:, None] * x[:, i:]
        for j, other in enumerate(rest.T):
            yield _correlations(products, other[:, None] * rest[:, j:])


def _correlations(one: Scores, other: Scores) -> Float[np.ndarray, "_ _"]:
    """Of every column with every other, times the root of the number of rows."""
    one, other = (side - side.mean(axis=0) for side in (one, other))
    spreads = np.linalg.norm(one, axis=0)[:, None] * np.linalg.norm(other, axis=0)
    return np.asarray(one.T @ other * math.sqrt(len(one)) / np.maximum(spreads, 1e-300))


def overlooked(x: Scores, rest: Scores) -> float:
    r"""Nats that a regression of the rest on x, one for each length of x, explains beyond chance.

    .. math:: -\tfrac12 \log\det \hat\Sigma, \qquad \hat\Sigma = \frac{r^\top r}{n - p}

    with r the residuals of p coefficients for each column of the rest, whose covariance is 1.
    """
    samples, dim = x.shape
    length = (np.square(x).sum(axis=1) - dim) / math.sqrt(2 * dim)
    gates = np.stack([np.interp(length, LENGTHS, gate) for gate in np.eye(len(LENGTHS))], axis=1)
    base = orthonormal((gates[:, :, None] * x[:, None]).reshape(samples, -1))
    if samples < 2 * (base.shape[1] + rest.shape[1]):
        return 0.0
    left = rest - base @ (base.T @ rest)
    return max(0.0, -0.5 * float(np.linalg.slogdet(left.T @ left / (samples - base.shape[1]))[1]))
