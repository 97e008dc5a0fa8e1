"""Sums over pairs of rows and backgrounds, from which each group of rows can be left out in both roles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

GROUPS = 10
"""Groups of rows; each is left out once for the standard errors."""

FULL_CONTRASTS = 2**14
"""Sums of fewer numbers keep all `GROUPS` - 1 contrasts of their pairs; of more, one."""


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

    def add(self, group: int, parts: Sequence[Tensor]) -> None:
        """Add sums over the pairs of rows of a group and backgrounds of each group."""
        whole = torch.zeros_like(parts[0], dtype=torch.float64)
        for other, part in enumerate(parts):
            whole += part
            if other != group:
                _increase(self.involving, other, part)
        _increase(self.involving, group, whole)
        for number in range(1, GROUPS if whole.numel() < FULL_CONTRASTS else 2):
            contrast = torch.zeros_like(parts[0])
            for other, part in enumerate(parts):
                angle = math.pi * number * ((group + other) % GROUPS + 0.5) / GROUPS
                contrast.add_(part, alpha=math.sqrt(2 / GROUPS) * math.cos(angle))
            _increase(self.contrasts, number, contrast)
        self.total = self.total + whole.numpy(force=True)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> GroupedSum:
        """A linear function of every sum."""
        return GroupedSum(
            function(self.total),
            {group: function(part) for group, part in self.involving.items()},
            {number: function(part) for number, part in self.contrasts.items()},
        )

    def plus(self, other: GroupedSum) -> GroupedSum:
        """The sum of two sums over the same pairs."""
        return GroupedSum(
            self.total + other.total,
            _united(self.involving, other.involving),
            {k: self.contrasts[k] + other.contrasts[k] for k in self.contrasts if k in other.contrasts},
        )


def _increase(sums: dict[int, np.ndarray], key: int, part: Tensor) -> None:
    array = part.numpy(force=True)
    if key in sums:
        sums[key] += array
    else:
        sums[key] = array.astype(np.float32 if array.size > 2**20 else np.float64)


def _united(some: dict[int, np.ndarray], others: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    return some | {key: part + some[key] if key in some else part for key, part in others.items()}
