"""Maximum pooling: the numbers that are the largest of a window at the two ends share its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from nif.measures.currents.ends import Ends, Slopes
from nif.measures.currents.operation import Operation
from nif.measures.currents.selections import Changes, picked


def _pooling(axes: int) -> Callable[[Ends, Sequence[Tensor | None]], Slopes]:
    """Maximum pooling over the last axes; its indices count positions of all of them."""

    def pool(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
        source, (slope, of_indices) = ends.operation.args[0], given
        if slope is not None and of_indices is None:
            parts = ends.once("parts", lambda: _parts(ends, axes))
            if parts is not None:
                return {source.index: _spread(parts, slope, ends.start.shape(source.index))}
        before, after = ends.both(source)
        first, last = (values.flatten(-axes) for values in ends.results(1))
        of_values, of_indices = (None if slope is None else slope.flatten(-axes) for slope in given)
        between = before.flatten(-axes), after.flatten(-axes)
        at_first = _at_first(ends, slope)
        result = picked(ends, between, (first, last), of_values, of_indices, at_first)
        return {source.index: result.reshape(before.shape)}

    return pool


def _parts(ends: Ends, axes: int) -> Tensor | None:
    """The part of a window's slope that each of its numbers has: ``[..., window, place]`` for each axis.

    They are the same for every slope, such as those of classes, and are multiplied by it in one go, many
    times faster than numbers are picked. None where windows share numbers, or a third number decides.
    """
    sides = _sides(ends.operation, axes)
    if sides is None:
        return None
    before, after = (values.flatten(-axes) for values in ends.both(ends.operation.args[0]))
    first, last = (values.flatten(-axes) for values in ends.results(1))
    changes = Changes.of(before, after, (first, last))
    if bool((changes.jump * ~changes.swapped).any()):
        return None
    of_last = before.new_zeros(first.numel())
    of_last.index_copy_(0, changes.at, 0.5 + changes.jump * changes.over)
    of_last = of_last.reshape(first.shape)
    parts = torch.zeros_like(before, memory_format=torch.contiguous_format)
    parts.scatter_(-1, first, 1 - of_last).scatter_add_(-1, last, of_last)
    parts = parts.unflatten(-1, ends.start.shape(ends.operation.args[0].index)[-axes:])
    for axis, count in zip(range(-axes, 0), ends.results()[0].shape[-axes:], strict=True):
        parts = parts.narrow(axis, 0, count * sides[axis]).unflatten(axis, (count, sides[axis]))
    return parts.contiguous()


def _sides(operation: Operation, axes: int) -> list[int] | None:
    """Of windows that lie side by side, one for each axis; None where they overlap or leave gaps."""
    if operation.kind not in ("max_pool2d_with_indices", "max_pool3d_with_indices"):
        return None
    options = [operation.argument(place, default) for place, default in enumerate(([], 0, 1, False), 2)]
    kernel, stride, padding, dilation = (
        _of_each(option, axes) for option in (operation.args[1], *options[:3])
    )
    apart = stride in (kernel, []) and padding == [0] * axes and dilation == [1] * axes and not options[3]
    return kernel if apart else None


def _of_each(option: int | Sequence[int], axes: int) -> list[int]:
    """One number for each axis, where one may stand for all."""
    numbers = [option] if isinstance(option, int) else list(option)
    return numbers * axes if len(numbers) == 1 else numbers


def _spread(parts: Tensor, slope: Tensor, shape: Sequence[int]) -> Tensor:
    """The slope of every window, shared among its numbers; 0 at those behind the last window."""
    axes = parts.dim() - slope.dim()
    counts, sides = slope.shape[-axes:], parts.shape[1 - 2 * axes :: 2]
    by_window = slope.reshape([*slope.shape[:-axes], *(n for count in counts for n in (count, 1))])
    covered = [count * side for count, side in zip(counts, sides, strict=True)]
    result = (parts * by_window).reshape([*shape[:-axes], *covered])
    beyond = [n for side, whole in zip(covered, shape[-axes:], strict=True) for n in (whole - side, 0)]
    return pad(result, beyond[::-1]) if any(beyond) else result


def _at_first(ends: Ends, slope: Tensor | None) -> Tensor | None:
    """The slope at the start of a step by the kernel of torch, which threads share; None if there is none."""
    operation, before = ends.operation, ends.start.values[ends.operation.args[0].index]
    if operation.kind != "max_pool2d_with_indices" or slope is None or slope.dtype != before.dtype:
        return None
    window = [operation.argument(place, default) for place, default in enumerate(([], 0, 1, False), 2)]
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    result: Tensor = backward(slope, before, operation.args[1], *window, ends.results(1)[0])
    return result.contiguous().flatten(-2)  # the kernel keeps the layout of the images, channels last too


POOLING: dict[str, Callable[[Ends, Sequence[Tensor | None]], Slopes]] = {
    f"{kind}_pool{axes}d{suffix}": _pooling(axes)
    for axes in (2, 3)
    for kind, suffix in (("max", "_with_indices"), ("adaptive_max", ""), ("fractional_max", ""))
}
