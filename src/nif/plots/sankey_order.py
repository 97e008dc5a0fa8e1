"""The order of bars in the columns of a Sankey diagram, so that few nats cross."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

SWEEPS = 12
"""To the right and to the left in turns."""

Order = list[Int[np.ndarray, " _"]]
"""Numbers of the bars of each column, from above."""


def ordered(
    columns: Order,
    source: Int[np.ndarray, " link"],
    target: Int[np.ndarray, " link"],
    weight: Float[np.ndarray, " link"],
    groups: Int[np.ndarray, " bar"],
    pinned: Bool[np.ndarray, " bar"],
) -> Order:
    """Sort the bars of each column by the mean place of those they are linked to, and keep the best sweep.

    Args:
        columns: The order to begin with.
        source: Bar where each link begins.
        target: Bar where it ends.
        weight: Of the links, 0 or more.
        groups: Bars of one group stay together, in the order of these numbers.
        pinned: Bars whose columns keep their order.

    References:
        Sugiyama, Tagawa & Toda (1981), Methods for visual understanding of hierarchical system structures,
        https://doi.org/10.1109/TSMC.1981.4308636

    Example:
        >>> begin = [np.array([0, 1]), np.array([2, 3])]
        >>> links, weight = (np.array([0, 1]), np.array([3, 2])), np.array([0.5, 0.2])
        >>> fixed = np.array([True, True, False, False])
        >>> [column.tolist() for column in ordered(begin, *links, weight, np.zeros(4, dtype=int), fixed)]
        [[0, 1], [3, 2]]
    """
    best, fewest = columns, crossings(columns, source, target, weight)
    for sweep in range(SWEEPS):
        at, other = (target, source) if sweep % 2 == 0 else (source, target)
        places = range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1)
        columns = list(columns)
        height = np.zeros(len(groups))
        for bars in columns:
            height[bars] = _spaced(len(bars))
        for place in places:
            bars = columns[place]
            if pinned[bars].any():
                continue
            moment = np.bincount(at, weight * height[other], len(groups))[bars]
            whole = np.bincount(at, weight, len(groups))[bars]
            middle = np.divide(moment, whole, out=np.full(len(bars), -1.0), where=whole > 0)
            columns[place] = bars[np.lexsort((-middle, groups[bars]))]
            height[columns[place]] = _spaced(len(bars))
        found = crossings(columns, source, target, weight)
        if found < fewest:
            best, fewest = columns, found
    return best


def _spaced(count: int) -> Float[np.ndarray, " bar"]:
    """Heights of the bars of a column."""
    return np.linspace(1, 0, count + 2)[1:-1]


def crossings(
    columns: Sequence[Int[np.ndarray, " _"]],
    source: Int[np.ndarray, " link"],
    target: Int[np.ndarray, " link"],
    weight: Float[np.ndarray, " link"],
) -> float:
    """Sum of the products of the weights of all pairs of links that cross between neighbouring columns.

    Example:
        >>> links = np.array([0, 1]), np.array([3, 2]), np.array([0.5, 0.2])
        >>> crossings([np.array([0, 1]), np.array([2, 3])], *links)
        0.1
    """
    whole, count = 0.0, sum(map(len, columns))
    for left, right in itertools.pairwise(columns):
        row, column = np.full(count, -1), np.full(count, -1)
        row[left], column[right] = np.arange(len(left)), np.arange(len(right))
        between = (row[source] >= 0) & (column[target] >= 0)
        matrix = np.zeros((len(left), len(right)))
        np.add.at(matrix, (row[source[between]], column[target[between]]), weight[between])
        above = np.cumsum(matrix, axis=0)[:-1]  # of the rows before each next one
        beyond = np.cumsum(above[:, ::-1], axis=1)[:, ::-1]
        whole += float((matrix[1:, :-1] * beyond[:, 1:]).sum())
    return whole
