"""Information by `Binned` from rows that are never held together: tables of counts, some pairs at a time.

The rows that are held tell where to cut the columns; how many rows lie in a cell, and in a pair of cells, is
counted over all of them (`nif.streaming.cell_file`). So the rows that are held decide how well the cells are
chosen, and nothing else: value, standard error and p-value are those of all rows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from nif.compiled import compiled
from nif.contracts import Estimate
from nif.estimators.binned import QUARTERS, Binned, extrapolated
from nif.estimators.contingency import Margins, independence
from nif.estimators.entropy import entropies_of_values
from nif.estimators.halving import DEEPEST, Parts, depth_for
from nif.estimators.partition import Shares, partitions_of_tables
from nif.network import SeparateTerms
from nif.streaming.cell_file import CellFile

COLUMNS_AT_ONCE = 8
"""Columns of each side whose tables one thread counts together: 80 MB."""

COUNT = np.dtype(np.int32)

Pairs = tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]
"""Units of one side and of the other."""


class Side(NamedTuple):
    """The units of a layer, with what is computed once for each.

    Attributes:
        layer: Its index.
        whole: Shares of all rows in the parts of each unit.
        quarters: Of each quarter of the rows.
        margins: For the test of independence.
        entropies: Of the values that are held, in nats.
    """

    layer: int
    whole: Shares
    quarters: tuple[Shares, ...]
    margins: Margins
    entropies: Float[np.ndarray, " unit"]


@dataclass(eq=False, kw_only=True)
class TabledTerms(SeparateTerms):
    """The terms of eq. 2 by `Binned`, from more rows than were recorded.

    Args:
        cells: Of all rows.
    """

    cells: CellFile

    @property
    def samples(self) -> int:
        """Rows that the terms rest on."""
        return self.cells.samples

    def _of_source(self, source: int) -> Estimate:
        side = self._side(source)
        above = np.triu(np.ones((len(side.entropies),) * 2, dtype=bool), k=1)
        found = self._estimate(side, side, above)
        return found.map(lambda values: np.where(above, values, values.T))

    def _of_units(self, source: int, target: int) -> Estimate:
        x, y = self._side(source), self._side(target)
        joined = self.recording.joined_between(source, target)
        wanted = np.ones((len(x.entropies), len(y.entropies)), dtype=bool) if joined is None else joined
        self.pairs.advance(int((~wanted).sum()))
        return self._estimate(x, y, wanted)

    def _side(self, layer: int) -> Side:
        quarters = self.cells.parts(layer, depth_for(self.samples))
        whole = Parts(np.sum([parts.sizes for parts in quarters], axis=0))
        entropies = entropies_of_values(self.observed[layer])
        return Side(layer, Shares.of(whole), tuple(map(Shares.of, quarters)), Margins.of(whole), entropies)

    def _estimate(self, x: Side, y: Side, wanted: Bool[np.ndarray, "a b"]) -> Estimate:
        """Of the pairs wanted; the others have 0 nats and p-value 1."""
        estimator = cast(Binned, self.pairs.estimator)
        threads = estimator.threads or os.cpu_count() or 1
        found = np.stack([np.zeros(wanted.shape), np.zeros(wanted.shape), np.ones(wanted.shape)])
        with ThreadPoolExecutor(threads) as pool:
            blocks = _blocks(wanted, columns_at_once(self.pairs.limits.memory // threads))
            for (a, b), values in pool.map(partial(self._block, x, y), blocks):
                found[:, a, b] = values
                self.pairs.advance(len(a))
        return estimator.estimate_of(found, np.minimum.outer(x.entropies, y.entropies), self.samples)

    def _block(self, x: Side, y: Side, pairs: Pairs) -> tuple[Pairs, Float[np.ndarray, "value pair"]]:
        """Nats, standard error and p-value of some pairs of units."""
        a, b = pairs
        counts = self._counts(x.layer, y.layer, pairs)
        quarters = counts.sum(axis=(2, 3))[:, 0].tolist()
        whole = partitions_of_tables(counts.sum(axis=0, dtype=COUNT), x.whole, y.whole, a, b, self.samples)
        sides = zip(counts, x.quarters, y.quarters, quarters, strict=True)
        parts = [
            partitions_of_tables(table, one, other, a, b, samples) for table, one, other, samples in sides
        ]
        nats, stderr = extrapolated(whole, parts, self.samples)
        return pairs, np.stack([nats, stderr, independence(x.margins, y.margins, a, b, whole.coarse)])

    def _counts(self, x: int, y: int, pairs: Pairs) -> Int32[np.ndarray, "quarter pair row column"]:
        """Rows in each pair of cells, of each quarter of the rows."""
        a, b = pairs
        depth = depth_for(self.samples)
        found = np.zeros((QUARTERS, len(a), 1 << depth, 1 << depth), dtype=COUNT)
        sides = [(x, slice(a.min(), a.max() + 1)), (y, slice(b.min(), b.max() + 1))]
        for quarter, tables in enumerate(found):
            for left, right in self.cells.read(quarter, sides):
                _add(left, right, a - a.min(), b - b.min(), DEEPEST - depth, tables)
        return found


def _blocks(wanted: Bool[np.ndarray, "a b"], width: int) -> Iterator[Pairs]:
    """The pairs wanted, of so many neighbours of each side at a time."""
    for row in range(0, wanted.shape[0], width):
        for column in range(0, wanted.shape[1], width):
            a, b = np.nonzero(wanted[row : row + width, column : column + width])
            if len(a):
                yield a + row, b + column


def columns_at_once(memory: int) -> int:
    """Columns of each side whose tables go into so many bytes.

    Example:
        >>> columns_at_once(2**30), columns_at_once(10 * 2**20), columns_at_once(1)
        (8, 2, 1)
    """
    of_pair = (QUARTERS + 1) * 4**DEEPEST * COUNT.itemsize
    return int(np.clip(math.isqrt(memory // of_pair), 1, COLUMNS_AT_ONCE))


@compiled
def _add(left, right, a, b, shift, tables):  # type: ignore[no-untyped-def]
    for pair in range(a.size):
        rows, columns, counts = left[a[pair]], right[b[pair]], tables[pair]
        for sample in range(rows.size):
            counts[rows[sample] >> shift, columns[sample] >> shift] += 1
