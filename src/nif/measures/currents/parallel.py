"""Blocks of rows, one after the other or in several processes, with the same bits.

Blocks are fixed, each runs in the same number of threads, and their sums are added in float64 in the order of
the blocks, so results depend neither on the number of processes nor on the backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from joblib import delayed

from nif.core.parallel import in_parallel
from nif.core.types import Advance, ignore
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.blocks import Block
from nif.measures.currents.link_maps import LinkMaps
from nif.measures.currents.path_integral import PathIntegral


def integrated(
    path: PathIntegral,
    blocks: Iterator[Block],
    n_jobs: int | None,
    advance: Advance,
    *,
    with_weights: bool = True,
) -> Sums:
    """The sums over all blocks.

    Args:
        path: What is integrated.
        blocks: Of rows.
        n_jobs: Processes, through joblib; None for this one.
        advance: Called with the pairs times steps that were done since the last call.
        with_weights: Whether the currents of weights are summed too.
    """
    first = next(blocks)
    maps = path.maps(first) if with_weights else None
    sums, blocks = Sums(maps, loose=maps is None), chain([first], blocks)
    if n_jobs is None:
        for block in blocks:
            path.add(block, sums, advance)
        return sums
    threads = torch.get_num_threads()
    tasks = (delayed(_of_block)(path, block, maps, threads) for block in blocks)
    for pairs, of_block in in_parallel(n_jobs, tasks):
        sums.include(of_block)
        advance(float(pairs * path.runs))
    return sums


def _of_block(path: PathIntegral, block: Block, maps: LinkMaps | None, threads: int) -> tuple[int, Sums]:
    """Number of pairs and sums of one block."""
    before, sums = torch.get_num_threads(), Sums(maps, loose=maps is None)
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            path.add(block, sums, ignore)
    finally:
        torch.set_num_threads(before)
    return block.backgrounds.size, sums
