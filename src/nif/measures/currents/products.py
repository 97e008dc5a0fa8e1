"""Products: each factor moves past the other factor's value in the middle of the step, which is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, as_number, conjugate, middle, summed_to
from nif.measures.currents.operation import Operation
from nif.measures.currents.parts import rows_times

aten = torch.ops.aten


def multiply(ends: Ends, slope: Tensor) -> Slopes:
    """``a * b``."""
    first, second = ends.operation.args[:2]
    slopes: Slopes = {}
    for factor, other in ((first, second), (second, first)):
        if ends.moves(factor):
            weight = conjugate(ends.middle(other))
            add(slopes, factor.index, summed_to(slope * weight, ends.start.shape(factor.index)))
    return slopes


def divide(ends: Ends, slope: Tensor) -> Slopes | None:
    """``a / b``."""
    if ends.operation.kwargs.get("rounding_mode") is not None:
        return None
    over, under = ends.operation.args[:2]
    under0, under1 = map(as_number, ends.both(under))
    slopes: Slopes = {}
    if ends.moves(over):
        weight = middle(1 / under0, 1 / under1) if ends.moves(under) else 1 / under0
        add(slopes, over.index, summed_to(slope * conjugate(weight), ends.start.shape(over.index)))
    if ends.moves(under):
        weight = -ends.middle(over) / (under0 * under1)
        add(slopes, under.index, summed_to(slope * conjugate(weight), ends.start.shape(under.index)))
    return slopes


def factors_of(operation: Operation) -> tuple[Any, Any] | None:
    """The two factors of a product of matrices or a convolution; None of any other operation."""
    if operation.kind in ("addmm", "baddbmm"):
        return operation.args[1], operation.args[2]
    if operation.kind in ("mm", "bmm", "convolution"):
        return operation.args[0], operation.args[1]
    return None


def matrix_product(ends: Ends, slope: Tensor) -> Slopes:
    """``a @ b``, or ``beta c + alpha a @ b``."""
    operation, slopes = ends.operation, Slopes()
    first, second = operation.args[1:3] if operation.kind in ("addmm", "baddbmm") else operation.args[:2]
    scaled = scaled_slope(ends, slope)
    if ends.moves(first):
        product = rows_times if scaled.dim() == 2 else torch.matmul
        add(slopes, first.index, product(scaled, ends.middle(second).mH))
    if ends.moves(second):
        add(slopes, second.index, ends.middle(first).mH @ scaled)
    if operation.kind in ("addmm", "baddbmm") and ends.moves(operation.args[0]):
        index, beta = operation.args[0].index, conjugate(operation.kwargs.get("beta", 1))
        add(slopes, index, summed_to(slope * beta, ends.start.shape(index)))
    return slopes


def scaled_slope(ends: Ends, slope: Tensor) -> Tensor:
    """The slope times alpha of ``addmm`` or ``baddbmm``."""
    alpha = ends.operation.kwargs.get("alpha", 1)
    return slope if alpha == 1 else slope * conjugate(alpha)


def convolution(ends: Ends, slope: Tensor) -> Slopes | None:
    """A convolution with a constant kernel and bias."""
    values, kernel, bias = ends.operation.args[:3]
    if not ends.moves(values) or ends.moves(kernel) or ends.moves(bias):
        return None
    args = ends.operation.args
    weight = ends.start.value(kernel)
    like = ends.start.tensor(values.index)
    gradient = aten.convolution_backward(slope, like, weight, None, *args[3:9], [True, False, False])[0]
    return {values.index: gradient}


PRODUCTS: dict[str, Callable[[Ends, Tensor], Slopes | None]] = {
    "mul": multiply,
    "div": divide,
    "mm": matrix_product,
    "bmm": matrix_product,
    "addmm": matrix_product,
    "baddbmm": matrix_product,
    "convolution": convolution,
}
