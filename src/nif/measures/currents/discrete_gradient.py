"""The discrete gradient of any operation: which rule holds for it, and the rules for whole kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nif.measures.currents.ends import Ends, Slopes, add, move, summed_to
from nif.measures.currents.normalizations import NORMALIZATIONS
from nif.measures.currents.products import PRODUCTS
from nif.measures.currents.selections import SELECTIONS
from nif.measures.currents.tape import Tape

LINEAR = frozenset(
    [
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "_fft_c2c",
        "_fft_c2r",
        "_fft_r2c",
        "_reshape_alias",
        "_to_copy",
        "_unsafe_view",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "add",
        "alias",
        "as_strided",
        "as_strided_scatter",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "cat",
        "chunk",
        "clone",
        "col2im",
        "constant_pad_nd",
        "contiguous",
        "copy",
        "cumsum",
        "detach",
        "diagonal",
        "diagonal_scatter",
        "expand",
        "flip",
        "im2col",
        "imag",
        "index_select",
        "lift_fresh",
        "masked_fill",
        "mean",
        "movedim",
        "native_dropout",
        "neg",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "real",
        "reflection_pad1d",
        "reflection_pad2d",
        "reflection_pad3d",
        "repeat",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "reshape",
        "roll",
        "rsub",
        "select",
        "select_backward",
        "select_scatter",
        "slice",
        "slice_backward",
        "slice_scatter",
        "split",
        "split_with_sizes",
        "squeeze",
        "stack",
        "sub",
        "sum",
        "t",
        "transpose",
        "tril",
        "triu",
        "unbind",
        "unfold",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "unsqueeze",
        "upsample_bicubic2d",
        "upsample_bilinear2d",
        "upsample_linear1d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "upsample_trilinear3d",
        "view",
        "view_as_complex",
        "view_as_real",
        "zero",
        "fill",
        "index",
        "index_put",
        "index_add",
        "scatter_add",
        "scatter",
        "embedding_bag",
        "channel_shuffle",
        "native_channel_shuffle",
    ]
)
"""Linear in all that moves, for fixed choices: a step passes as a value does."""

ELEMENTWISE = frozenset(
    [
        "_prelu_kernel",
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "celu",
        "clamp",
        "clamp_max",
        "clamp_min",
        "cos",
        "cosh",
        "elu",
        "erf",
        "erfc",
        "erfinv",
        "exp",
        "exp2",
        "expm1",
        "frac",
        "gelu",
        "hardshrink",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "lgamma",
        "log",
        "log10",
        "log1p",
        "log2",
        "log_sigmoid_forward",
        "logaddexp",
        "logaddexp2",
        "maximum",
        "minimum",
        "mish",
        "nan_to_num",
        "pow",
        "reciprocal",
        "relu",
        "relu6",
        "rrelu_with_noise",
        "rsqrt",
        "selu",
        "sgn",
        "sigmoid",
        "sign",
        "silu",
        "sin",
        "sinh",
        "softplus",
        "softshrink",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "threshold",
        "where",
        "xlogy",
    ]
)
"""Every number by itself: the slope of the secant."""

GAUSS_POINTS = 3
"""Points of the mean gradient of an operation without a closed form."""

FLAT = 1e-6
"""Step, relative to the values, below which a secant is replaced by the slope between its ends."""


def discrete_gradient(ends: Ends, given: Sequence[Tensor | None], general: Counter[str]) -> Slopes:
    """Slopes at what an operation reads, from those at its results.

    Args:
        ends: The operation at both ends.
        given: One slope for each result; None where nothing leads on from it.
        general: Counts, by operator, the uses of the rule for operators without one of their own.

    Returns:
        For each moving source a slope of its shape. The inner products of slopes and steps are equal before
        and behind the operation.
    """
    operation = ends.operation
    only_first = given[0] is not None and all(slope is None for slope in given[1:])
    rule = (
        PRODUCTS.get(operation.kind) or NORMALIZATIONS.get(operation.kind) or SELECTIONS.get(operation.kind)
    )
    if rule is not None and only_first and given[0] is not None and operation.like(ends.last):
        slopes = rule(ends, given[0])
        if slopes is not None:
            return slopes
    if operation.kind in LINEAR and ends.same_choices:
        return _gradient_at(ends, ends.start, given, {i: ends.start.tensor(i) for i in ends.sources})
    if operation.kind in ELEMENTWISE and only_first and given[0] is not None and ends.same_choices:
        return _elementwise(ends, given[0])
    general[operation.kind] += 1
    return _general(ends, given)


def _elementwise(ends: Ends, slope: Tensor) -> Slopes:
    """The secant; of several sources the mean gradient, with the rest shared number by number."""
    change = move(*ends.values(ends.operation.written[0]))
    sources = ends.sources
    if len(sources) == 1 and ends.start.shape(sources[0]) == change.shape:
        return {sources[0]: slope * _secant(ends, sources[0], change)}
    wide = {i: [value.expand(change.shape) for value in ends.values(i)] for i in sources}
    gradients = _mean_gradient(ends, _ones(ends, change), wide)
    parts = {i: gradients[i] * move(*wide[i]) for i in sources}
    rest = change - sum(parts.values())
    size = sum(part.abs() for part in parts.values())
    gradients = _with_rest(gradients, {i: move(*wide[i]) for i in sources}, rest, size)
    return {i: summed_to(slope * gradients[i], ends.start.shape(i)) for i in sources}


def _secant(ends: Ends, source: int, change: Tensor) -> Tensor:
    before, after = ends.values(source)
    step = move(before, after)
    if ends.operation.kind == "relu":  # the secant is a share of the step: no digits cancel
        return torch.where(step == 0, (before > 0).to(change.dtype), change / step)
    flat = step.abs() <= FLAT * torch.maximum(before.abs(), after.abs())
    secant = change / torch.where(flat, torch.ones_like(step), step)
    if not flat.any():
        return secant
    halfway = torch.where(before == after, before, (before + after) / 2)
    gradient = _gradient_at(ends, ends.start, _ones(ends, change), {source: halfway})[source]
    return torch.where(flat, gradient.nan_to_num(), secant)


def _ones(ends: Ends, result: Tensor) -> list[Tensor | None]:
    """Slopes of one at the first result; some operations, such as log_sigmoid, write a buffer as well."""
    return [torch.ones_like(result), *[None] * (len(ends.operation.written) - 1)]


def _general(ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
    """The mean gradient along the straight line, with the rest shared in proportion to ``|g . step|``.

    Half of it is that of the operation at the start, half at the end, where masks and indices differ. What
    does not move gets no share.
    """
    sources = ends.sources
    values = {i: ends.values(i) for i in sources}
    gradients = _mean_gradient(ends, given, values)
    steps = {i: move(*values[i]) for i in sources}
    results = [(slope, written) for slope, written in zip(given, ends.operation.written, strict=True)]
    changes = [(slope, move(*ends.values(i))) for slope, i in results if slope is not None and i is not None]
    rows = len(changes[0][1]) if changes[0][1].dim() else 1
    if any(step.dim() == 0 or len(step) != rows for step in [*steps.values(), *(c for _, c in changes)]):
        rows = 1  # rows that are not the leading axis share the rest among them

    def by_row(values: Tensor) -> Tensor:
        return values.reshape(rows, -1).sum(1)

    rest = sum(by_row(slope * change) for slope, change in changes)
    rest = rest - sum(by_row(gradients[i] * steps[i]) for i in sources)
    size = sum(by_row((gradients[i] * steps[i]).abs()) for i in sources)
    corrected = _with_rest(gradients, steps, rest, size)
    still = (size == 0) & (rest != 0)  # a step function has no gradient that could carry its jump
    if not bool(still.any()):
        return corrected
    length = sum(by_row(steps[i].square()) for i in sources)
    share = torch.where(still, rest / length.clamp_min(torch.finfo(length.dtype).tiny), 0.0)
    return {i: corrected[i] + _spread(share, steps[i]) * steps[i] for i in sources}


def _spread(by_row: Tensor, like: Tensor) -> Tensor:
    """A number for each row, in a form that multiplies a tensor of rows."""
    return by_row.reshape(-1, *[1] * (like.dim() - 1)) if like.dim() else by_row.reshape(())


def _with_rest(gradients: Slopes, steps: Slopes, rest: Tensor, size: Tensor) -> Slopes:
    """Gradients whose products with the steps also carry the rest, in proportion to their own."""
    share = rest / size.clamp_min(torch.finfo(size.dtype).tiny)
    corrected = {}
    for index, gradient in gradients.items():
        scale = share if share.shape == gradient.shape else _spread(share, gradient)
        corrected[index] = gradient + gradient.abs() * steps[index].sign() * scale
    return corrected


def _mean_gradient(ends: Ends, given: Sequence[Tensor | None], values: dict[int, Sequence[Tensor]]) -> Slopes:
    """The mean over Gauss points between the ends, every source in a straight line."""
    slopes: Slopes = {}
    points, weights = np.polynomial.legendre.leggauss(GAUSS_POINTS)
    tapes = [ends.start] if ends.same_choices else [ends.start, ends.end]
    for tape in tapes:
        for point, weight in zip((points + 1) / 2, weights / 2 / len(tapes), strict=True):
            at = {i: before + float(point) * move(before, after) for i, (before, after) in values.items()}
            for index, gradient in _gradient_at(ends, tape, given, at).items():
                add(slopes, index, float(weight) * gradient.nan_to_num())
    return slopes


def _gradient_at(ends: Ends, tape: Tape, given: Sequence[Tensor | None], at: Slopes) -> Slopes:
    """The gradient by autograd, with the choices (masks, indices) of one of the two ends."""
    operation = ends.operation if tape is ends.start else ends.last
    leaves = {index: value.detach().requires_grad_() for index, value in at.items()}
    with torch.enable_grad():
        results = operation.again(lambda index: leaves[index] if index in leaves else tape.tensor(index))
    live = [
        (result, slope)
        for result, slope in zip(results, given, strict=True)
        if slope is not None and result.requires_grad
    ]
    if not live:
        return {index: torch.zeros_like(value) for index, value in at.items()}
    outputs, slopes = zip(*live, strict=True)
    gradients = torch.autograd.grad(outputs, list(leaves.values()), slopes, allow_unused=True)
    return {
        index: torch.zeros_like(at[index]) if gradient is None else gradient
        for index, gradient in zip(leaves, gradients, strict=True)
    }


def values_read_by_rules(tape: Tape) -> set[int]:
    """The values that some rule reads; linear operations read none, products the factors."""
    kept = {index for index in range(len(tape.values)) if index not in tape.moving} | set(tape.inputs)
    for operation in tape.operations:
        if tape.moving.isdisjoint(operation.read) or _reads_nothing(operation.kind, operation.args):
            continue
        kept.update(operation.read)
        if operation.kind not in _RESULTS_UNREAD:
            kept.update(index for index in operation.written if index is not None)
    return kept | set(tape.outputs)


_RESULTS_UNREAD = frozenset(
    ["mul", "div", "mm", "bmm", "addmm", "baddbmm", "convolution", "native_layer_norm", "native_group_norm"]
)


def _reads_nothing(kind: str, args: Sequence[object]) -> bool:
    if kind in LINEAR:
        # With indices that may depend on the data, the general rule may be needed.
        return kind not in (
            "index",
            "index_put",
            "masked_fill",
            "index_select",
            "scatter",
            "scatter_add",
            "index_add",
        )
    own_statistics = kind == "native_batch_norm" and not args[5]
    return own_statistics or kind == "_native_batch_norm_legit_no_training"
