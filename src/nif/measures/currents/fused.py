"""Fused operations of torch, taken apart into those that have a rule of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nif.measures.currents.kernels import KERNELS

COMPOSITE = frozenset(
    ["linear", "matmul", "chunk", "narrow", "flatten", "rms_norm", "_scaled_dot_product_attention_math"]
)
"""Operators that torch itself writes as others, and that some devices see whole."""


def _glu(values: Tensor, dim: int = -1) -> Tensor:
    first, second = values.chunk(2, dim)
    return first * second.sigmoid()


def _rnn_layer(
    values: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor,
    bias_hidden: Tensor,
    hidden: Tensor,
    cell: Tensor,
    reverse: bool,
    batch_sizes: Any,
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
    train: bool,
) -> Any:
    """One direction of a layer of nn.LSTM, step by step."""
    from torch._decomp.decompositions import one_layer_lstm

    if batch_sizes:
        return NotImplemented
    weights = [weight_input, weight_hidden, *([bias_input, bias_hidden] if has_biases else [])]
    start = (hidden.reshape(hidden.shape[-2:]), cell.reshape(cell.shape[-2:]))
    output, (hidden, cell) = one_layer_lstm(values, start, weights, has_biases, reverse)
    return output, hidden, cell, values.new_zeros(0)


def _embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    """Weighted sums of the rows of a table, for bags of equal size."""
    equal = len(offsets) > 0 and len(indices) % len(offsets) == 0
    if mode != 0 or per_sample_weights is None or include_last_offset or not equal:
        return NotImplemented
    rows = weight.index_select(0, indices) * per_sample_weights[:, None]
    sums = rows.view(len(offsets), -1, weight.shape[1]).sum(1)
    return sums, *[indices.new_zeros(0)] * 3


def _vector_norm(
    values: Tensor, order: Any = 2, axes: Any = None, keep: bool = False, *, dtype: Any = None
) -> Any:
    """Norms other than the Euclidean one."""
    if order in (None, 2) or dtype is not None:
        return NotImplemented
    axes = list(range(values.dim())) if axes is None else axes
    size = values.abs()
    if abs(order) == math.inf:
        return size.amax(axes, keep) if order > 0 else size.amin(axes, keep)
    return size.sum(axes, keep) if order == 1 else size.pow(order).sum(axes, keep).pow(1 / order)


def _norm(values: Tensor, order: Any = 2, axes: Any = None, keep: bool = False, *, dtype: Any = None) -> Any:
    return torch.linalg.vector_norm(values, 2 if order is None else order, axes or None, keep, dtype=dtype)


def _deviation(values: Tensor, *args: Any, **options: Any) -> Tensor:
    return values.var(*args, **options).sqrt()


def _deviation_and_mean(values: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(values, *args, **options)
    return variance.sqrt(), mean


def _distances(first: Tensor, second: Tensor, order: float = 2.0, mode: Any = None) -> Tensor:
    """``cdist``, which is another operator for more than 25 rows."""
    return torch.linalg.vector_norm(first.unsqueeze(-2) - second.unsqueeze(-3), order, -1)


def _aminmax(values: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    axes = [] if dim is None else [dim]
    return values.amin(axes, keepdim), values.amax(axes, keepdim)


def _scanned(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    """Running products or sums along an axis: each number with the one before, with that two before, …"""

    def run(values: Tensor, axis: int, *, dtype: Any = None) -> Any:
        if dtype is not None or not values.dim():
            return NotImplemented
        length, distance = values.shape[axis], 1
        while distance < length:
            both = combine(
                values.narrow(axis, distance, length - distance), values.narrow(axis, 0, length - distance)
            )
            values, distance = torch.cat([values.narrow(axis, 0, distance), both], axis), 2 * distance
        return values

    return run


def _prod(values: Tensor, axis: int | None = None, keep: bool = False, *, dtype: Any = None) -> Any:
    """A product by pairs: of the two halves, until one number is left."""
    if dtype is not None or not values.is_floating_point() or not values.numel():
        return NotImplemented
    if axis is None:
        values, axis = values.flatten(), 0
    while (length := values.shape[axis]) > 1:
        half = length // 2
        pairs = values.narrow(axis, 0, half) * values.narrow(axis, half, half)
        values = torch.cat([pairs, values.narrow(axis, length - 1, 1)], axis) if length % 2 else pairs
    return values if keep else values.squeeze(axis)


def _renorm(values: Tensor, order: float, axis: int, largest: float) -> Tensor:
    """Slices along an axis, shortened to the largest norm."""
    axes = [other for other in range(values.dim()) if other != axis % values.dim()]
    length = torch.linalg.vector_norm(values, order, axes, keepdim=True)
    return values * torch.where(length > largest, largest / (length + 1e-7), 1.0)


def _median(values: Tensor, *args: Any, **options: Any) -> Any:
    """Of all numbers."""
    return NotImplemented if args or options else values.flatten().median(0).values


def _nanmedian(values: Tensor, *args: Any, **options: Any) -> Any:
    return NotImplemented if args or options else values.flatten().nanmedian(0).values


def _clamp(values: Tensor, low: Any = None, high: Any = None) -> Any:
    """``clamp`` between tensors."""
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return NotImplemented
    values = values if low is None else torch.maximum(values, low)
    return values if high is None else torch.minimum(values, high)


def _any(values: Tensor, axes: Any = (), keep: bool = False) -> Tensor:
    """The larger of masks."""
    return values.ne(0).amax(axes, keep)


def _all(values: Tensor, axes: Any = (), keep: bool = False) -> Tensor:
    return values.ne(0).amin(axes, keep)


def _polar(length: Tensor, angle: Tensor) -> Tensor:
    return torch.complex(length * angle.cos(), length * angle.sin())


def _angle(values: Tensor) -> Any:
    return torch.atan2(values.imag, values.real) if values.is_complex() else NotImplemented


def _quotient_added(values: Tensor, over: Tensor, under: Tensor, *, value: float = 1) -> Tensor:
    """``addcdiv``."""
    return values + value * (over / under)


def _shuffled(values: Tensor, groups: int) -> Tensor:
    """``channel_shuffle``, whose kernel has no gradient."""
    return values.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _narrowed(scatter: Callable[..., Tensor]) -> Callable[..., Any]:
    """``scatter`` of numbers of which some have no index, which has no gradient in torch."""

    def run(values: Tensor, axis: int, index: Tensor, source: Any = None, *args: Any, **options: Any) -> Any:
        if not isinstance(source, Tensor) or source.shape == index.shape or not source.dim():
            return NotImplemented
        source = source[tuple(slice(length) for length in index.shape)]
        return scatter(values, axis, index, source, *args, **options)

    return run


def _written_where(values: Tensor, indices: Any, filling: Tensor, accumulate: bool = False) -> Any:
    """``values[mask] = number``."""
    mask = indices[0]
    whole = len(indices) == 1 and mask is not None and mask.dtype == torch.bool and mask.shape == values.shape
    if not whole or accumulate or filling.numel() != 1:
        return NotImplemented
    return values.masked_fill_(mask, filling.reshape(()))


TAKEN_APART: dict[str, Callable[..., Any]] = {
    **KERNELS,
    "glu": _glu,
    "mkldnn_rnn_layer": _rnn_layer,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "linalg_vector_norm": _vector_norm,
    "norm": _norm,
    "std": _deviation,
    "std_mean": _deviation_and_mean,
    "_cdist_forward": _distances,
    "_euclidean_dist": _distances,
    "aminmax": _aminmax,
    "prod": _prod,
    "cumprod": _scanned(torch.mul),
    "logcumsumexp": _scanned(torch.logaddexp),
    "renorm": _renorm,
    "median": _median,
    "nanmedian": _nanmedian,
    "any": _any,
    "all": _all,
    "clamp": _clamp,
    "native_channel_shuffle": _shuffled,
    "polar": _polar,
    "angle": _angle,
    "addcdiv": _quotient_added,
    "scatter": _narrowed(torch.scatter),
    "scatter_": _narrowed(torch.Tensor.scatter_),
    "scatter_add": _narrowed(torch.scatter_add),
    "scatter_add_": _narrowed(torch.Tensor.scatter_add_),
    "scatter_reduce": _narrowed(torch.scatter_reduce),
    "index_put_": _written_where,
}
"""By the name of the operator; a function returns NotImplemented for arguments that it does not cover."""
