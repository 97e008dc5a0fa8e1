"""Widths that are multiples of a number, such as 8, at which matrix products are fast."""

from __future__ import annotations

import numpy as np

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem


def rounded(problem: PruningProblem, removed: UnitIds, multiple: int) -> UnitIds:
    """Units to remove, without those that must stay so that every width is a multiple, or as it was.

    The width of a module is the number of units that its weights compute. Where the number that stays is no
    multiple, it is rounded up: of the removed units, the last ones stay. A module with too few units for the
    next multiple loses none.

    Args:
        problem: With the places of units.
        removed: Labels of the units, the least important first.
        multiple: The number; 1 leaves all as they are.
    """
    if multiple == 1:
        return removed
    groups = problem.weights.groups
    widths = [groups.of(units) for units in problem.weights.rows.values()]
    order = {label: place for place, label in enumerate(removed.tolist())}
    changed = True
    while changed:  # a unit may be in several modules, such as those that are added
        changed = False
        for width in widths:
            gone = width[np.isin(width, removed) & ~groups.has_fixed_width(width)]
            excess = _excess(len(width), len(gone), multiple)
            if excess == 0:
                continue
            last = sorted(set(gone.tolist()), key=order.__getitem__)[::-1]
            counts = np.cumsum([int((gone == label).sum()) for label in last])
            stay = last[: int(np.searchsorted(counts, excess)) + 1]
            removed, changed = removed[~np.isin(removed, stay)], True
    return removed


def _excess(width: int, gone: int, multiple: int) -> int:
    """How many of the units that are gone must stay.

    Example:
        >>> _excess(32, 13, 8), _excess(32, 8, 8), _excess(10, 1, 8)
        (5, 0, 1)
    """
    return min(gone, -(width - gone) % multiple) if gone else 0
