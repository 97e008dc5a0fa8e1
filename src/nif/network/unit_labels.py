"""Which units of a network are one and the same, so that they can only be removed together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int64

Unit = Int64[np.ndarray, "_"]
"""Labels of some units, as many as there are."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units along one axis of a tensor.

    Attributes:
        axis: The axis, counted from the front.
        labels: One label for each index of that axis; a label repeats where one channel became many features.
    """

    axis: int
    labels: Unit


@dataclass(eq=False)
class Labels:
    """A label for every unit; units that are added to one another share theirs (a union-find).

    Example:
        >>> labels = Labels()
        >>> left, right = labels.new(2), labels.new(2)
        >>> labels.join(left, right)
        >>> labels.of(right).tolist()
        [0, 1]
    """

    parent: list[int] = field(default_factory=list)
    pinned: set[int] = field(default_factory=set)
    """Labels that something reads which can not be made narrower."""
    returned: set[int] = field(default_factory=set)
    """Labels of units that are outputs of the network themselves."""

    def new(self, count: int) -> Unit:
        """Labels for `count` units that nothing ties to others yet."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def join(self, left: Unit, right: Unit) -> None:
        """From now on the units at the same place of both are one."""
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self.parent[high] = low

    def pin(self, units: Unit) -> None:
        """These units can be silenced but not cut out."""
        self.pinned.update(units.tolist())

    def give_out(self, units: Unit) -> None:
        """The network returns these units, which therefore stay."""
        self.returned.update(units.tolist())

    def of(self, units: Unit) -> Unit:
        """The label that each unit shares with those it was joined to."""
        return np.array([self._root(unit) for unit in units.tolist()], dtype=np.int64)

    def is_pinned(self, units: Unit) -> Bool[np.ndarray, " unit"]:
        """Whether the unit, or one it was joined to, is pinned."""
        return self._are_in(self.pinned, units)

    def is_returned(self, units: Unit) -> Bool[np.ndarray, " unit"]:
        """Whether the unit, or one it was joined to, is an output of the network."""
        return self._are_in(self.returned, units)

    def _are_in(self, some: set[int], units: Unit) -> Bool[np.ndarray, " unit"]:
        roots = {self._root(unit) for unit in some}
        return np.array([self._root(unit) in roots for unit in units.tolist()], dtype=bool)

    def _root(self, unit: int) -> int:
        while self.parent[unit] != unit:
            self.parent[unit] = self.parent[self.parent[unit]]
            unit = self.parent[unit]
        return unit
