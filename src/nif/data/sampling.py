"""A uniform sample of rows, whose number need not be known beforehand."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor


class Reservoir:
    r"""Chooses at most `size` rows, each with the same probability, while rows pass by (Vitter 1985).

    .. math:: P(\text{row kept}) = \min(1, \text{size} / \text{rows})

    The choice depends on the seed and on the number of rows, not on how they come in batches.

    Args:
        size: Rows to keep; None keeps all.
        seed: Random seed of the choice.

    References:
        Vitter (1985), Random sampling with a reservoir, algorithm R.

    Example:
        >>> len(Reservoir(3, seed=0).kept(100)), Reservoir(None, seed=0).kept(2).tolist()
        (3, [0, 1])
    """

    def __init__(self, size: int | None, seed: int) -> None:
        self.size = size
        self.seen = 0
        self._generator = np.random.default_rng(seed)

    def slots(self, count: int) -> Int64[np.ndarray, " row"]:
        """The place of each of the next `count` rows in the reservoir, or -1 for a row that is not kept."""
        index = np.arange(self.seen, self.seen + count)
        self.seen += count
        if self.size is None:
            return index
        drawn = (self._generator.random(count) * (index + 1)).astype(np.int64)
        slot = np.where(index < self.size, index, drawn)
        return np.where(slot < self.size, slot, -1)

    def kept(self, count: int) -> Int64[np.ndarray, " kept"]:
        """Indices of the next `count` rows that are kept, in rising order."""
        if self.size is None or self.seen + count <= self.size:
            self.seen += count
            return np.arange(count)
        owner = np.full(min(self.size, self.seen + count), -1, dtype=np.int64)
        slots = self.slots(count)
        inside = slots >= 0
        owner[slots[inside]] = np.flatnonzero(inside)  # of rows that meet in a slot, the last stays
        return np.sort(owner[owner >= 0])


class Pool:
    """The rows in a reservoir, for several columns of data that belong together."""

    def __init__(self, reservoir: Reservoir) -> None:
        self._reservoir = reservoir
        self._columns: list[Tensor] = []
        self._order = np.empty(0, dtype=np.int64)

    def add(self, batch: list[Tensor]) -> None:
        """Offer the next rows."""
        first = self._reservoir.seen
        slots = self._reservoir.slots(len(batch[0]))
        last = {int(slot): row for row, slot in enumerate(slots) if slot >= 0}
        if not last:
            return
        self._reserve(max(last) + 1, batch)
        places, rows = np.array(list(last)), np.array(list(last.values()))
        self._order[places] = first + rows
        for column, values in zip(self._columns, batch, strict=True):
            column[torch.from_numpy(places)] = values[torch.from_numpy(rows)].to(column.dtype)

    def columns(self) -> list[Shaped[Tensor, "sample ..."]]:
        """The rows kept, in the order in which they came."""
        order = torch.from_numpy(np.argsort(self._order[: self._filled]))
        return [column[: self._filled][order] for column in self._columns]

    @property
    def numbers(self) -> Int64[np.ndarray, " sample"] | None:
        """Which of the rows offered they are; None if all were kept."""
        if self._filled == self._reservoir.seen:
            return None
        kept: np.ndarray = np.sort(self._order[: self._filled])
        return kept

    @property
    def _filled(self) -> int:
        size = self._reservoir.size
        return self._reservoir.seen if size is None else min(size, self._reservoir.seen)

    def _reserve(self, needed: int, batch: list[Tensor]) -> None:
        if not self._columns:
            self._columns = [values[:0] for values in batch]
        space = len(self._order)
        if needed <= space:
            return
        # Doubling: memory is at most twice what the rows take.
        space = max(needed, 2 * space)
        if self._reservoir.size is not None:
            space = min(space, self._reservoir.size)
        self._order = np.resize(self._order, space) if len(self._order) else np.zeros(space, dtype=np.int64)
        self._columns = [
            torch.cat([column, values.new_empty((space - len(column), *values.shape[1:]))])
            for column, values in zip(self._columns, batch, strict=True)
        ]
