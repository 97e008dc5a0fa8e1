"""Columns of numbers halved again and again at their medians: the cells that `Binned` counts in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nif.estimators.jit import compiled, inlined

DEEPEST = 8
"""Halvings at most: 256 cells a side, numbered in one byte."""

SHALLOWEST = 3
"""Halvings at least."""

COARSE = 1 << SHALLOWEST
"""Cells a side after so many: the finest table of the test of independence."""


class Parts(NamedTuple):
    """How many samples of each column lie in each of its parts.

    Parts of a column are numbered as in a binary heap: part 1 is the whole column, part k is cut into parts
    2 k and 2 k + 1, and the cells are the parts of the last level.

    Attributes:
        sizes: Samples in each part.
    """

    sizes: Int[np.ndarray, "column part"]

    @classmethod
    def of_cells(cls, sizes: Int[np.ndarray, "column cell"]) -> Parts:
        """Add up those of the cells.

        Example:
            >>> Parts.of_cells(np.array([[3, 1, 0, 2]])).sizes.tolist()
            [[0, 6, 4, 2, 3, 1, 0, 2]]
        """
        levels = [sizes]
        while levels[0].shape[1] > 1:
            levels.insert(0, levels[0][:, ::2] + levels[0][:, 1::2])
        return cls(np.concatenate([np.zeros_like(levels[0]), *levels], axis=1))

    @property
    def samples(self) -> int:
        """Of each column."""
        return int(self.sizes[0, 1])

    @property
    def depth(self) -> int:
        """How often the columns were halved."""
        return self.sizes.shape[1].bit_length() - 2

    @property
    def log_shares(self) -> Float[np.ndarray, "column part"]:
        """Logarithm of each part's share of the samples of the part it was cut from; 0 for an empty part."""
        shares = np.ones(self.sizes.shape)
        whole = np.maximum(np.repeat(self.sizes[:, 1 : 1 << self.depth], 2, axis=1), 1)
        shares[:, 2:] = self.sizes[:, 2:] / whole
        return np.log(np.where(shares > 0, shares, 1.0))

    @property
    def weights(self) -> Float[np.ndarray, "column part"]:
        """1 / samples of each part that was cut in two, 0 for the others."""
        first, second = self.sizes[:, 2::2], self.sizes[:, 3::2]
        found = np.zeros((len(self.sizes), 1 << self.depth))
        np.divide(1.0, first + second, out=found[:, 1:], where=(first > 0) & (second > 0))
        return found


class Halved(NamedTuple):
    """All columns of a table, cut into cells by halving each part in turn.

    Attributes:
        cells: The cell of each sample.
        parts: Of each column.
    """

    cells: UInt8[np.ndarray, "column sample"]
    parts: Parts


def depth_for(samples: int) -> int:
    """Halvings for so many samples: cells about as wide as two bins of one sample each.

    Example:
        >>> [depth_for(samples) for samples in (10, 500, 2_000, 10_000, 1_000_000)]
        [3, 6, 7, 8, 8]
    """
    return int(np.clip(np.rint(np.log2(max(samples, 1)) / 2 + 1.3), SHALLOWEST, DEEPEST))


def halved(columns: Float[np.ndarray, "sample column"], depth: int) -> Halved:
    """Cut each column at its median, the parts at theirs, and so on; equal values are never parted.

    A part with one value stays whole (all of it goes to its first half), so that an atom such as the zeros of
    a ReLU unit is a cell of its own and the rest gets the halvings that remain.

    Example:
        >>> halved(np.array([[5.0], [5.0], [5.0], [5.0], [6.0], [7.0]]), 3).parts.sizes[0, :8].tolist()
        [0, 6, 4, 2, 4, 0, 1, 1]
    """
    samples, width = columns.shape
    cells = np.empty((width, samples), dtype=np.uint8)
    sizes = np.zeros((width, 2 << depth), dtype=np.int64)
    for index in range(width):
        column = np.ascontiguousarray(columns[:, index])
        order = np.argsort(column)
        _halve(column[order], order, depth, cells[index], sizes[index])
    return Halved(cells, Parts(sizes))


@compiled
def _halve(ordered, order, depth, cells, sizes):  # type: ignore[no-untyped-def]
    parts = 2 << depth
    ends = np.zeros(parts, np.int64)
    ends[1] = sizes[1] = ordered.size
    for part in range(1, parts // 2):
        start, end = ends[part] - sizes[part], ends[part]
        middle = _nearest_step(ordered, start, end)
        ends[2 * part], ends[2 * part + 1] = middle, end
        sizes[2 * part], sizes[2 * part + 1] = middle - start, end - middle
    for part in range(parts // 2, parts):
        for place in range(ends[part] - sizes[part], ends[part]):
            cells[order[place]] = part - parts // 2


@inlined
def _nearest_step(ordered, start, end):  # type: ignore[no-untyped-def]
    """Where the values change, as near to the middle as they do; the end if they do not."""
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
