"""Blocks of rows, one after the other or in several processes, with the same bits.

Blocks are fixed, each runs in the same number of threads, and their sums are added in float64 in the order of
the blocks, so results depend neither on the number of processes nor on the backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import torch
from joblib import delayed

from nif.core.checkpoint import Stage
from nif.core.executors import unless_stopped
from nif.core.parallel import in_parallel
from nif.core.shared import Shared
from nif.core.types import Advance
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.blocks import Block
from nif.measures.currents.link_maps import LinkMaps
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.stored_sums import put, restore


def integrated(
    path: PathIntegral,
    blocks: Iterator[Block],
    n_jobs: int | None,
    advance: Advance,
    *,
    with_weights: bool = True,
    stage: Stage | None = None,
    scratch: Path | None = None,
) -> Sums:
    """The sums over all blocks.

    Args:
        path: What is integrated.
        blocks: Of rows.
        n_jobs: Processes, through joblib; None for this one.
        advance: Called with the pairs times steps that were done since the last call.
        with_weights: Whether the currents of weights are summed too.
        stage: Of a checkpoint, which holds the blocks that are finished.
        scratch: Folder for what processes share; see `Resources`.
    """
    first = next(blocks)
    maps = path.maps(first) if with_weights else None
    sums, blocks = Sums(maps, loose=maps is None), chain([first], blocks)
    done = 0 if stage is None else restore(stage, sums)
    for block in islice(blocks, done):
        advance(float(block.backgrounds.size * path.runs))
    for number, _ in enumerate(_added(path, blocks, sums, n_jobs, advance, scratch), done):
        if stage is not None:
            put(stage, sums, number)
    return sums


def _added(
    path: PathIntegral,
    blocks: Iterator[Block],
    sums: Sums,
    n_jobs: int | None,
    advance: Advance,
    scratch: Path | None,
) -> Iterator[None]:
    """Add one block after the other."""
    if n_jobs is None:
        for block in blocks:
            path.add(block, sums, advance)
            yield
        return
    given = Shared((path, sums.maps, torch.get_num_threads()), scratch)
    tasks = (delayed(_of_block)(given, block) for block in blocks)
    for pairs, of_block in in_parallel(n_jobs, tasks):
        sums.include(of_block)
        advance(float(pairs * path.runs))
        yield


def _of_block(given: Shared[tuple[PathIntegral, LinkMaps | None, int]], block: Block) -> tuple[int, Sums]:
    """Number of pairs and sums of one block."""
    path, maps, threads = given.value
    before, sums = torch.get_num_threads(), Sums(maps, loose=maps is None)
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            path.add(block, sums, unless_stopped)
    finally:
        torch.set_num_threads(before)
    sums.maps = None  # known, and not to be sent back with each block
    return block.backgrounds.size, sums
