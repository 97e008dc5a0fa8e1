"""Blocks of rows, one after the other or in several processes, with the same bits.

Blocks are fixed, each runs in the same number of threads, and their sums are added in float64 in the order of
the blocks, so results depend neither on the number of processes nor on the backend.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from joblib import Parallel, delayed

from nif.core.types import Advance, ignore
from nif.measures.currents.path_integral import Block, PathIntegral, Sums


def integrated(path: PathIntegral, blocks: Iterable[Block], n_jobs: int | None, advance: Advance) -> Sums:
    """The sums over all blocks.

    Args:
        path: What is integrated.
        blocks: Of rows.
        n_jobs: Processes, through joblib; None for this one.
        advance: Called with the pairs times steps that were done since the last call.
    """
    sums = Sums()
    if n_jobs is None:
        for block in blocks:
            path.add(block, sums, advance)
        return sums
    threads = torch.get_num_threads()
    tasks = (delayed(_of_block)(path, block, threads) for block in blocks)
    for pairs, of_block in Parallel(n_jobs=n_jobs, return_as="generator")(tasks):
        sums.include(of_block)
        advance(float(pairs * path.steps))
    return sums


def _of_block(path: PathIntegral, block: Block, threads: int) -> tuple[int, Sums]:
    """Number of pairs and sums of one block."""
    before, sums = torch.get_num_threads(), Sums()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            path.add(block, sums, ignore)
    finally:
        torch.set_num_threads(before)
    return block.backgrounds.size, sums
