"""How many pairs are in a block, and how many blocks run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

ENOUGH_BLOCKS = 8
"""From which each has one thread, however many torch has."""

LARGEST_TAPE_OF_ONE = 2**28
"""Bytes of the tape of a block up to which it has one thread; the operations of larger ones are long enough
for several."""

LARGEST_SUMS_OF_ONE = 2**27
"""Bytes of the sums of all weights up to which blocks run at a time: each has its own."""


@dataclass(frozen=True)
class Room:
    """For blocks that run at a time, each in one thread: while one runs the network, others walk back.

    Attributes:
        of_pair: Bytes of a pair on a tape.
        of_sums: Bytes of the sums of a block.
        at_once: Bytes of all blocks that run at a time.
    """

    of_pair: int
    of_sums: int
    at_once: int

    def threads(self, pairs: Sequence[int]) -> tuple[int, int]:
        """Threads of each block, and how many blocks run at a time.

        The first does not depend on the memory, because the last digits of results depend on it.

        Args:
            pairs: Of the first `enough_blocks`, or of all if these are fewer.

        Example:
            >>> _, at_once = Room(1000, 0, 10**6).threads([2**20])  # so large that all threads work on one
            >>> at_once
            1
        """
        tape = self.of_pair * max(pairs)
        if len(pairs) < enough_blocks() or tape > LARGEST_TAPE_OF_ONE:
            return torch.get_num_threads(), 1
        room = self.at_once // (tape + 2 * self.of_sums)  # of a block that runs, and of one that waits
        return 1, max(1, min(torch.get_num_threads(), room))


def enough_blocks() -> int:
    """From how many each has one thread: as many as torch has threads, or a few if these are many."""
    return min(torch.get_num_threads(), ENOUGH_BLOCKS)


@dataclass(frozen=True)
class Size:
    """How large blocks are.

    Attributes:
        pairs: Of a row and a background in a block of one group, at most.
        together: Pairs that several groups have in one block, at most; of few rows, so that operations that
            are small take longer to run than to call.
        groups: In one block, at most.
        small: Whether one thread is faster than several.
        numbers: On the tape of one pair, in the mean over values.
        room: For several blocks at a time; None where all threads of torch work on one.
    """

    pairs: int
    together: int = 0
    groups: int = 1
    small: bool = False
    numbers: float = 0.0
    room: Room | None = None
