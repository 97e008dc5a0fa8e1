"""Sums over pairs of rows and backgrounds, from which each group of rows can be left out in both roles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

GROUPS = 10
"""Groups of rows; each is left out once for the standard errors."""

FULL_CONTRASTS = 2**14
"""Sums of fewer numbers keep all `GROUPS` - 1 contrasts of their pairs; of more, one."""

Tile = tuple[slice, slice]
"""Some rows and columns."""

SMALL = 2**16
"""Numbers of a part that are added by one thread."""

LARGE = 2**19
"""Sums of more numbers are kept in float32, but for the total of all blocks."""


@dataclass(eq=False)
class GroupedSum:
    """A sum over pairs, and for each group the part of it that involves the group in either role.

    Attributes:
        total: The sum.
        involving: The part of pairs whose row or background is of a group, by group.
        contrasts: Differences, of norm 1, between ten parts of the pairs, in each of which every group has
            both roles once. Only what is particular to pairs differs there.
    """

    total: np.ndarray = field(default_factory=lambda: np.zeros(()))
    involving: dict[int, np.ndarray] = field(default_factory=dict)
    contrasts: dict[int, np.ndarray] = field(default_factory=dict)
    _room: list[np.ndarray] = field(default_factory=list, init=False, repr=False)

    def add(
        self,
        group: int,
        parts: Iterable[Tensor | None],
        at: Tile | EllipsisType = ...,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """Add sums over the pairs of rows of a group and backgrounds of each group, one after the other.

        Args:
            group: Of the rows.
            parts: The sums; None where there is no pair.
            at: Tile of a large sum that these are the sums of.
            shape: Of that sum; that of the parts if None.
        """
        table: _Table | None = None
        for other, part in enumerate(parts):
            if part is None:
                continue
            if table is None:
                table = _Table(part, shape)
                self._make_room(table)
            numbers = table.add(part, (group + other) % GROUPS)
            if other != group:
                self._increase(self.involving, other, at, numbers)
        if table is None:
            return
        whole, contrasts = table.sums()
        self._increase(self.involving, group, at, whole)
        for number, contrast in enumerate(contrasts, 1):
            self._increase(self.contrasts, number, at, contrast)
        self.total[at] += whole

    def _make_room(self, table: _Table) -> None:
        """For all parts in one array: a large one is mapped by itself, and given back as soon as it is freed.

        Among what a block needs for a moment, parts would keep the memory around them from being given back.
        """
        if self.total.shape == table.shape:
            return
        self.total = np.zeros(table.shape)
        self._room = list(_zeros((GROUPS + table.number_of_contrasts, *table.shape), table.shape))

    def _increase(
        self, sums: dict[int, np.ndarray], key: int, at: Tile | EllipsisType, part: np.ndarray
    ) -> None:
        """Add to one of the parts."""
        if key not in sums:
            sums[key] = self._room.pop() if self._room else _zeros(self.total.shape, self.total.shape)
        here = sums[key][at]
        if part.size > SMALL:
            torch.from_numpy(here).add_(torch.from_numpy(part))
        else:
            here += part

    def __getstate__(self) -> dict[str, Any]:
        """Without the room for parts that have nothing yet, which no process needs of another."""
        return self.__dict__ | {"_room": []}

    def include(self, other: GroupedSum) -> None:
        """Add the sums of other pairs, with the same bits as `add` has for them."""
        for mine, parts in ((self.involving, other.involving), (self.contrasts, other.contrasts)):
            for key, part in parts.items():
                mine[key] = mine[key] + part if key in mine else part
        self.total = self.total + other.total

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> GroupedSum:
        """A linear function of every sum."""
        return GroupedSum(
            np.asarray(function(self.total)),
            {group: np.asarray(function(part)) for group, part in self.involving.items()},
            {number: np.asarray(function(part)) for number, part in self.contrasts.items()},
        )

    def plus(self, other: GroupedSum) -> GroupedSum:
        """The sum of two sums over the same pairs."""
        return GroupedSum(
            np.asarray(self.total + other.total),
            _united(self.involving, other.involving),
            {k: self.contrasts[k] + other.contrasts[k] for k in self.contrasts if k in other.contrasts},
        )


def bytes_of_sum(numbers: int) -> int:
    """Bytes of a sum of so many numbers, its parts by group and its contrasts.

    Example:
        >>> bytes_of_sum(1000), bytes_of_sum(2**21)
        (160000, 109051904)
    """
    contrasts = GROUPS - 1 if numbers < FULL_CONTRASTS else 1
    return numbers * (8 + (GROUPS + contrasts) * (4 if numbers > LARGE else 8))


class _Table:
    """What the parts of a sum, or of a tile of it, add up to.

    Args:
        part: The first, of which only shape and kind are read.
        shape: Of the whole sum; that of the part if None.

    Attributes:
        shape: Of the whole sum.
        number_of_contrasts: See `GroupedSum`.
    """

    def __init__(self, part: Tensor, shape: tuple[int, ...] | None) -> None:
        self.shape = tuple(part.shape) if shape is None else shape
        size = math.prod(self.shape)
        self._few = size < FULL_CONTRASTS
        self.number_of_contrasts = GROUPS - 1 if self._few else 1
        self._weights = _weights(self.number_of_contrasts)
        if self._few:
            self._parts = np.zeros((GROUPS, *part.shape))
        else:
            self._weights = self._weights.to(part).reshape(*self._weights.shape, *[1] * part.dim())
            self._whole = torch.zeros_like(part, dtype=torch.float32 if size > LARGE else torch.float64)
            self._contrasts = part.new_zeros(1, *part.shape)

    def add(self, part: Tensor, place: int) -> np.ndarray:
        """Add a part, by the sum of the numbers of its two groups; returns it as an array."""
        numbers: np.ndarray = part.numpy(force=True)
        if self._few:  # they are added together at the end, in fewer calls
            self._parts[place] += numbers
        else:
            self._whole.add_(part)
            self._contrasts.addcmul_(self._weights[place], part)
        return numbers

    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """The sum of all parts, and their contrasts."""
        if self._few:
            return self._parts.sum(0), np.tensordot(self._weights.numpy(), self._parts, (0, 0))
        return self._whole.numpy(force=True), self._contrasts.numpy(force=True)


def _zeros(shape: tuple[int, ...], of_sum: tuple[int, ...]) -> np.ndarray:
    """For parts of a sum of some shape."""
    return np.zeros(shape, np.float32 if math.prod(of_sum) > LARGE else np.float64)


@cache
def _weights(contrasts: int) -> Tensor:
    """Of each group in each contrast, ``[group, contrast]``: a discrete cosine transform without its mean."""
    number, group = np.arange(1, contrasts + 1), np.arange(GROUPS)[:, None]
    return torch.from_numpy(math.sqrt(2 / GROUPS) * np.cos(math.pi * number * (group + 0.5) / GROUPS))


def _united(some: dict[int, np.ndarray], others: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    return some | {key: part + some[key] if key in some else part for key, part in others.items()}
