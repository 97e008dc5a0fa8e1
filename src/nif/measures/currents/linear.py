"""Linear operations of which the transpose is known without a run: views, sums and joins.

All others have the gradient that autograd finds, at any values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, conjugate, summed_to


def _reshaped(ends: Ends, slope: Tensor) -> Slopes:
    """Another shape with the numbers in the same order."""
    source = ends.operation.args[0].index
    return {source: slope.reshape(ends.start.shape(source))}


def _same(ends: Ends, slope: Tensor) -> Slopes:
    return {ends.operation.args[0].index: slope}


def _expanded(ends: Ends, slope: Tensor) -> Slopes:
    source = ends.operation.args[0].index
    return {source: summed_to(slope, ends.start.shape(source))}


def _transposed(ends: Ends, slope: Tensor) -> Slopes:
    axes = ends.operation.args[1:3] or (0, -1)
    return {ends.operation.args[0].index: slope.transpose(*axes)}


def _permuted(ends: Ends, slope: Tensor) -> Slopes:
    order = [axis % slope.dim() for axis in ends.operation.args[1]]
    inverse = [order.index(axis) for axis in range(slope.dim())]
    return {ends.operation.args[0].index: slope.permute(inverse)}


def _negative(ends: Ends, slope: Tensor) -> Slopes:
    return {ends.operation.args[0].index: -slope}


def _as_complex(ends: Ends, slope: Tensor) -> Slopes:
    """``view_as_complex``, the gradient of which autograd finds at contiguous values alone."""
    return {ends.operation.args[0].index: torch.view_as_real(slope.resolve_conj())}


def _sum(ends: Ends, slope: Tensor) -> Slopes:
    """``a + alpha b``, ``a - alpha b`` and ``b - alpha a``."""
    operation = ends.operation
    first, second = operation.args[:2]
    alpha = operation.argument(2, operation.kwargs.get("alpha", 1))
    scales = {"add": (1, alpha), "sub": (1, -alpha), "rsub": (-alpha, 1)}[operation.kind]
    slopes: Slopes = {}
    for side, scale in zip((first, second), scales, strict=True):
        if ends.moves(side):
            part = summed_to(slope, ends.start.shape(side.index))
            add(slopes, side.index, part if scale == 1 else part * conjugate(scale))
    return slopes


def _joined(ends: Ends, slope: Tensor) -> Slopes:
    """``cat``."""
    slopes: Slopes = {}
    axis, first = ends.operation.argument(1, 0), 0
    for part in ends.operation.args[0]:
        shape = ends.start.shape(part.index)
        if len(shape) != slope.dim():  # an empty tensor of one axis joins anything
            continue
        if ends.moves(part):
            add(slopes, part.index, slope.narrow(axis, first, shape[axis]))
        first += shape[axis]
    return slopes


def _reduced(ends: Ends, slope: Tensor) -> Slopes:
    """``sum`` and ``mean`` along some axes or all."""
    operation, source = ends.operation, ends.operation.args[0].index
    shape = ends.start.shape(source)
    axes = operation.argument(1)
    axes = [axes] if isinstance(axes, int) else axes or range(len(shape))
    axes = sorted(axis % len(shape) for axis in axes) if shape else []
    if not operation.argument(2, False):
        for axis in axes:
            slope = slope.unsqueeze(axis)
    count = math.prod(shape[axis] for axis in axes) if operation.kind == "mean" else 1
    return {source: (slope / count).expand(shape)}


def _selected(ends: Ends, slope: Tensor) -> Slopes | None:
    """``index_select`` of indices that stay the same."""
    source, axis, index = ends.operation.args
    if ends.moves(index):
        return None
    zeros = slope.new_zeros(ends.start.shape(source.index))
    return {source.index: zeros.index_add_(axis, ends.start.value(index), slope)}


def _one_selected(ends: Ends, slope: Tensor) -> Slopes:
    """``select``."""
    source, axis, place = ends.operation.args
    zeros = slope.new_zeros(ends.start.shape(source.index))
    zeros.select(axis, place).copy_(slope)
    return {source.index: zeros}


TRANSPOSES: dict[str, Callable[[Ends, Tensor], Slopes | None]] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze"), _reshaped),
    **dict.fromkeys(("clone", "alias", "detach", "contiguous", "lift_fresh", "lift"), _same),
    **dict.fromkeys(("add", "sub", "rsub"), _sum),
    **dict.fromkeys(("t", "transpose"), _transposed),
    "permute": _permuted,
    "expand": _expanded,
    "neg": _negative,
    "view_as_complex": _as_complex,
    "cat": _joined,
    "sum": _reduced,
    "mean": _reduced,
    "index_select": _selected,
    "select": _one_selected,
}
"""By the kind of the operation, for a slope at its first result."""
