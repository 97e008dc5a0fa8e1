"""Blocks of rows, one after the other, several at a time, or in several processes, with the same bits.

Blocks are fixed, each runs in the same number of threads, and their sums are added in float64 in the order of
the blocks, so results depend neither on the number of processes nor on the backend.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

import torch
from joblib import delayed

from nif.core.checkpoint import Stage
from nif.core.executors import unless_stopped
from nif.core.parallel import in_parallel, in_threads, is_this_process
from nif.core.shared import Shared
from nif.core.types import Advance
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.blocks import Block
from nif.measures.currents.link_maps import LinkMaps
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.size import Room, enough_blocks
from nif.measures.currents.stored_sums import put, restore
from nif.network.preserve import torch_threads


def integrated(
    path: PathIntegral,
    blocks: Iterator[Block],
    n_jobs: int | None,
    advance: Advance,
    *,
    room: Room | None = None,
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
        room: For several blocks at a time; None to run one after the other, each in all threads of torch.
        with_weights: Whether the currents of weights are summed too.
        stage: Of a checkpoint, which holds the blocks that are finished.
        scratch: Folder for what processes share; see `Resources`.
    """
    first = list(islice(blocks, enough_blocks()))
    pairs = [block.backgrounds.size for block in first]
    threads, at_once = (torch.get_num_threads(), 1) if room is None else room.threads(pairs)
    maps = path.maps(first[0]) if with_weights else None
    sums, blocks = Sums(maps, loose=maps is None), chain(first, blocks)
    done = 0 if stage is None else restore(stage, sums)
    for block in islice(blocks, done):
        advance(float(block.backgrounds.size * path.runs))
    here = is_this_process(n_jobs)
    if here and at_once == 1:
        added = _one_by_one(path, blocks, sums, threads, advance)
    else:
        given = Shared((path, maps, threads), None if here else scratch)
        tasks = (delayed(_of_block)(given, block) for block in blocks)
        results = in_threads(at_once, tasks) if here else in_parallel(n_jobs or 1, tasks)
        added = _as_they_come(path, results, sums, advance)
    # The number that torch gives to threads begun later is the one that any thread has set last.
    with torch_threads(torch.get_num_threads()), closing(added):
        for number, _ in enumerate(added, done):
            if stage is not None:
                put(stage, sums, number)
    return sums


def _one_by_one(
    path: PathIntegral, blocks: Iterator[Block], sums: Sums, threads: int, advance: Advance
) -> Generator[None, None, None]:
    """Add one block after the other."""
    for block in blocks:
        with torch_threads(threads):
            path.add(block, sums, advance)
        yield


def _as_they_come(
    path: PathIntegral, results: Generator[tuple[int, Sums], None, None], sums: Sums, advance: Advance
) -> Generator[None, None, None]:
    """Add the sums of blocks that run elsewhere."""
    with closing(results):
        for pairs, of_block in results:
            sums.include(of_block)
            advance(float(pairs * path.runs))
            yield


def _of_block(given: Shared[tuple[PathIntegral, LinkMaps | None, int]], block: Block) -> tuple[int, Sums]:
    """Number of pairs and sums of one block."""
    path, maps, threads = given.value
    sums = Sums(maps, loose=maps is None)
    with torch_threads(threads), torch.no_grad():
        path.add(block, sums, unless_stopped)
    sums.maps = None  # known, and not to be sent back with each block
    return block.backgrounds.size, sums
