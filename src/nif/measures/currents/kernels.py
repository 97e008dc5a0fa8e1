"""Kernels of devices, taken apart: attention, recurrent layers and mixtures of experts in one operation.

Most are seen on a GPU only. Each is written as operations that have rules of their own, with results in the
number and order of the kernel. Also faster kernels for the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def _filled(name: str, *results: Tensor) -> tuple[Any, ...]:
    """Results of an operator, of which only the first are read: the others are empty."""
    kinds = [str(one.type) for one in getattr(aten, name).default._schema.returns[len(results) :]]
    return *results, *(results[0].new_zeros(0) if kind == "Tensor" else 0 for kind in kinds)


def _attention(name: str, with_bias: bool) -> Callable[..., Any]:
    """Scaled dot product attention, by matrix products and a softmax."""

    def run(query: Tensor, key: Tensor, value: Tensor, *args: Any, **options: Any) -> Any:
        names = [one.name for one in getattr(aten, name).default._schema.arguments[3:]]
        given = dict(zip(names, args, strict=False)) | options
        bias = given.get("attn_bias", given.get("attn_mask")) if with_bias else None
        mixed, _ = aten._scaled_dot_product_attention_math(
            query, key, value, bias, 0.0, given.get("is_causal", False), scale=given.get("scale")
        )
        return _filled(name, mixed)

    return run


def _lstm_cell(
    from_input: Tensor,
    from_hidden: Tensor,
    cell: Tensor,
    input_bias: Tensor | None = None,
    hidden_bias: Tensor | None = None,
) -> Any:
    gates = _with_bias(from_input, input_bias) + _with_bias(from_hidden, hidden_bias)
    enter, forget, new, leave = gates.chunk(4, 1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell, gates.new_zeros(0)


def _gru_cell(
    from_input: Tensor,
    from_hidden: Tensor,
    hidden: Tensor,
    input_bias: Tensor | None = None,
    hidden_bias: Tensor | None = None,
) -> Any:
    reset0, update0, new0 = _with_bias(from_input, input_bias).chunk(3, 1)
    reset1, update1, new1 = _with_bias(from_hidden, hidden_bias).chunk(3, 1)
    update = (update0 + update1).sigmoid()
    new = (new0 + (reset0 + reset1).sigmoid() * new1).tanh()
    return new + update * (hidden - new), hidden.new_zeros(0)


def _with_bias(values: Tensor, bias: Tensor | None) -> Tensor:
    return values if bias is None else values + bias


def _cudnn_rnn(
    values: Tensor, weights: list[Tensor], each: int, buffer: Any, hidden: Tensor, cell: Tensor | None,
    mode: int, hidden_size: int, projected: int, layers: int, batch_first: bool, dropout: float, train: bool,
    bidirectional: bool, batch_sizes: Any, state: Any,
) -> Any:  # fmt: skip
    """A recurrent layer, by the cells that run without cuDNN."""
    if batch_sizes:
        return NotImplemented
    name = ("rnn_relu", "rnn_tanh", "lstm", "gru")[mode]
    start: Any = hidden if cell is None else (hidden, cell)
    biases = each - (projected > 0) == 4
    with torch.backends.cudnn.flags(enabled=False):
        results = getattr(torch._VF, name)(
            values, start, weights, biases, layers, 0.0, train, bidirectional, batch_first
        )
    results = results if cell is not None else (*results, values.new_zeros(0))
    return _filled("_cudnn_rnn", *results)


def _grouped_products(
    values: Tensor, weights: Tensor, ends: Tensor | None = None, bias: Any = None, out_dtype: Any = None
) -> Any:
    """Rows in groups, each with a matrix of its own: all products, of which each row takes its own."""
    if values.dim() != 2 or weights.dim() != 3 or ends is None or bias is not None or out_dtype is not None:
        return NotImplemented
    place = torch.arange(len(values), device=values.device)[:, None]
    result, before = values.new_zeros(len(values), weights.shape[2]), None
    for group in range(len(weights)):
        after = place < ends[group]
        own = after if before is None else after & ~before
        result, before = torch.where(own, values @ weights[group], result), after
    return result


def _convolution(
    values: Tensor, kernel: Tensor, padding: Any, stride: Any, dilation: Any, groups: int, *_: Any
) -> Tensor:
    zeros = [0] * len(padding)
    result: Tensor = aten.convolution(values, kernel, None, stride, padding, dilation, False, zeros, groups)
    return result


def _convolution_relu(
    values: Tensor, kernel: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Tensor:
    zeros = [0] * len(padding)
    return aten.convolution(values, kernel, bias, stride, padding, dilation, False, zeros, groups).relu()


KERNELS: dict[str, Callable[..., Any]] = {
    **{
        name: _attention(name, with_bias)
        for name, with_bias in (
            ("_scaled_dot_product_flash_attention", False),
            ("_scaled_dot_product_flash_attention_for_cpu", True),
            ("_scaled_dot_product_efficient_attention", True),
            ("_scaled_dot_product_cudnn_attention", True),
            ("_scaled_dot_product_fused_attention_overrideable", True),
        )
    },
    "_thnn_fused_lstm_cell": _lstm_cell,
    "_thnn_fused_gru_cell": _gru_cell,
    "_cudnn_rnn": _cudnn_rnn,
    "_grouped_mm": _grouped_products,
    "cudnn_convolution": _convolution,
    "cudnn_convolution_relu": _convolution_relu,
    "miopen_convolution_relu": _convolution_relu,
}
"""By the name of the operator."""

FEWEST_CHANNELS = 8
"""Of an image, from which the maxima of windows are found faster with the channels last."""


def _max_pool(values: Tensor, *args: Any, **options: Any) -> Any:
    """On CPUs with the channels last: only that kernel computes several numbers at a time."""
    pool, last = aten.max_pool2d_with_indices, torch.channels_last
    images = values.dim() == 4 and values.shape[1] >= FEWEST_CHANNELS and values.is_contiguous()
    if values.device.type != "cpu" or not images:
        return pool(values, *args, **options)
    results = pool(values.contiguous(memory_format=last), *args, **options)
    return tuple(result.contiguous() for result in results)


def _safe_softmax(values: Tensor, axis: int, dtype: Any = None) -> Tensor:
    """Rows of minus infinity alone, which it is safe for, are rare."""
    result = torch.softmax(values, axis, dtype)
    return aten._safe_softmax(values, axis, dtype) if bool(result.sum().isnan()) else result


FASTER: dict[str, Callable[..., Any]] = {
    "max_pool2d_with_indices": _max_pool,
    "_safe_softmax": _safe_softmax,
}
"""By the name of the operator: what computes the same bits in less time."""
