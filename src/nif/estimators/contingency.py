r"""Are two columns independent? Pearson's chi-square on tables of 2 x 2, 4 x 4 and 8 x 8 cells.

A coarse table has the power to see a trend, a fine one sees patterns; the p-values of the three are combined
so that each is seen. Where a margin is rare (a ReLU unit that is active in 1 % of the samples) the statistic
does not follow a chi-square distribution. Its mean and variance over all permutations of the samples are
known for any margins,

.. math::

    E = \frac{N}{N - 1} (r - 1) (c - 1), \qquad
    V = \frac{2 N}{N - 3} (v_r - w_r)(v_c - w_c) + \frac{N^2}{N - 1} w_r w_c,

    v_r = \frac{(r - 1)(N - r)}{N - 1}, \qquad w_r = \frac{N \sum_i 1 / N_i - r^2}{N - 2},

and the gamma distribution that has them gives the p-value: chi-square's where the margins are even.

References:
    Dawson (1954), A simplified expression for the variance of the chi-square function on a contingency table.
    Liu & Xie (2020), Cauchy combination test, https://arxiv.org/abs/1808.09011
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit
from scipy.special import gammaincc

from nif.estimators.halving import SHALLOWEST, Halved
from nif.nulls import cauchy_combination

CELLS = 1 << SHALLOWEST
"""Cells a side of the finest table."""

LARGEST = 0.99
"""p-value above which a table is not listened to: a 2 x 2 table is often exactly even, and its p-value of 1
would silence the others."""


class Margins(NamedTuple):
    """The groups of cells that a column has in the three tables.

    Attributes:
        groups: First cell of the group that a cell belongs to.
        sizes: Samples in a group, at its first cell.
        count: Groups.
        even: v of the variance.
        uneven: w of the variance, 0 where all groups are equal.
    """

    groups: Int[np.ndarray, "column table cell"]
    sizes: Float[np.ndarray, "column table cell"]
    count: Float[np.ndarray, "column table"]
    even: Float[np.ndarray, "column table"]
    uneven: Float[np.ndarray, "column table"]

    @classmethod
    def of(cls, halved: Halved) -> Margins:
        """Groups of halved columns; a part is cut further only where both halves have sqrt(N) / 2 samples."""
        samples = halved.cells.shape[1]
        nodes = _nodes(halved.sizes, np.sqrt(samples) / 2)
        depth = np.floor(np.log2(nodes)).astype(np.int64)
        groups = (nodes << (SHALLOWEST - depth)) - CELLS
        own = np.take_along_axis(halved.sizes[:, None, :], nodes, axis=2)
        sizes = np.where(groups == np.arange(CELLS), own, 0).astype(np.float64)
        count = (sizes > 0).sum(axis=2).astype(np.float64)
        reciprocals = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0).sum(axis=2)
        even = (count - 1) * (samples - count) / (samples - 1)
        uneven = (samples * reciprocals - count**2) / (samples - 2)
        return cls(groups, sizes, count, even, uneven)


def _nodes(sizes: Int[np.ndarray, "column part"], fewest: float) -> Int[np.ndarray, "column table cell"]:
    """The part of a column that each cell lies in, in each table."""
    part, found = np.ones((len(sizes), CELLS), dtype=np.int64), []
    alive = np.ones(part.shape, dtype=bool)
    for level in range(SHALLOWEST):
        smaller = np.minimum(sizes[:, 2::2], sizes[:, 3::2])  # of the two halves of parts 1, 2, ...
        enough = np.take_along_axis(smaller, part - 1, axis=1) >= (1 if level == 0 else fewest)
        alive &= enough
        half = np.arange(CELLS) >> (SHALLOWEST - 1 - level) & 1
        part = np.where(alive, 2 * part + half, part)
        found.append(part)
    return np.stack(found, axis=1)


def independence(
    x: Margins,
    y: Margins,
    a: Int[np.ndarray, " pair"],
    b: Int[np.ndarray, " pair"],
    counts: Int[np.ndarray, "pair row cell"],
) -> Float[np.ndarray, " pair"]:
    """p-value of the independence of column a of x and column b of y from their counts in 8 x 8 cells.

    Example:
        >>> from nif.estimators.halving import halved
        >>> side = Margins.of(halved(np.arange(64.0)[:, None]))
        >>> pair = np.zeros(1, dtype=int)
        >>> bool(independence(side, side, pair, pair, 8 * np.eye(8, dtype=int)[None])[0] < 1e-6)
        True
    """
    samples = counts[0].sum() if len(counts) else 0
    statistic = np.empty((len(a), SHALLOWEST))
    _chi_squares(x.groups, y.groups, x.sizes, y.sizes, a, b, counts, statistic)
    mean = samples / (samples - 1) * (x.count[a] - 1) * (y.count[b] - 1)
    variance = 2 * samples / (samples - 3) * (x.even - x.uneven)[a] * (y.even - y.uneven)[b]
    variance += samples**2 / (samples - 1) * x.uneven[a] * y.uneven[b]
    told = (mean > 0) & (variance > 0)
    mean, variance = np.where(told, mean, 1.0), np.where(told, variance, 1.0)
    p_value = np.where(told, gammaincc(mean**2 / variance, statistic * mean / variance), LARGEST)
    return cauchy_combination(np.minimum(p_value, LARGEST))


@njit(nogil=True, cache=True)
def _chi_squares(groups_x, groups_y, sizes_x, sizes_y, a, b, counts, statistic):  # type: ignore[no-untyped-def]
    joined = np.empty((CELLS, CELLS))
    for pair in range(a.size):
        samples = counts[pair].sum()
        for table in range(SHALLOWEST):
            rows, columns = sizes_x[a[pair], table], sizes_y[b[pair], table]
            joined[:] = 0.0
            for i in range(CELLS):
                for j in range(CELLS):
                    joined[groups_x[a[pair], table, i], groups_y[b[pair], table, j]] += counts[pair, i, j]
            total = 0.0
            for i in range(CELLS):
                for j in range(CELLS):
                    if joined[i, j] > 0:
                        total += joined[i, j] ** 2 / (rows[i] * columns[j])
            statistic[pair, table] = max(samples * (total - 1), 0.0)
