r"""Test of independence: Pearson's chi-square on tables of 2 x 2, 4 x 4 and 8 x 8 cells.

The coarse table has the power to detect a trend, the finer ones detect patterns. Each is tested on the
statistic that it adds to the coarser one, and the three p-values, nearly independent, are combined.

Where a margin is rare (a ReLU unit that is active in 1 % of the samples) the statistic does not follow a
chi-square distribution. Its mean and variance over all permutations of the samples are known for any margins,

.. math::

    E = \frac{N}{N - 1} (r - 1) (c - 1), \qquad
    V = \frac{2 N}{N - 3} (v_r - w_r)(v_c - w_c) + \frac{N^2}{N - 1} w_r w_c,

    v_r = \frac{(r - 1)(N - r)}{N - 1}, \qquad w_r = \frac{N \sum_i 1 / N_i - r^2}{N - 2},

and the gamma distribution with these moments gives the p-value; it is the chi-square distribution if the
margins are even.

References:
    Dawson (1954), A simplified expression for the variance of the chi-square function on a contingency table,
    Biometrika 41.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaincc

from nif.core.statistics import cauchy_combination
from nif.estimators.binned.quantile_cells import COARSE, SHALLOWEST, QuantileCells
from nif.estimators.jit import compiled

LARGEST = 0.99
"""Upper limit of a p-value: a 2 x 2 table is often exactly even, and its p-value of 1 would outweigh the
others."""

Pairs = Int[np.ndarray, " pair"]
"""The column of one side of each pair."""


class Margins(NamedTuple):
    """The groups of cells of a column in the three tables.

    Attributes:
        groups: First cell of each cell's group.
        sizes: Samples in a group, at its first cell.
        number: Number of groups.
        even: v of the variance.
        uneven: w of the variance, 0 where all groups are equal.
    """

    groups: Int[np.ndarray, "column table cell"]
    sizes: Float[np.ndarray, "column table cell"]
    number: Float[np.ndarray, "column table"]
    even: Float[np.ndarray, "column table"]
    uneven: Float[np.ndarray, "column table"]

    @classmethod
    def of(cls, columns: QuantileCells) -> Margins:
        """Groups of the parts; a part is cut further only where both halves have sqrt(5 N) samples."""
        samples = columns.samples
        nodes = _nodes(columns.sizes, np.sqrt(5 * samples))
        depth = np.floor(np.log2(nodes)).astype(np.int64)
        groups = (nodes << (SHALLOWEST - depth)) - COARSE
        own = np.take_along_axis(columns.sizes[:, None, :], nodes, axis=2)
        sizes = np.where(groups == np.arange(COARSE), own, 0).astype(np.float64)
        number = (sizes > 0).sum(axis=2).astype(np.float64)
        reciprocals = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0).sum(axis=2)
        even = (number - 1) * (samples - number) / (samples - 1)
        uneven = (samples * reciprocals - number**2) / (samples - 2)
        return cls(groups, sizes, number, even, uneven)


def _nodes(sizes: Int[np.ndarray, "column part"], fewest: float) -> Int[np.ndarray, "column table cell"]:
    """The part of a column that each cell lies in, in each table."""
    part, nodes = np.ones((len(sizes), COARSE), dtype=np.int64), []
    splittable = np.ones(part.shape, dtype=bool)
    for level in range(SHALLOWEST):
        smaller = np.minimum(sizes[:, 2::2], sizes[:, 3::2])  # of the two halves of each part
        splittable &= np.take_along_axis(smaller, part - 1, axis=1) >= (1 if level == 0 else fewest)
        half = np.arange(COARSE) >> (SHALLOWEST - 1 - level) & 1
        part = np.where(splittable, 2 * part + half, part)
        nodes.append(part)
    return np.stack(nodes, axis=1)


def independence(
    x: Margins, y: Margins, a: Pairs, b: Pairs, counts: Int[np.ndarray, "pair row cell"]
) -> Float[np.ndarray, " pair"]:
    """p-value of the independence of column a of x and column b of y from their counts in 8 x 8 cells."""
    samples = counts[0].sum() if len(counts) else 0
    statistic = np.empty((len(a), SHALLOWEST))
    _chi_squares((x.groups, y.groups), (x.sizes, y.sizes), a, b, counts, samples, statistic)
    mean = samples / (samples - 1) * (x.number[a] - 1) * (y.number[b] - 1)
    variance = 2 * samples / (samples - 3) * (x.even - x.uneven)[a] * (y.even - y.uneven)[b]
    variance += samples**2 / (samples - 1) * x.uneven[a] * y.uneven[b]
    # The part that each table adds to the coarser one.
    added, mean, variance = (np.diff(v, axis=1, prepend=0.0) for v in (statistic, mean, variance))
    informative = (mean > 1e-9) & (variance > 1e-9)
    mean, variance = np.where(informative, mean, 1.0), np.where(informative, variance, 1.0)
    p_value = gammaincc(mean**2 / variance, np.maximum(added, 0.0) * mean / variance)
    return cauchy_combination(np.minimum(np.where(informative, p_value, p_value[:, :1]), LARGEST))


@compiled
def _chi_squares(groups, sizes, a, b, counts, samples, statistic):  # type: ignore[no-untyped-def]
    (groups_x, groups_y), (sizes_x, sizes_y) = groups, sizes
    merged = np.empty((COARSE, COARSE))
    for pair in range(a.size):
        for table in range(SHALLOWEST):
            rows, columns = sizes_x[a[pair], table], sizes_y[b[pair], table]
            for i in range(COARSE):  # an array's assignment takes longer to compile
                for j in range(COARSE):
                    merged[i, j] = 0.0
            for i in range(COARSE):
                for j in range(COARSE):
                    merged[groups_x[a[pair], table, i], groups_y[b[pair], table, j]] += counts[pair, i, j]
            total = 0.0
            for i in range(COARSE):
                for j in range(COARSE):
                    if merged[i, j] > 0:
                        total += merged[i, j] ** 2 / (rows[i] * columns[j])
            statistic[pair, table] = max(samples * (total - 1), 0.0)
