"""The number of steps of the way, chosen on a part of the sample, and the number of pairs of a block."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nif.core.checkpoint import Checkpoint
from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.blocks import Block, blocks
from nif.measures.currents.grouped_sums import GROUPS, LARGE, bytes_of_sum
from nif.measures.currents.kinds import Samples
from nif.measures.currents.parallel import integrated
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.size import LARGEST_SUMS_OF_ONE, Room, Size
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape

LARGEST_ERROR = 0.01
"""Of the current of a unit, as a part of the total."""

FEWER = 0.75
"""Part of the largest error up to which half as many steps are taken as were tried last: that their error is
twice as large is an estimate and no bound."""

LEAST_TOTAL = 1e-5
"""Nats; where the total is less, an error is taken as a part of this: the network decides next to nothing."""

FEWEST_STEPS, ENOUGH_STEPS, MOST_STEPS = 4, 64, 256

MOST_RUNS = 2**20
"""Pairs times steps up to which there may be more than `ENOUGH_STEPS`, so that many pairs take no longer; the
errors of their steps cancel in part."""

PILOT_ROWS, PILOT_BACKGROUNDS = 32, 8
"""Pairs that the number of steps is chosen on."""

MOST_PAIRS, MOST_TOGETHER = 2048, 8192
"""Pairs of a row and a background in one block, of one group of rows or of several."""

MOST_SUMS = 2**23
"""Numbers of weights that a block of several groups has sums of, for each with each group of backgrounds."""

SMALL_TAPE = 2**23
"""Numbers on the tape of one block of several groups: so many that calls of operations take no time beside
what they compute."""

LARGEST_TAPE = 3 * 2**24
"""Numbers on the tape of one block; blocks are small enough for that."""

BYTES_OF_A_NUMBER = 12
"""Of a number on the tape: at the ends of a step or of the way that it is read at, and its slope."""

BYTES_LOADED = 200 * 2**20
"""Of the libraries that the first call loads."""

MOST_LINKS = 2**28
"""Links between all layers; more are refused."""

BYTES_OF_A_LINK = 24
"""Its current, standard error and p-value."""

SMALL = 2**18
"""Numbers of the largest value of a block below which one thread is faster than several."""


def with_steps(
    path: PathIntegral,
    sample: Samples,
    size: Size,
    steps: int | str,
    advance: Advance,
    checkpoint: Checkpoint | None = None,
) -> tuple[PathIntegral, float | None]:
    """The path with its number of steps, and the error that they leave, as a part of the total.

    The error is the largest change of a unit when the steps were doubled. At a kink it halves with each
    doubling, and less than half of the change before may be luck, so it is at least that; and of half as many
    steps it is twice as large, so that they are taken if that is small enough.

    The first two trials, which are often all, advance by 1 each.

    Args:
        path: Whose steps are chosen.
        sample: Of which a part is integrated.
        size: Of blocks.
        steps: Their number; ``"auto"`` to double it until the error of no unit is above 1 % of the total, or
            1e-7 nats.
        advance: Called with the trials that were done since the last call.
        checkpoint: Holds the trials that are finished.
    """
    if not isinstance(steps, str):
        return replace(path, steps=int(steps)), None
    pilot = sample.pilot(PILOT_ROWS, PILOT_BACKGROUNDS)
    count, before, moved, error = FEWEST_STEPS, None, 0.0, 1.0
    most = min(MOST_STEPS, max(ENOUGH_STEPS, MOST_RUNS // sample.pairs))
    while count <= most:
        trial = replace(path, steps=count, columns=None)
        expected = count <= 2 * FEWEST_STEPS
        report = partial(_advance_by, advance if expected else ignore, 1 / (pilot.pairs * trial.runs))
        some = ungrouped_blocks(pilot, size)
        stage = None if checkpoint is None else checkpoint.stage(f"{count} steps")
        sums = integrated(trial, some, None, report, room=size.room, with_weights=False, stage=stage)
        now = {key: np.asarray(of_units.total) for key, of_units in sums.between.items()}
        total = max((float(np.abs(units.sum())) for units in now.values()), default=0.0)
        if before is not None:
            moved_before, moved = moved, _largest_change(now, before, sums)
            off = max(moved, moved_before / 2)
            error, limit = off / max(total, 1e-12), LARGEST_ERROR * max(total, LEAST_TOTAL)
            if 2 * off <= FEWER * limit:
                return replace(path, steps=count // 2), 2 * error
            if off <= limit:
                return replace(path, steps=count), error
        before, count = now, 2 * count
    warnings.warn(
        f"With {count // 2} steps the current of a unit may be off by {error:.1%} of the total; pass more, "
        f"such as Currents(steps={2 * count}), for a closer integral.",
        stacklevel=2,
    )
    return replace(path, steps=count // 2), error


def _advance_by(advance: Advance, part: float, done: float) -> None:
    advance(part * done)


def _largest_change(
    now: Mapping[tuple[int, int], np.ndarray], before: Mapping[tuple[int, int], np.ndarray], sums: Sums
) -> float:
    """Of a unit, when the steps are doubled; or what branches miss, if that is more."""
    nothing = np.zeros(())
    changes = [np.abs(now.get(key, nothing) - before.get(key, nothing)).max() for key in {*now, *before}]
    return max(sums.missed, *map(float, changes))


def blocks_of(sample: Samples, size: Size) -> Iterator[Block]:
    """Blocks of the rows of all kinds."""
    for kind in sample.kinds:
        yield from blocks(kind.rows, kind.weights, kind.backgrounds, sample.groups, size, sample.pool_groups)


def ungrouped_blocks(sample: Samples, size: Size) -> Iterator[Block]:
    """Fewer blocks, of rows of any groups, for what is not summed by group."""
    for kind in sample.kinds:
        together = np.zeros_like(sample.groups)
        yield from blocks(kind.rows, kind.weights, kind.backgrounds, together, size, sample.pool_groups)


def check_links(path: PathIntegral, sample: Samples, units: Sequence[int]) -> None:
    """Refuse layers with more links between them than there is room for, before anything is integrated.

    Args:
        path: What is integrated.
        sample: Of which two pairs are run.
        units: Of each layer.

    Raises:
        InputError: There are more than `MOST_LINKS`.
    """
    tape = path.tape(next(blocks_of(sample.pilot(1, 2), Size(2))), 0.0)
    structure = Structure.of(tape, path.layers_of(tape))
    feeding = {
        (source, layer)
        for value, layer in structure.layers.items()
        for source, _ in structure.origins.get(value, ())
    }
    links = sum(units[source] * units[target] for source, target in feeding)
    if links > MOST_LINKS:
        raise InputError(
            f"The {len(units)} layers have {links:.2g} links between them, which take about "
            f"{links * BYTES_OF_A_LINK / 2**30:.0f} GB; name fewer layers, such as the blocks of the "
            "network, with layers=."
        )


def bytes_of_weights(tape: Tape) -> int:
    """What the currents of all weights of a run take: their sums, the products of one block, the result.

    The sums of a kernel are those of its channels; large matrices are multiplied a tile at a time.
    """
    shapes: dict[tuple[int, bool], torch.Size] = {}
    for position, weighted in Structure.of(tape, {}).weighted.items():
        weight, kernel = tape.tensor(weighted.weight), tape.operations[position].kind == "convolution"
        shapes[weight.data_ptr(), kernel] = weight.shape
    sums = [math.prod(shape[:2]) if kernel else shape.numel() for (_, kernel), shape in shapes.items()]
    products = [s.numel() for (_, kernel), s in shapes.items() if kernel or s.numel() <= LARGE]
    return sum(map(bytes_of_sum, sums)) + BYTES_OF_A_LINK * sum(sums) + 4 * GROUPS * sum(products)


def size_of_blocks(path: PathIntegral, sample: Samples, memory: int) -> Size:
    """Such that no tape is too large.

    Blocks do not depend on the memory that is allowed, so that results do not; too little is a warning.
    """
    block = next(blocks_of(sample.pilot(1, 2), Size(2)))
    tape = path.tape(block, 0.0)
    if tape.outputs[0] not in tape.moving:
        raise InputError(
            "No operation of torch leads from the inputs to the output, so no current can be followed; "
            "expected a model that stays in torch, without numpy, .item() or .tolist() on the way."
        )
    _warn_of_rounded_ids(tape)
    sizes = [tape.values[i].numel() for i in tape.moving if isinstance(tape.values[i], Tensor)]
    a_pair = max(1, sum(sizes) // block.backgrounds.size)
    pairs = max(1, min(MOST_PAIRS, LARGEST_TAPE // a_pair))
    of_block, of_sums = BYTES_OF_A_NUMBER * a_pair * min(pairs, sample.pairs), bytes_of_weights(tape)
    if of_block + of_sums + BYTES_LOADED > memory:
        warnings.warn(
            f"A block of rows takes about {of_block / 2**20:.3g} MB, the currents of weights about "
            f"{of_sums / 2**20:.3g} MB, libraries up to {BYTES_LOADED / 2**20:.0f} MB, and memory is "
            f"{memory / 2**20:.3g} MB; it runs all the same, because blocks are fixed so that results do not "
            "depend on memory.",
            stacklevel=3,
        )
    groups = max(1, MOST_SUMS // (GROUPS * max(1, path.weights)))
    small = pairs * max(sizes) // block.backgrounds.size < SMALL
    together = min(MOST_TOGETHER, SMALL_TAPE // a_pair)
    room = None
    if path.outputs.device.type == "cpu" and of_sums <= LARGEST_SUMS_OF_ONE:
        room = Room(BYTES_OF_A_NUMBER * a_pair, of_sums, memory - of_sums - BYTES_LOADED)
    return Size(pairs, together, groups, small, a_pair / len(sizes), room)


def _warn_of_rounded_ids(tape: Tape) -> None:
    """Warn of categories among numbers, on whose way from one to another others lie."""
    writers = {index: one for one in tape.operations for index in one.written if index is not None}
    for lookup in (one for one in tape.operations if one.kind == "embedding"):
        writer = writers.get(lookup.args[1].index)
        while writer is not None and writer.kind != "_to_copy":
            before = [index for index in writer.read if index in tape.dependent]
            writer = writers.get(before[0]) if len(before) == 1 else None
        if writer is not None and not tape.moving.isdisjoint(writer.read):
            warnings.warn(
                "The model makes whole numbers of some features and looks them up in an embedding. The way "
                "from one such number to another leads through those between, so currents depend on how the "
                "categories are numbered. Pass them as an input of its own, of whole numbers, or as one-hot "
                "columns.",
                stacklevel=4,
            )
            return
