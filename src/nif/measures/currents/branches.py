"""Steps whose two ends run different operations: the step is taken once by those of each end.

A network may choose its path by the data. Where the choice differs between the ends of a step, no operation
at one end has its partner at the other. So the operations of the beginning are repeated with the numbers of
the end, and those of the end with the numbers of the beginning; every rule holds for either. Between the two,
each outcome has the shares with which the change of its information is met: those of the parts of the step
on either side of the branch. What no shares meet, as of a jump, is missed, and measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.measures.currents.tape import Tape

WIDTHS = (1.0, 0.25, 0.0625, 0.015625)
"""Parts of a step that are tried where the operations of one end give no numbers at the other."""

Part = tuple[Tape, Tape, Tensor]
"""Two runs of the same operations, and the slopes to walk back from between them."""


def by_both_ends(
    start: Tape, end: Tape, inputs: Callable[[float], Sequence[Tensor]], seeds: Tensor
) -> tuple[list[Part], Tensor]:
    """A step by the operations of its beginning and by those of its end, with their shares.

    Args:
        start: The run at its beginning.
        end: At its end.
        inputs: At a share of the step.
        seeds: Slopes of the decision at the outcomes.

    Returns:
        Both parts, and what they miss of the decision, outcome by outcome.

    Raises:
        InputError: The operations of one end give no numbers at the other, however short the step.
    """
    first = start, *_beyond(start, inputs)
    last = end, *_beyond(end, lambda width: inputs(1 - width))
    by_first, by_last = _change(start, first[1]) * first[2], _change(last[1], end) * last[2]
    whole, apart = _change(start, end), by_first - by_last
    share = torch.where(apart == 0, 0.5, (whole - by_last) / torch.where(apart == 0, 1.0, apart)).clamp(0, 1)
    missed = seeds * (whole - share * by_first - (1 - share) * by_last)
    parts = [
        (start, first[1], seeds * share * first[2]),
        (last[1], end, seeds * (1 - share) * last[2]),
    ]
    return parts, missed


def _change(start: Tape, end: Tape) -> Tensor:
    """Of the outcomes."""
    change: Tensor = end.values[end.outputs[0]] - start.values[start.outputs[0]]
    return change


def _beyond(tape: Tape, inputs: Callable[[float], Sequence[Tensor]]) -> tuple[Tape, float]:
    """The operations of a tape as far on as they give numbers; and how many times as long the step is."""
    for width in WIDTHS:
        for again in _repetitions(tape, inputs(width)):
            if all(bool(torch.isfinite(again.values[index]).all()) for index in again.outputs):
                return again, 1 / width
    raise InputError(
        "The model runs different operations along the way from one row to another, and those on one side "
        "give no numbers on the other; expected branches whose operations are defined on all rows."
    )


def _repetitions(tape: Tape, inputs: Sequence[Tensor]) -> Iterator[Tape]:
    """With masks and indices of these inputs, where these fit, and with those of the tape."""
    for fixed in (False, True):
        again = repeated(tape, inputs, fixed=fixed)
        if again is not None:
            yield again


def repeated(tape: Tape, inputs: Sequence[Tensor], *, fixed: bool = False) -> Tape | None:
    """The operations of a tape with the numbers of other inputs.

    Args:
        tape: What its inputs do not reach must be kept.
        inputs: In place of those of the tape.
        fixed: Whether masks and indices that are computed by themselves stay those of the tape.

    Returns:
        None where masks and indices of these inputs lead to values of other shapes.

    Example:
        >>> from nif.measures.currents.tape import record
        >>> x = torch.tensor([3.0])
        >>> tape = record(lambda mark, x: [x * 2 if x > 0 else x], [x], {})
        >>> again = repeated(tape, [-x])
        >>> again.values[again.outputs[0]]
        tensor([-6.])
    """
    values = list(tape.values)
    values[: len(inputs)] = inputs
    reached = tape.moving | tape.dependent
    wanted = tape.moving if fixed else reached
    for operation in tape.operations:
        if wanted.isdisjoint(index for index in operation.written if index is not None):
            continue
        try:
            results = operation.again(lambda index: values[index])
        except (RuntimeError, IndexError):
            return None
        for index, result in zip(operation.written, results, strict=True):
            if index in reached:
                if result.shape != tape.shape(index):
                    return None
                values[index] = result
    return replace(tape, values=values)
