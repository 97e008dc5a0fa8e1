"""The strongest links of a network, when there are too many to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nif.core.types import Links


@dataclass(frozen=True, eq=False)
class Strongest:
    """Links sorted by their nats, most first; units are numbered through all layers.

    Attributes:
        source: Unit each link leads from.
        target: Unit it leads to.
        nats: Its weight, above 0.
        stderr: Standard error of the weight.
        p_value: Of its relevance.
        of: How many links have more than 0 nats.
    """

    source: Int[np.ndarray, " link"]
    target: Int[np.ndarray, " link"]
    nats: Float[np.ndarray, " link"]
    stderr: Float[np.ndarray, " link"]
    p_value: Float[np.ndarray, " link"]
    of: int

    def in_drawing_order(self) -> Strongest:
        """In the order to draw them, so that the strongest lie on top."""
        return Strongest(
            self.source[::-1],
            self.target[::-1],
            self.nats[::-1],
            self.stderr[::-1],
            self.p_value[::-1],
            self.of,
        )


def strongest(links: Sequence[Links], sizes: Sequence[int], most: int) -> Strongest:
    """The links with the most nats, at most so many, and none of 0 nats or less."""
    first = np.concatenate([[0], np.cumsum(sizes)])
    parts = [_strongest_between(found, most) for found in links]
    both = list(zip(links, parts, strict=True))
    source = np.concatenate([rows + first[found.source] for found, (rows, _) in both])
    target = np.concatenate([columns + first[found.target] for found, (_, columns) in both])
    nats = np.concatenate([found.nats[cells] for found, cells in both])
    stderr = np.concatenate([found.stderr[cells] for found, cells in both])
    p_value = np.concatenate([found.p_value[cells] for found, cells in both])
    order = np.argsort(-nats, kind="stable")[:most]
    total = sum(int((found.nats > 0).sum()) for found in links)
    return Strongest(source[order], target[order], nats[order], stderr[order], p_value[order], total)


def _strongest_between(found: Links, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the strongest links between two layers, in the order of the table."""
    nats = found.nats.ravel()
    cells = np.flatnonzero(nats > 0)
    if len(cells) > most:
        weakest = np.partition(nats[cells], len(cells) - most)[len(cells) - most]
        cells = cells[nats[cells] >= weakest]
    rows, columns = np.divmod(cells, found.nats.shape[1])
    return rows, columns
