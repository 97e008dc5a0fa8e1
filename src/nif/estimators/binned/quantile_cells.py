"""The cells in which `Binned` counts: columns of numbers, recursively split at their medians."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nif.estimators.jit import compiled, inlined

DEEPEST = 8
"""Most levels of splits: 256 cells a side, numbered in one byte."""

SHALLOWEST = 3
"""Fewest levels of splits."""

COARSE = 1 << SHALLOWEST
"""Cells a side at that level: the finest table of the test of independence."""


class QuantileCells(NamedTuple):
    """All columns of a table, cut into cells.

    Parts of a column are numbered as in a binary heap: part 1 is the whole column, part k is cut into parts
    2 k and 2 k + 1, and the cells are the parts of the last level.

    Attributes:
        cells: The cell of each sample.
        sizes: Samples in each part.
        orders: A number for the order of the samples, upward and downward. Two columns have one in common if
            each is a monotone function of the other; other columns do not, but for one in 2^64.
    """

    cells: UInt8[np.ndarray, "column sample"]
    sizes: Int[np.ndarray, "column part"]
    orders: Int[np.ndarray, "column 2"]

    @property
    def samples(self) -> int:
        """The number of samples of each column."""
        return int(self.sizes[0, 1])

    @property
    def depth(self) -> int:
        """Levels of splits."""
        return self.sizes.shape[1].bit_length() - 2

    @property
    def log_fractions(self) -> Float[np.ndarray, "column part"]:
        """Logarithm of the fraction of the samples of its parent that lie in a part; 0 for an empty part."""
        fractions = np.ones(self.sizes.shape)
        whole = np.maximum(np.repeat(self.sizes[:, 1 : 1 << self.depth], 2, axis=1), 1)
        fractions[:, 2:] = self.sizes[:, 2:] / whole
        return np.log(np.where(fractions > 0, fractions, 1.0))

    @property
    def weights(self) -> Float[np.ndarray, "column part"]:
        """1 / samples of each part that was cut, 0 for the others."""
        first, second = self.sizes[:, 2::2], self.sizes[:, 3::2]
        weights = np.zeros((len(self.sizes), 1 << self.depth))
        np.divide(1.0, first + second, out=weights[:, 1:], where=(first > 0) & (second > 0))
        return weights


def depth_for(samples: int) -> int:
    """Levels of splits for a number of samples: cells about as wide as two bins of one sample each.

    Example:
        >>> [depth_for(samples) for samples in (10, 500, 2_000, 10_000, 1_000_000)]
        [3, 6, 7, 8, 8]
    """
    return int(np.clip(np.rint(np.log2(max(samples, 1)) / 2 + 1.3), SHALLOWEST, DEEPEST))


def quantile_cells(columns: Float[np.ndarray, "sample column"], depth: int) -> QuantileCells:
    """Cut each column at its median, the parts at theirs, and so on; equal values are never separated.

    A part with one value stays whole (its first half holds all of it), so that an atom such as the zeros of a
    ReLU unit is a separate cell, and the other values are cut at the remaining levels.

    Example:
        >>> column = np.array([[5.0], [5.0], [5.0], [5.0], [6.0], [7.0]])
        >>> quantile_cells(column, depth=3).sizes[0, :8]
        array([0, 6, 4, 2, 4, 0, 1, 1])
    """
    samples, width = columns.shape
    cells = np.empty((width, samples), dtype=np.uint8)
    sizes, orders = np.zeros((width, 2 << depth), dtype=np.int64), np.empty((width, 2), dtype=np.int64)
    for index in range(width):
        column = np.ascontiguousarray(columns[:, index])
        order = np.argsort(column)
        _split(column[order], order, depth, cells[index], sizes[index])
        _number(column[order], order, orders[index])
    return QuantileCells(cells, sizes, orders)


@compiled
def _split(ordered, order, depth, cells, sizes):  # type: ignore[no-untyped-def]
    parts = 2 << depth
    ends = np.zeros(parts, np.int64)
    ends[1] = sizes[1] = ordered.size
    for part in range(1, parts // 2):
        start, end = ends[part] - sizes[part], ends[part]
        middle = _nearest_change(ordered, start, end)
        ends[2 * part], ends[2 * part + 1] = middle, end
        sizes[2 * part], sizes[2 * part + 1] = middle - start, end - middle
    for part in range(parts // 2, parts):
        for place in range(ends[part] - sizes[part], ends[part]):
            cells[order[place]] = part - parts // 2


@compiled
def _number(ordered, order, numbers):  # type: ignore[no-untyped-def]
    """Sums of the ranks of the distinct values, each times a hash of the number of its row, modulo 2^64."""
    rank, total, upward = 0, 0, 0
    for place in range(ordered.size):
        if place > 0 and ordered[place] != ordered[place - 1]:
            rank += 1
        hashed = (order[place] + 1) * 0x1E3779B97F4A7C15
        hashed = (hashed ^ (hashed >> 29)) * 0x3F58476D1CE4E5B9
        hashed ^= hashed >> 32
        total += hashed
        upward += rank * hashed
    numbers[0], numbers[1] = upward, rank * total - upward


@inlined
def _nearest_change(ordered, start, end):  # type: ignore[no-untyped-def]
    """The index nearest to the middle at which the value changes; the end if all are equal."""
    if end - start < 2 or ordered[start] == ordered[end - 1]:
        return end
    middle = (start + end) // 2
    value = ordered[middle]
    below, above = middle, middle + 1
    while below > start and ordered[below - 1] == value:
        below -= 1
    while above < end and ordered[above] == value:
        above += 1
    if below == start:
        return above
    if above == end:
        return below
    return below if middle - below <= above - middle else above
