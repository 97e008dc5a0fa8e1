"""Blocks of explained rows and their backgrounds: what is on one tape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.grouped_sums import GROUPS


@dataclass(frozen=True, eq=False)
class Block:
    """Explained rows of one group, and their backgrounds.

    Attributes:
        rows: Indices of the rows.
        weights: Of the rows; those of all blocks sum to 1.
        backgrounds: Indices of the background rows.
        log_weights: Of the backgrounds.
        own: Weight of the row itself among its backgrounds.
        group: Of the rows.
        background_groups: Of the backgrounds.
    """

    rows: Int64[np.ndarray, " row"]
    weights: Float[np.ndarray, " row"]
    backgrounds: Int64[np.ndarray, "row background"]
    log_weights: Float[np.ndarray, "row background"]
    own: float
    group: int
    background_groups: Int64[np.ndarray, "row background"]

    @property
    def order(self) -> Int64[np.ndarray, " pair"]:
        """Pairs by the group of the background, so that each group is one slice."""
        return np.argsort(self.background_groups.ravel(), kind="stable")

    @property
    def bounds(self) -> Int64[np.ndarray, " edge"]:
        """First pair of each group, and the number of pairs."""
        return np.searchsorted(np.sort(self.background_groups.ravel()), np.arange(GROUPS + 1))


def blocks(
    rows: Int64[np.ndarray, " row"],
    weights: Float[np.ndarray, " row"],
    backgrounds: Backgrounds,
    groups: Int64[np.ndarray, " data"],
    most_pairs: int,
    pool_groups: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Block]:
    """Blocks of rows, group by group; backgrounds of a pool of their own have groups of their own."""
    pool_groups = groups if pool_groups is None else pool_groups
    size = max(1, most_pairs // backgrounds.index.shape[1])
    for group in range(GROUPS):  # so that all rows of a block are left out together
        members = np.flatnonzero(groups[rows] == group)
        for first in range(0, len(members), size):
            part = members[first : first + size]
            yield Block(
                rows[part],
                weights[part],
                backgrounds.index[part],
                backgrounds.log_weights[part],
                backgrounds.own,
                group,
                pool_groups[backgrounds.index[part]],
            )
