"""Maxima, sorting and gathering: the numbers that are picked at the two ends share the step.

Also views of a memory that is written in place, as the tape notes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, as_number, move


@dataclass(frozen=True, eq=False)
class _Changes:
    """The picks that differ between the ends: from a number i to a number j.

    Attributes:
        at: Where they are among the picks, which are counted as one row.
        first: Where the numbers i are among the numbers, which are counted as one row.
        last: Where the numbers j are.
        jump: Half of what j is larger by than i, at the start and at the end together.
        swapped: Whether j was not larger at the start and is at the end, or the reverse.
        over: One over by how much that grows, where it is swapped; else 0.
        all_swapped: Whether all are.
    """

    at: Tensor
    first: Tensor
    last: Tensor
    jump: Tensor
    swapped: Tensor
    over: Tensor
    all_swapped: bool

    @classmethod
    def of(cls, before: Tensor, after: Tensor, picks: tuple[Tensor, Tensor]) -> _Changes:
        """Of picks along the last axis."""
        at = (picks[0] != picks[1]).flatten().nonzero().squeeze(1)
        row = at.div(picks[0].shape[-1], rounding_mode="floor") * before.shape[-1]
        first, last = (row + _taken(pick, at) for pick in picks)
        apart0, apart1 = (_taken(values, last) - _taken(values, first) for values in (before, after))
        swapped = (apart0 * apart1 <= 0) & (apart0 != apart1)
        over = torch.where(swapped, 1.0 / (apart1 - apart0), 0.0)
        return cls(at, first, last, (apart0 + apart1) / 2, swapped, over, bool(swapped.all()))


def _taken(values: Tensor, places: Tensor) -> Tensor:
    """Some of all numbers, several times faster than by an index."""
    return values.flatten().index_select(0, places)


def _picked(
    ends: Ends,
    between: tuple[Tensor, Tensor],
    picks: tuple[Tensor, Tensor],
    of_values: Tensor | None,
    of_indices: Tensor | None = None,
) -> Tensor:
    """The slope at the numbers of which some are picked, along the last axis.

    Where the pick changes from i to j, each has half of the slope, and the jump of what was picked and of its
    index belongs to the difference ``x_j - x_i`` that changed sign. Where that difference did not change sign
    (a third number moved between ranks), the jump is shared along the axis, in proportion to the squares of
    steps less their mean.

    Args:
        ends: The operation.
        between: The numbers at the start of the step, and at its end.
        picks: Their indices along the axis, at the start and at the end.
        of_values: Slope at what was picked.
        of_indices: Slope at the indices.
    """
    before, after = map(as_number, between)
    result = torch.zeros_like(before, memory_format=torch.contiguous_format)
    if of_values is not None:
        result.scatter_add_(-1, picks[0], of_values.to(result.dtype))
    changes = ends.once("changes", lambda: _Changes.of(before, after, picks))
    if not len(changes.jump):
        return result
    values = torch.zeros_like(changes.jump) if of_values is None else _taken(of_values, changes.at)
    values = values.to(result.dtype)
    jump = values * changes.jump  # of what the choice does, beside the half of each
    if of_indices is not None:
        jump = jump + _taken(of_indices, changes.at).to(jump.dtype) * (changes.last - changes.first)
    passed = values / 2 + jump * changes.over
    result.view(-1).index_add_(0, changes.first, passed, alpha=-1).index_add_(0, changes.last, passed)
    if changes.all_swapped:
        return result
    left = result.new_zeros(picks[0].numel()).index_copy_(0, changes.at, jump * ~changes.swapped)
    left = left.reshape(picks[0].shape).sum(-1, True)
    step = move(before, after)
    step = step - step.mean(-1, True)  # a constant that is added to all changes no order
    length = step.square().sum(-1, True)
    return result + torch.where(length > 0, left / torch.where(length > 0, length, 1.0), 0.0) * step


def _largest(
    ends: Ends,
    between: tuple[Tensor, Tensor],
    picks: tuple[Tensor, Tensor],
    of_values: Tensor | None,
    of_indices: Tensor | None = None,
) -> Tensor:
    """The same where the largest is picked, or the smallest.

    The larger of i and j is half their sum and half their distance, whose secant is exact: j has the part of
    the slope by which ``x_j - x_i`` ends above 0, and i the rest.
    """
    if of_values is None or of_indices is not None:
        return _picked(ends, between, picks, of_values, of_indices)
    before, after = map(as_number, between)

    def of_last() -> Tensor:
        apart0, apart1 = (x.gather(-1, picks[1]).sub_(x.gather(-1, picks[0])) for x in (before, after))
        return apart0.div_(apart1).neg_().add_(1).reciprocal_().nan_to_num_(0.5)  # 0 / 0 of one number

    slope = of_values.to(before.dtype)
    last = slope * ends.once("of last", of_last)
    result = torch.zeros_like(before, memory_format=torch.contiguous_format)
    return result.scatter_add_(-1, picks[0], slope - last).scatter_add_(-1, picks[1], last)


def with_indices(ends: Ends, given: Sequence[Tensor | None]) -> Slopes | None:
    """``max``, ``sort``, ``topk`` and others that return the indices along one axis."""
    operation = ends.operation
    if not operation.several:
        return None
    place = 2 if operation.kind in ("topk", "kthvalue") else 1
    named = [argument for argument in operation.args[place : place + 1] if not isinstance(argument, bool)]
    axis = operation.kwargs.get("dim", named[0] if named else -1)
    return _one_axis(ends, given, ends.results(1), axis)


def _one_axis(ends: Ends, given: Sequence[Tensor | None], picks: tuple[Tensor, Tensor], axis: int) -> Slopes:
    """Numbers picked along one axis, which may be gone from the result."""
    before, after = ends.both(ends.operation.args[0])
    if picks[0].dim() < before.dim():
        picks = picks[0].unsqueeze(axis), picks[1].unsqueeze(axis)
        given = [None if slope is None else slope.unsqueeze(axis) for slope in given]
    before, after, first, last = (values.movedim(axis, -1) for values in (before, after, *picks))
    given = [None if slope is None else slope.movedim(axis, -1) for slope in given]
    rule = _largest if ends.operation.kind in ("max", "min") else _picked
    result = rule(ends, (before, after), (first, last), *given)
    return {ends.operation.args[0].index: result.movedim(-1, axis)}


def _pooling(axes: int) -> Callable[[Ends, Sequence[Tensor | None]], Slopes]:
    """Maximum pooling over the last axes; its indices count positions of all of them."""

    def pool(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
        before, after = ends.both(ends.operation.args[0])
        first, last = (values.flatten(-axes) for values in ends.results(1))
        of_values, of_indices = (None if slope is None else slope.flatten(-axes) for slope in given)
        between = before.flatten(-axes), after.flatten(-axes)
        result = _largest(ends, between, (first, last), of_values, of_indices)
        return {ends.operation.args[0].index: result.reshape(before.shape)}

    return pool


def extreme(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """``amax`` and ``amin``, along some axes or all."""
    operation = ends.operation
    before, after = map(as_number, ends.both(operation.args[0]))
    axes = [axis % before.dim() for axis in operation.argument(1) or range(before.dim())]
    slope = given[0]
    assert slope is not None
    if not operation.argument(2, False):
        for axis in sorted(axes):
            slope = slope.unsqueeze(axis)
    order = [axis for axis in range(before.dim()) if axis not in axes] + axes
    moved = before.permute(order)
    flat = [values.permute(order).flatten(-len(axes)) for values in (before, after, slope)]
    choose = torch.argmin if operation.kind in ("amin", "min") else torch.argmax
    picks = choose(flat[0], -1, True), choose(flat[1], -1, True)
    result = _largest(ends, (flat[0], flat[1]), picks, flat[2]).reshape(moved.shape)
    return {operation.args[0].index: result.permute([order.index(axis) for axis in range(before.dim())])}


def index_of_extreme(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """``argmax`` and ``argmin``."""
    before, after = ends.both(ends.operation.args[0])
    axis = ends.operation.argument(1)
    picks = ends.results()
    if axis is not None:
        return _one_axis(ends, [None, given[0]], picks, axis)
    slope = given[0]
    assert slope is not None
    flat = [values.reshape(1) for values in (*picks, slope)]
    result = _picked(ends, (before.flatten(), after.flatten()), (flat[0], flat[1]), None, flat[2])
    return {ends.operation.args[0].index: result.reshape(before.shape)}


def gather(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """``gather`` along one axis: half the slope at each pick, and the jump at the index."""
    source, axis, index = ends.operation.args[:3]
    slope, (first, last) = given[0], ends.both(index)
    assert slope is not None
    slopes: Slopes = {}
    if ends.moves(source):
        zeros = slope.new_zeros(ends.start.shape(source.index))
        half = zeros.scatter_add(axis, first, slope / 2).scatter_add(axis, last, slope / 2)
        slopes[source.index] = half
    if ends.moves(index):
        values = ends.middle(source)
        jump = slope * (values.gather(axis, last) - values.gather(axis, first))
        step = ends.moved(index.index)
        slopes[index.index] = torch.where(step == 0, torch.zeros_like(jump), jump / step)
    return slopes


def _strided(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """A view of a flat memory, in which a number may be seen several times."""
    slope, source, (size, stride, *offset) = given[0], ends.operation.args[0].index, ends.operation.args[1:]
    assert slope is not None
    result = slope.new_zeros(ends.start.shape(source))
    if is_dense(size, stride):
        return {source: torch.as_strided_scatter(result, slope, size, stride, *offset)}
    places = torch.arange(result.numel(), device=slope.device).as_strided(size, stride, *offset)
    summed = result.flatten().index_add(0, places.flatten(), slope.flatten())
    return {source: summed.reshape(result.shape)}


def is_dense(size: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether a view shows no number of its memory twice, as far as its strides tell.

    Example:
        >>> is_dense([3, 2], [1, 3]), is_dense([3, 2], [1, 2]), is_dense([3, 2], [1, 0])
        (True, False, False)
    """
    reach = 0
    for step, count in sorted((step, count) for step, count in zip(stride, size, strict=True) if count > 1):
        if step <= reach:
            return False
        reach += step * (count - 1)
    return True


def _strided_scatter(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """A flat memory of which a part is written."""
    whole, part, *layout = ends.operation.args
    assert given[0] is not None
    slope = given[0].clone(memory_format=torch.contiguous_format)  # as_strided counts from its storage
    zeros = torch.zeros_like(slope.as_strided(*layout))
    slopes = {whole: torch.as_strided_scatter(slope, zeros, *layout), part: slope.as_strided(*layout).clone()}
    return {value.index: slope for value, slope in slopes.items() if ends.moves(value)}


def _extreme_of(ends: Ends, given: Sequence[Tensor | None]) -> Slopes | None:
    """``max`` and ``min``: of all numbers, or along one axis with indices."""
    return with_indices(ends, given) if ends.operation.several else extreme(ends, given)


SELECTIONS: dict[str, Callable[[Ends, Sequence[Tensor | None]], Slopes | None]] = {
    **dict.fromkeys(("sort", "topk", "kthvalue", "median", "nanmedian", "mode"), with_indices),
    **dict.fromkeys(("cummax", "cummin"), with_indices),
    "max": _extreme_of,
    "min": _extreme_of,
    "max_pool2d_with_indices": _pooling(2),
    "adaptive_max_pool2d": _pooling(2),
    "fractional_max_pool2d": _pooling(2),
    "max_pool3d_with_indices": _pooling(3),
    "adaptive_max_pool3d": _pooling(3),
    "fractional_max_pool3d": _pooling(3),
    "amax": extreme,
    "amin": extreme,
    "argmax": index_of_extreme,
    "argmin": index_of_extreme,
    "gather": gather,
    "as_strided": _strided,
    "as_strided_scatter": _strided_scatter,
}
