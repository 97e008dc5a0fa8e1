"""Blocks of explained rows and their backgrounds: what is on one tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int64

from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.currents.size import Size

Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Block:
    """Explained rows, those of a group one after the other, and their backgrounds.

    Attributes:
        rows: Indices of the rows.
        weights: Of the rows; those of all blocks sum to 1.
        backgrounds: Indices of the background rows.
        log_weights: Of the backgrounds.
        own: Weight of the row itself among its backgrounds.
        groups: Of the rows, in ascending order.
        background_groups: Of the backgrounds.
        steps: How often each row is there, one after the other: once for each step that is taken at once.
    """

    rows: Int64[np.ndarray, " row"]
    weights: Float[np.ndarray, " row"]
    backgrounds: Int64[np.ndarray, "row background"]
    log_weights: Float[np.ndarray, "row background"]
    own: float
    groups: Int64[np.ndarray, " row"]
    background_groups: Int64[np.ndarray, "row background"]
    steps: int = 1

    def of_steps(self, steps: int) -> Block:
        """The block with its rows once for each of several steps.

        Example:
            >>> one = np.zeros((1, 2), dtype=np.int64)
            >>> block = Block(np.array([7]), np.ones(1), one, np.zeros((1, 2)), 0.0, one[:, 0], one)
            >>> block.of_steps(3).rows.tolist(), block.of_steps(3).step.tolist()
            ([7, 7, 7], [0, 0, 1, 1, 2, 2])
        """
        by_row = self.rows, self.weights, self.backgrounds, self.log_weights
        rows, weights, backgrounds, log_weights = (values.repeat(steps, axis=0) for values in by_row)
        groups = self.groups.repeat(steps), self.background_groups.repeat(steps, axis=0)
        return Block(rows, weights, backgrounds, log_weights, self.own, *groups, steps)

    @property
    def row(self) -> Int64[np.ndarray, " pair"]:
        """Of each pair, the place of its row among the rows of one step."""
        return self.order // self.backgrounds.shape[1] // self.steps

    @property
    def step(self) -> Int64[np.ndarray, " pair"]:
        """Of each pair, the number of its step."""
        return self.order // self.backgrounds.shape[1] % self.steps

    @cached_property
    def ends(self) -> tuple[Int64[np.ndarray, " pair"], Int64[np.ndarray, " pair"]]:
        """Indices of the background and of the row of each pair.

        Example:
            >>> background, zero = np.array([[3, 5]]), np.zeros((1, 2), dtype=np.int64)
            >>> block = Block(np.array([7]), np.ones(1), background, np.zeros((1, 2)), 0.0, zero[:, 0], zero)
            >>> [of_pairs.tolist() for of_pairs in block.ends]
            [[3, 5], [7, 7]]
        """
        row, background = np.divmod(self.order, self.backgrounds.shape[1])
        return self.backgrounds[row, background], self.rows[row]

    @cached_property
    def order(self) -> Int64[np.ndarray, " pair"]:
        """Pairs by the group of the row, then of the background, so that each two groups are one slice."""
        return np.argsort(self._cells, kind="stable")

    @cached_property
    def bounds(self) -> Int64[np.ndarray, " edge"]:
        """First pair of each two groups, and the number of pairs."""
        return np.searchsorted(self._cells[self.order], np.arange(len(np.unique(self.groups)) * GROUPS + 1))

    @property
    def _cells(self) -> Int64[np.ndarray, " pair"]:
        """The two groups of each pair as one number."""
        places = np.unique(self.groups, return_inverse=True)[1]
        return (places[:, None] * GROUPS + self.background_groups).ravel()

    def by_group(self, parts: Sequence[Part]) -> Iterator[tuple[int, Sequence[Part]]]:
        """The groups of rows, and of `parts` of all slices of pairs those of each."""
        for place, group in enumerate(np.unique(self.groups).tolist()):
            yield group, parts[place * GROUPS : (place + 1) * GROUPS]


def blocks(
    rows: Int64[np.ndarray, " row"],
    weights: Float[np.ndarray, " row"],
    backgrounds: Backgrounds,
    groups: Int64[np.ndarray, " data"],
    size: Size,
    pool_groups: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Block]:
    """Blocks of rows, group by group, of few rows several groups at a time.

    Args:
        rows: To explain.
        weights: Of these rows.
        backgrounds: Of these rows.
        groups: Of the rows of data.
        size: Of the blocks.
        pool_groups: Of the backgrounds; those of the rows of data if None.
    """
    pool_groups = groups if pool_groups is None else pool_groups
    each = backgrounds.index.shape[1]
    for part in _parts(groups[rows], max(1, size.pairs // each), size.together // each, size.groups):
        yield Block(
            rows[part],
            weights[part],
            backgrounds.index[part],
            backgrounds.log_weights[part],
            backgrounds.own,
            groups[rows[part]],
            pool_groups[backgrounds.index[part]],
        )


def _parts(
    groups: Int64[np.ndarray, " row"], size: int, together: int, most_groups: int
) -> Iterator[Int64[np.ndarray, " part"]]:
    """Rows of each block: several groups as long as there is room, or one, or a part of it."""
    order = np.argsort(groups, kind="stable")
    waiting: list[np.ndarray] = []
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if waiting and (len(waiting) == most_groups or sum(map(len, waiting)) + len(members) > together):
            yield np.concatenate(waiting)
            waiting = []
        if len(members) > together:
            yield from (members[first : first + size] for first in range(0, len(members), size))
        else:
            waiting.append(members)
    if waiting:
        yield np.concatenate(waiting)
