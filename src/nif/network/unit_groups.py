"""Which units of a network can only be removed together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

UnitIds: TypeAlias = Int64[np.ndarray, " _"]
"""Numbers of some units; a number repeats where one channel became many features."""


@dataclass(eq=False)
class UnitGroups:
    """Which units of a network can only be removed together, such as those that are added.

    Example:
        >>> groups = UnitGroups()
        >>> left, right = groups.new(2), groups.new(2)
        >>> groups.join(left, right)
        >>> groups.of(right).tolist()
        [0, 1]
    """

    count: int = 0
    _pairs: list[Int64[np.ndarray, "2 pair"]] = field(default_factory=list)
    _fixed: list[UnitIds] = field(default_factory=list)
    _outputs: list[UnitIds] = field(default_factory=list)
    _groups: UnitIds | None = None

    def new(self, count: int) -> UnitIds:
        """Numbers of `count` units that nothing joins to others yet."""
        self.count, self._groups = self.count + count, None
        return np.arange(self.count - count, self.count)

    def join(self, left: UnitIds, right: UnitIds) -> None:
        """From now on the units at the same place of both are removed together."""
        self._pairs.append(np.stack([left, right]))
        self._groups = None

    def keep_width(self, units: UnitIds) -> None:
        """These units can be zeroed but not cut out."""
        self._fixed.append(units)

    def mark_output(self, units: UnitIds) -> None:
        """The network returns these units, which therefore stay."""
        self._outputs.append(units)

    def of(self, units: UnitIds) -> UnitIds:
        """The smallest number among the units that each unit is removed with."""
        if self._groups is None:
            pairs = np.concatenate([np.zeros((2, 0), dtype=np.int64), *self._pairs], axis=1)
            links = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), (self.count, self.count))
            _, group = connected_components(links, directed=False)
            _, smallest = np.unique(group, return_index=True)
            self._groups = smallest[group]
        return np.asarray(self._groups[units], dtype=np.int64)

    def has_fixed_width(self, units: UnitIds) -> Bool[np.ndarray, " unit"]:
        """Whether the unit, or one that is removed with it, cannot be cut out."""
        return self._are_in(self._fixed, units)

    def is_output(self, units: UnitIds) -> Bool[np.ndarray, " unit"]:
        """Whether the unit, or one that is removed with it, is an output of the network."""
        return self._are_in(self._outputs, units)

    def _are_in(self, some: list[UnitIds], units: UnitIds) -> Bool[np.ndarray, " unit"]:
        together = np.concatenate([np.zeros(0, dtype=np.int64), *some])
        return np.isin(self.of(units), self.of(together))
