"""How many blocks run at a time, and in how many threads each."""

from __future__ import annotations

import pytest

from nif.measures.currents.size import LARGEST_TAPE_OF_ONE, Room
from nif.network.preserve import torch_threads


@pytest.mark.parametrize(
    ("torch_has", "pairs", "expected"),
    [
        (1, [10], (1, 1)),
        (2, [10], (2, 1)),
        (2, [10, 8], (1, 2)),
        (2, [LARGEST_TAPE_OF_ONE // 100, 8], (1, 1)),  # the largest tape of a block in one thread
        (2, [8, LARGEST_TAPE_OF_ONE // 100 + 1], (2, 1)),
        (3, [10, 10], (3, 1)),
        (16, [10] * 7, (16, 1)),
        (16, [10] * 8, (1, 4)),  # room for four tapes and twice as many sums
    ],
)
def test_small_blocks_have_one_thread_each(
    torch_has: int, pairs: list[int], expected: tuple[int, int]
) -> None:
    with torch_threads(torch_has):
        assert Room(of_pair=100, of_sums=500, at_once=4 * (1000 + 2 * 500)).threads(pairs) == expected


@pytest.mark.parametrize("at_once", [-1, 0, 1, 1999, 2000, 3999, 4000])
def test_threads_of_a_block_do_not_depend_on_the_memory(at_once: int) -> None:
    with torch_threads(2):
        assert Room(100, 500, at_once).threads([10, 10]) == (1, 2 if at_once == 4000 else 1)
