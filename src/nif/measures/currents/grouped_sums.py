"""Sums over pairs of rows and backgrounds, from which each group of rows can be left out in both roles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

GROUPS = 10
"""Groups of rows; each is left out once for the standard errors."""

FULL_CONTRASTS = 2**14
"""Sums of fewer numbers keep all `GROUPS` - 1 contrasts of their pairs; of more, one."""

LARGE = 2**20
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

    def add(self, group: int, parts: Iterable[Tensor]) -> None:
        """Add sums over the pairs of rows of a group and backgrounds of each group, one after the other."""
        whole, contrasts = torch.zeros(()), {}
        for other, part in enumerate(parts):
            if other == 0:
                several = part.numel() < FULL_CONTRASTS
                whole = torch.zeros_like(part, dtype=torch.float32 if _is_large(part) else torch.float64)
                contrasts = {number: torch.zeros_like(part) for number in range(1, GROUPS if several else 2)}
            whole += part
            if other != group:
                _increase(self.involving, other, part)
            for number, contrast in contrasts.items():
                angle = math.pi * number * ((group + other) % GROUPS + 0.5) / GROUPS
                contrast.add_(part, alpha=math.sqrt(2 / GROUPS) * math.cos(angle))
        _increase(self.involving, group, whole)
        for number, contrast in contrasts.items():
            _increase(self.contrasts, number, contrast)
        if self.total.shape != whole.shape:
            self.total = np.zeros(whole.shape)
        self.total += whole.numpy(force=True)

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


def _is_large(part: Tensor) -> bool:
    """Whether sums of it are kept in float32, but for the total of all."""
    return part.numel() > LARGE


def _increase(sums: dict[int, np.ndarray], key: int, part: Tensor) -> None:
    array = part.numpy(force=True)
    if key in sums:
        sums[key] += array
    else:
        sums[key] = array.astype(np.float32 if _is_large(part) else np.float64)


def _united(some: dict[int, np.ndarray], others: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    return some | {key: part + some[key] if key in some else part for key, part in others.items()}
