"""Fused operations of torch, taken apart into those that have a rule of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

COMPOSITE = frozenset(["linear", "matmul", "chunk", "narrow", "flatten", "rms_norm"])
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
    """A layer of nn.LSTM, step by step."""
    from torch._decomp.decompositions import one_layer_lstm

    if bidirectional or batch_sizes:
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


TAKEN_APART: dict[str, Callable[..., Any]] = {
    "glu": _glu,
    "mkldnn_rnn_layer": _rnn_layer,
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
}
"""By the name of the operator; a function returns NotImplemented for arguments that it does not cover."""
