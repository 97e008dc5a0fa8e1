r"""Test of independence for rows that depend on each other within blocks.

The columns are mapped to orthonormal polynomials of their ranks, :math:`f_1, \dots, f_4` and
:math:`g_1, \dots, g_4`. Of independent columns the mean of every product :math:`f_i g_j` is 0, however the
rows of each column follow each other. Its sum over a group of whole blocks, :math:`S_g`, is as good as
independent of that over the next, so

.. math:: t_{ij} = \frac{\sum_g S_g}{\sqrt{\tfrac{G}{G - 1} \sum_g (S_g - n_g \bar S)^2}}

follows Student's distribution with G - 1 degrees of freedom. The p-values of all products are combined: half
the weight is that of :math:`f_1 g_1`, the rank correlation, which shows most dependences; the others show
those that go up and down. Patterns finer than polynomials of the fourth degree are not seen.

References:
    Kallenberg & Ledwina (1999), Data-driven rank tests for independence, JASA 94: products of polynomials of
    ranks. Ibragimov & Müller (2010), t-statistic based correlation and heterogeneity robust inference,
    Journal of Business & Economic Statistics 28: Student's distribution over groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int64
from numpy.polynomial.legendre import legvander
from scipy.special import stdtr

from nif.core.statistics import cauchy_combination
from nif.estimators.estimate import ColumnsX, ColumnsY
from nif.estimators.ranks import mean_ranks

DEGREE = 4
"""Of the polynomials."""

OF_CORRELATION = 0.5
"""Weight of the product of the first polynomials: power where most dependences are."""

MOST_GROUPS = 200
"""Blocks that follow each other are put together into at most so many groups: more tell little more."""

SMALLEST = 1e-7
"""Size of a polynomial, beside those of lower degree, below which it is rounding: of few distinct values."""

ROUNDING = 1e-9
"""Of the mean of a product."""

LARGEST = 0.99
"""Upper limit of a p-value: that of a product that is exactly 0 would outweigh the others."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of rows, each of whole blocks.

    Attributes:
        order: Puts the rows of a group one after another.
        index: The group of each row in that order.
        starts: The first row of each group in that order.
    """

    order: Int64[np.ndarray, " row"]
    index: Int64[np.ndarray, " row"]
    starts: Int64[np.ndarray, " group"]

    @classmethod
    def of(cls, block: Int[np.ndarray, " row"], most: int = MOST_GROUPS) -> Groups:
        """From the number of the block of each row.

        Example:
            >>> Groups.of(np.array([2, 0, 0, 1])).order.tolist(), Groups.of(np.arange(500)).count
            ([1, 2, 3, 0], 200)
        """
        names, index = np.unique(block, return_inverse=True)
        group = index * min(most, len(names)) // len(names)
        order = np.argsort(group, kind="stable")
        index = group[order].astype(np.int64)
        return cls(order, index, np.searchsorted(index, np.arange(index[-1] + 1)))

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.starts)

    @property
    def sizes(self) -> Int64[np.ndarray, " group"]:
        """Rows of each group."""
        return np.diff(self.starts, append=len(self.index))

    def slices(self) -> list[slice]:
        """The rows of each group."""
        ends = [*self.starts[1:], len(self.index)]
        return [slice(*ends_of) for ends_of in zip(self.starts, ends, strict=True)]


def independence_of_columns(x: ColumnsX, y: ColumnsY, groups: Groups) -> Float[np.ndarray, "a b"]:
    """p-value of the independence of each column of x and each of y.

    Example:
        >>> x, noise = np.random.default_rng(0).normal(size=(2, 400, 1))
        >>> bool(independence_of_columns(x, x**2 + noise, Groups.of(np.arange(400) // 20))[0, 0] < 0.001)
        True
    """
    (f, known_f), (g, known_g) = polynomials(x[groups.order]), polynomials(y[groups.order])
    shape = f.shape[1], DEGREE, g.shape[1], DEGREE
    left, right = f.reshape(len(f), -1), g.reshape(len(g), -1)

    def products(rows: slice) -> Float[np.ndarray, "a b i j"]:
        return (left[rows].T @ right[rows]).reshape(shape).swapaxes(1, 2)

    return _combined(_of_products(products, groups), known_f[:, None, :, None] & known_g[None, :, None, :])


def independence_of_pairs(x: ColumnsX, y: ColumnsY, groups: Groups) -> Float[np.ndarray, " pair"]:
    """p-value of the independence of each column of x and the same one of y."""
    (f, known_f), (g, known_g) = polynomials(x[groups.order]), polynomials(y[groups.order])

    def products(rows: slice) -> Float[np.ndarray, "pair i j"]:
        return np.einsum("npi,npj->pij", f[rows], g[rows])

    return _combined(_of_products(products, groups), known_f[:, :, None] & known_g[:, None, :])


def polynomials(
    columns: ColumnsX,
) -> tuple[Float[np.ndarray, "sample column degree"], Bool[np.ndarray, "column degree"]]:
    """Orthonormal polynomials of the ranks of each column, and which there are.

    A column of k distinct values has k - 1 of them; the others are 0.

    Example:
        >>> values, known = polynomials(np.arange(6.0)[:, None] % 2)
        >>> values[:, 0, 0].round(6).tolist(), known.tolist()
        ([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0], [[True, False, False, False]])
    """
    samples = len(columns)
    places = (2 * np.stack([mean_ranks(column) for column in columns.T], axis=1) - 1) / samples - 1
    values, known = np.zeros((samples, columns.shape[1], DEGREE)), np.zeros((columns.shape[1], DEGREE), bool)
    for column, place in enumerate(places.T):
        basis, size = np.linalg.qr(legvander(place, DEGREE))
        size = np.diag(size)[1:]
        known[column] = np.abs(size) > SMALLEST * np.sqrt(samples)
        values[:, column] = np.where(known[column], basis[:, 1:] * np.sign(size) * np.sqrt(samples), 0.0)
    return values, known


def _of_products(
    products: Callable[[slice], Float[np.ndarray, "*pairs i j"]], groups: Groups
) -> Float[np.ndarray, "*pairs i j"]:
    """p-value of each product of polynomials, by Student's distribution over the groups."""
    sizes = groups.sizes / len(groups.index)
    total = np.zeros_like(products(slice(0, 1)))
    squares, mixed = np.zeros_like(total), np.zeros_like(total)
    for rows, size in zip(groups.slices(), sizes, strict=True):
        found = products(rows)
        total += found
        squares += found**2
        mixed += size * found
    variance = squares - 2 * total * mixed + total**2 * float(sizes @ sizes)
    variance = np.maximum(variance, 0.0) * groups.count / (groups.count - 1)
    t = np.abs(total) / np.sqrt(np.maximum(variance, (ROUNDING * len(groups.index)) ** 2))
    return np.asarray(2 * stdtr(groups.count - 1, -t))


def _combined(
    p_values: Float[np.ndarray, "*pairs i j"], known: Bool[np.ndarray, "*pairs i j"]
) -> Float[np.ndarray, "*pairs"]:
    """One p-value of all products; 1 where there is none, as of a constant column."""
    flat, known = (values.reshape(*values.shape[:-2], -1) for values in (p_values, known))
    others = known[..., 1:].sum(-1, keepdims=True)
    first = np.where(others > 0, OF_CORRELATION, 1.0)
    weights = known * np.where(np.arange(flat.shape[-1]) == 0, first, (1 - first) / np.maximum(others, 1))
    return np.where(known[..., 0], cauchy_combination(np.minimum(flat, LARGEST), weights), 1.0)
