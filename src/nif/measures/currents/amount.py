"""How many rows and backgrounds are measured: by default fewer where one run of the network takes long.

They are chosen by counted operations, not by time, so that the same call gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from nif.data.rows import Rows
from nif.network.network import Network

MOST_ROWS, FEWEST_ROWS = 512, 64

MOST_BACKGROUNDS, FEWEST_BACKGROUNDS = 32, 8

AFFORDABLE = 1e12
"""Operations of plain runs, for each row and background as many as there are class columns, and `ALL_CLASSES`
more. With the steps of the way and all that is summed, they take up to a minute on two cores."""

ALL_CLASSES = 3
"""Walks back for one class in the time of that for all together, which also sums links and units."""


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        rows: To explain.
        backgrounds: Of each row.
        limit: Of the backgrounds, where these are too few for the total.
    """

    rows: int
    backgrounds: int
    limit: int

    @classmethod
    def of(
        cls, network: Network, data: Rows, rows: int | None, backgrounds: int | None, columns: int
    ) -> Amount:
        """Numbers that are given stay as they are.

        Args:
            network: Of which a run is counted.
            data: Of which two rows are run.
            rows: To explain; None to choose their number.
            backgrounds: Of each row; None to choose their number.
            columns: Classes that have a walk back each.
        """
        pairs = AFFORDABLE / (network.cost(data) * (ALL_CLASSES + columns))
        if rows is None:
            rows = _between(FEWEST_ROWS, pairs / (backgrounds or MOST_BACKGROUNDS), MOST_ROWS)
            rows = min(rows, len(data))
        if backgrounds is None:
            backgrounds = _between(FEWEST_BACKGROUNDS, pairs / rows, MOST_BACKGROUNDS)
        return cls(rows, backgrounds, max(backgrounds, int(2 * pairs / rows)))

    def pairs(self, most_rows: int | None = None, most_backgrounds: int | None = None) -> float:
        """Pairs of a row and a background, or of at most so many.

        Example:
            >>> Amount(512, 32, 64).pairs(), Amount(512, 32, 64).pairs(64, 8)
            (16384.0, 512.0)
        """
        rows = min(self.rows, most_rows or self.rows)
        return float(rows * min(self.backgrounds, most_backgrounds or self.backgrounds))


def _between(least: int, number: float, most: int) -> int:
    """The largest multiple of the least that is no more than a number, within limits."""
    return min(most, max(1, int(number // least)) * least)
