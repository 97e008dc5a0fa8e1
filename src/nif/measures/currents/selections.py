"""Maxima, sorting and gathering: the numbers that are picked at the two ends share the step.

Also views of a memory that is written in place, as the tape notes them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes


def _shared(before: Tensor, after: Tensor, slope: Tensor, axis: int, first: Tensor, last: Tensor) -> Tensor:
    """The slope at what was picked: at `first` at the start of the step and at `last` at its end.

    Where the pick changes, half of the slope belongs to each; what the two steps then miss of the step of
    the result is shared in proportion to their sizes.
    """
    result = torch.zeros_like(before)
    if torch.equal(first, last):
        return result.scatter_add(axis, first, slope)
    old0, old1 = before.gather(axis, first), after.gather(axis, first)
    new0, new1 = before.gather(axis, last), after.gather(axis, last)
    old, new, change = old1 - old0, new1 - new0, new1 - old0
    size = old.abs() + new.abs()
    missing = torch.where(first == last, torch.zeros_like(size), change - (old + new) / 2)
    share = missing / size.clamp_min(torch.finfo(size.dtype).tiny)
    result = result.scatter_add(axis, first, slope * (0.5 + share * old.sign()))
    return result.scatter_add(axis, last, slope * (0.5 + share * new.sign()))


def with_indices(ends: Ends, slope: Tensor) -> Slopes | None:
    """``max``, ``sort``, ``topk`` and others that return the indices along one axis."""
    if not ends.operation.several:
        return None
    source = ends.operation.args[0]
    before, after = ends.both(source)
    first, last = ends.values(ends.operation.written[1])
    place = 2 if ends.operation.kind in ("topk", "kthvalue") else 1
    given = [
        argument for argument in ends.operation.args[place : place + 1] if not isinstance(argument, bool)
    ]
    axis = ends.operation.kwargs.get("dim", given[0] if given else -1)
    if first.dim() < before.dim():
        first, last, slope = (values.unsqueeze(axis) for values in (first, last, slope))
    return {source.index: _shared(before, after, slope, axis, first, last)}


def _pooling(axes: int) -> Callable[[Ends, Tensor], Slopes]:
    """Maximum pooling over the last axes; its indices count positions of all of them."""

    def pool(ends: Ends, slope: Tensor) -> Slopes:
        source = ends.operation.args[0]
        before, after = ends.both(source)
        first, last = ends.values(ends.operation.written[1])
        flat = [values.flatten(-axes) for values in (before, after, slope, first, last)]
        result = _shared(*flat[:3], -1, *flat[3:])
        return {source.index: result.reshape(before.shape)}

    return pool


def extreme(ends: Ends, slope: Tensor) -> Slopes | None:
    """``amax`` and ``amin`` along one axis."""
    axes = ends.operation.argument(1, [])
    if len(axes) != 1:
        return None
    choose = torch.argmax if ends.operation.kind == "amax" else torch.argmin
    source = ends.operation.args[0]
    before, after = ends.both(source)
    if not ends.operation.argument(2, False):
        slope = slope.unsqueeze(axes[0])
    picks = choose(before, axes[0], True), choose(after, axes[0], True)
    return {source.index: _shared(before, after, slope, axes[0], *picks)}


def gather(ends: Ends, slope: Tensor) -> Slopes | None:
    """``gather`` along one axis, whose indices may depend on the data."""
    source, axis, index = ends.operation.args[:3]
    before, after = ends.both(source)
    first, last = ends.both(index)
    return {source.index: _shared(before, after, slope, axis, first, last)}


def _strided(ends: Ends, slope: Tensor) -> Slopes:
    """A view of a flat memory."""
    source = ends.operation.args[0].index
    zeros = slope.new_zeros(ends.start.shape(source))
    return {source: torch.as_strided_scatter(zeros, slope, *ends.operation.args[1:])}


def _strided_scatter(ends: Ends, slope: Tensor) -> Slopes:
    """A flat memory of which a part is written."""
    whole, part, *layout = ends.operation.args
    slope = slope.contiguous()
    zeros = torch.zeros_like(slope.as_strided(*layout))
    slopes = {whole: torch.as_strided_scatter(slope, zeros, *layout), part: slope.as_strided(*layout).clone()}
    return {value.index: slope for value, slope in slopes.items() if ends.moves(value)}


SELECTIONS: dict[str, Callable[[Ends, Tensor], Slopes | None]] = {
    **dict.fromkeys(("max", "min", "sort", "topk", "kthvalue", "median", "cummax", "cummin"), with_indices),
    "max_pool2d_with_indices": _pooling(2),
    "adaptive_max_pool2d": _pooling(2),
    "max_pool3d_with_indices": _pooling(3),
    "adaptive_max_pool3d": _pooling(3),
    "amax": extreme,
    "amin": extreme,
    "gather": gather,
    "as_strided": _strided,
    "as_strided_scatter": _strided_scatter,
}
