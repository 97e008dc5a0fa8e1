"""Which numbers of a result depend on which numbers of what an operation reads.

Two numbers belong together if they are in one group. An operation that moves data is run once on the places
of its numbers in place of them, so views, joins, shuffles, padding and indexing need no rule of their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nif.measures.currents.operation import Operation, Value, values_among
from nif.measures.currents.tape import Tape
from nif.network.operators import Effect, aten_operator

MOVES = frozenset([
    "_reshape_alias", "_unsafe_view", "as_strided", "as_strided_scatter", "cat", "channel_shuffle",
    "constant_pad_nd", "copy", "diagonal", "expand", "flip", "gather", "index", "index_put",
    "index_select", "narrow", "permute", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "repeat", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "reshape", "roll", "rot90", "select", "select_scatter", "slice",
    "slice_scatter", "split", "split_with_sizes", "squeeze", "stack", "t", "take", "transpose", "tril",
    "triu", "unbind", "unfold", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "unsqueeze",
    "view",
])  # fmt: skip
"""Operations that move numbers and change none."""

SAME = frozenset(
    ["_to_copy", "alias", "clone", "contiguous", "detach", "lift", "lift_fresh", "native_dropout"]
)
"""Operations whose first result is what they read, number by number."""

ACROSS = frozenset(["_fft_c2c", "_fft_c2r", "_fft_r2c", "bucketize", "searchsorted"])
"""Operations that share a row of the table with functions of single numbers, and are none."""

AXES = frozenset(["amax", "amin", "logsumexp", "max", "mean", "min", "prod", "sum", "var"])
"""Operations that combine numbers along the axes of their second argument, or all."""

INDEXED = frozenset(["gather", "index", "index_select", "take"])
"""Operations whose first argument alone is moved."""


@dataclass(frozen=True, eq=False)
class Dependence:
    """A number of the result depends on the numbers of a source that are in its group.

    Attributes:
        source: Group of each number of the source; None if each is its own.
        result: Group of each number of the result; -1 if it depends on none.
    """

    source: Int[Tensor, " given"] | None
    result: Int[Tensor, " number"]


def dependence(tape: Tape, operation: Operation, place: int = 0) -> dict[int, Dependence] | None:
    """What a result depends on, by the number of each source that may move.

    Args:
        tape: Whose values are all kept.
        operation: One of its operations.
        place: Of the result among those of the operation.

    Returns:
        None where every number may depend on every other.

    Example:
        >>> from nif.measures.currents.tape import record
        >>> tape = record(lambda mark, x: [torch.cat([x.flip(1), x], 1)], [torch.zeros(1, 3)], {})
        >>> [dependence(tape, operation)[0].result.tolist() for operation in tape.operations]
        [[2, 1, 0], [-1, -1, -1, 0, 1, 2]]
    """
    index, kind = operation.written[place], operation.kind
    if index is None:
        return {}
    shape = tape.shape(index)
    if kind in MOVES:
        return _moved(tape, operation, place)
    sources = list(dict.fromkeys(operation.read))
    others = (tape.moving | tape.dependent).intersection(sources[1:])
    if kind in SAME or _keeps_places(operation):
        return _elementwise(tape, sources[:1], shape) if place == 0 and not others else None
    effect, found = aten_operator(kind).effect, None
    if effect in (Effect.ELEMENTWISE, Effect.BINARY) and kind not in ACROSS:
        found = _elementwise(tape, sources, shape)
    elif kind in AXES:
        found = _along_axes(tape, operation, shape)
    elif place == 0 and not others and (effect is Effect.CHANNELWISE or "batch_norm" in kind):
        found = _channelwise(tape, operation, shape)
    return {} if effect is Effect.CONSTANT else found


def _keeps_places(operation: Operation) -> bool:
    """Whether it is a batch norm with given statistics."""
    kind = operation.kind
    return kind.endswith("no_training") or (kind == "native_batch_norm" and not operation.args[5])


def _moved(tape: Tape, operation: Operation, place: int) -> dict[int, Dependence] | None:
    """By a run on places, which begin at 1: 0 is what is filled in."""
    data = {value.index for value in values_among(_data_arguments(operation))}
    chosen_by_data = any(index in tape.dependent and index not in data for index in operation.read)
    if chosen_by_data or (operation.kind == "index_put" and operation.argument(3, False)):
        return None
    first, numbered, count = {}, {}, 1
    for index in dict.fromkeys(operation.read):
        value = tape.tensor(index)
        if index in data:
            places = torch.arange(count, count + value.numel(), dtype=torch.float64)
            first[index], numbered[index] = count, places.reshape(value.shape)
            count += value.numel()
    filled = operation if operation.kind != "constant_pad_nd" else replace(operation, args=operation.args[:2])
    codes = filled.again(lambda i: numbered[i] if i in numbered else tape.tensor(i))[place].long().flatten()
    found = {}
    for index, begin in first.items():
        inside = (codes >= begin) & (codes < begin + numbered[index].numel())
        found[index] = Dependence(None, torch.where(inside, codes - begin, -1))
    return found


def _data_arguments(operation: Operation) -> tuple[Any, ...]:
    """Arguments that are moved; the others are indices."""
    if operation.kind == "index_put":
        return operation.args[0], operation.args[2]
    return operation.args[:1] if operation.kind in INDEXED else operation.args[:2]


def _elementwise(tape: Tape, sources: Sequence[int], shape: Sequence[int]) -> dict[int, Dependence] | None:
    """Number by number, where sources may be broadcast."""
    if np.broadcast_shapes(*map(tape.shape, sources)) != tuple(shape):  # that of torch imports sympy
        return None
    found = {}
    for index in sources:
        places = torch.arange(tape.shape(index).numel()).reshape(tape.shape(index))
        found[index] = Dependence(None, places.expand(shape).flatten())
    return found


def _channelwise(tape: Tape, operation: Operation, shape: Sequence[int]) -> dict[int, Dependence] | None:
    """All positions of a channel belong together."""
    source = operation.read[0]
    before = tape.shape(source)
    digits = re.search(r"(\d)d", operation.kind)
    leading = len(before) - int(digits.group(1)) if digits else 2
    of_batch = digits is None and before[0] > 1  # statistics of several rows
    if leading < 1 or before[:leading] != shape[:leading] or of_batch:
        return None
    groups = torch.arange(math.prod(shape[:leading]))
    of_source = groups.repeat_interleave(math.prod(before[leading:]))
    return {source: Dependence(of_source, groups.repeat_interleave(math.prod(shape[leading:])))}


def _along_axes(tape: Tape, operation: Operation, shape: Sequence[int]) -> dict[int, Dependence] | None:
    """What is combined belongs together."""
    source = operation.read[0]
    before, axes = tape.shape(source), _axes(operation)
    if axes is None or len(operation.read) > 1:
        return None
    kept = [
        1 if not axes or axis in axes or axis - len(before) in axes else n for axis, n in enumerate(before)
    ]
    if math.prod(kept) != math.prod(shape):
        return None
    groups = torch.arange(math.prod(kept)).reshape(kept).expand(before).flatten()
    return {source: Dependence(groups, torch.arange(math.prod(shape)))}


def _axes(operation: Operation) -> list[int] | None:
    """Axes along which numbers are combined; empty for all."""
    axes: Any = operation.argument(1, operation.kwargs.get("dim"))
    if isinstance(axes, Value | bool):
        return None
    return [] if axes is None else [axes] if isinstance(axes, int) else list(axes)
