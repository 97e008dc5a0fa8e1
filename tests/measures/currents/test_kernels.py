"""Kernels taken apart return what they return, by operations that have rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from nif.measures.currents.fused import TAKEN_APART
from nif.measures.currents.kernels import FASTER, KERNELS
from support.current_steps import ends, step_of
from support.probe_functions import ROWS

aten = torch.ops.aten


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_kernel_exists_and_has_as_many_results() -> None:
    q = drawn(2, 2, 5, 4)
    for name, taken_apart in KERNELS.items():
        assert hasattr(aten, name), name
        if "attention" in name:
            kernel = getattr(aten, name).default
            results = taken_apart(q, q, q, **({} if "flash" in name else {"attn_bias": None}))
            assert len(results) == len(kernel._schema.returns)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", [name for name in KERNELS if "attention" in name])
def test_attention(name: str, causal: bool) -> None:
    q, k, v = (drawn(2, 2, 5, 4, seed=seed) for seed in range(3))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.3)
    result = KERNELS[name](q, k, v, is_causal=causal, scale=0.3)[0]
    torch.testing.assert_close(result, expected)


def test_attention_that_a_model_asks_to_be_fused() -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            tokens = x.unflatten(-1, (3, 2))[:, None]
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return F.scaled_dot_product_attention(tokens, tokens, tokens).flatten(1)

    step = step_of(Model(), *ends(ROWS, torch.float64))
    assert step.imbalance < 1e-10 and not step.general


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "layer, name", [(nn.LSTMCell, "_thnn_fused_lstm_cell"), (nn.GRUCell, "_thnn_fused_gru_cell")]
)
def test_cells(layer: Any, name: str, bias: bool) -> None:
    torch.manual_seed(0)
    cell, x, hidden, state = layer(3, 4, bias=bias), drawn(5, 3), drawn(5, 4, seed=1), drawn(5, 4, seed=2)
    gates = x @ cell.weight_ih.T, hidden @ cell.weight_hh.T
    biases = (cell.bias_ih, cell.bias_hh) if bias else (None, None)
    if layer is nn.LSTMCell:
        expected: Any = cell(x, (hidden, state))
        result = KERNELS[name](*gates, state, *biases)[:2]
    else:
        expected, result = [cell(x, hidden)], KERNELS[name](*gates, hidden, *biases)[:1]
    for one, two in zip(result, expected, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "mode, layer", [(0, nn.RNN), (1, nn.RNN), (2, nn.LSTM), (3, nn.GRU)], ids=["relu", "tanh", "lstm", "gru"]
)
def test_recurrent_layers_of_cudnn(mode: int, layer: Any, bias: bool) -> None:
    torch.manual_seed(0)
    options = {"nonlinearity": "relu"} if mode == 0 else {}
    net = layer(3, 4, num_layers=2, bidirectional=True, bias=bias, **options)
    x, hidden, cell = drawn(6, 5, 3), drawn(4, 5, 4, seed=1), drawn(4, 5, 4, seed=2)
    weights = [weight for of_layer in net.all_weights for weight in of_layer]
    each, state = len(net.all_weights[0]), cell if mode == 2 else None
    result = KERNELS["_cudnn_rnn"](
        x, weights, each, None, hidden, state, mode, 4, 0, 2, False, 0.0, False, True, [], None
    )
    assert len(result) == len(aten._cudnn_rnn.default._schema.returns)
    output, last = net(x, (hidden, cell) if mode == 2 else hidden)
    torch.testing.assert_close(result[0], output)
    torch.testing.assert_close(result[1], last[0] if mode == 2 else last)


def test_groups_of_rows_with_a_matrix_of_their_own() -> None:
    values, weights = drawn(6, 3), drawn(3, 3, 4, seed=1)
    ends_of_groups = torch.tensor([2, 2, 5], dtype=torch.int32)
    result = KERNELS["_grouped_mm"](values, weights, ends_of_groups)
    expected = torch.cat([values[:2] @ weights[0], values[2:5] @ weights[2], torch.zeros(1, 4)])
    torch.testing.assert_close(result, expected)


def test_convolutions() -> None:
    image, kernel, bias = drawn(2, 4, 5, 5), drawn(6, 2, 3, 3, seed=1), drawn(6, seed=2)
    expected = F.conv2d(image, kernel, bias, 2, 1, groups=2)
    plain = KERNELS["cudnn_convolution"](image, kernel, [1, 1], [2, 2], [1, 1], 2, False, False, False)
    torch.testing.assert_close(plain + bias[:, None, None], expected)
    for name in ("cudnn_convolution_relu", "miopen_convolution_relu"):
        result = KERNELS[name](image, kernel, bias, [2, 2], [1, 1], [1, 1], 2)
        torch.testing.assert_close(result, expected.relu())


SCANS: dict[str, Callable[[Tensor], Tensor]] = {
    "prod": lambda x: x.prod(1),
    "prod of all": lambda x: x[:1].prod() + 0 * x.sum(1),
    "prod kept": lambda x: x.prod(0, keepdim=True),
    "cumprod": lambda x: x.cumprod(1),
    "cumprod of rows": lambda x: x.cumprod(0),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "renorm": lambda x: x.renorm(2, 0, 1.5),
    "renorm by columns": lambda x: x.renorm(1, -1, 2.0),
    "kthvalue": lambda x: x.kthvalue(2, 1).values,
    "median": lambda x: x.median(1).values,
    "nanmedian": lambda x: x.nanmedian(1).values,
    "cummax": lambda x: x.cummax(1).values,
    "norm": lambda x: x.norm(3, 1),
    "norm of 1": lambda x: x.norm(1, 1),
    "nuclear": lambda x: x.norm(dim=(0, 1)) + 0 * x.sum(1),
    "cdist": lambda x: torch.cdist(x[:, None], x[:, None].flip(2) * 2, p=1.5).flatten(1),
    "pairwise": lambda x: F.pairwise_distance(x, x.flip(1)),
    "std": lambda x: x.std(1, correction=0),
    "var_mean": lambda x: torch.var_mean(x, 1)[0],
    "std_mean": lambda x: torch.std_mean(x, 1)[0],
    "quantile": lambda x: x.quantile(0.3, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_reductions_have_rules_of_their_own(name: str) -> None:
    for seed in range(3):
        step = step_of(SCANS[name], *ends(ROWS, torch.float64, seed=seed))
        assert step.imbalance < 1e-10
        assert not step.general


@pytest.mark.parametrize("name", ["prod", "cumprod", "logcumsumexp", "renorm"])
def test_what_is_taken_apart_returns_what_torch_returns(name: str) -> None:
    x = drawn(4, 7)
    arguments = {"prod": (1, True), "cumprod": (1,), "logcumsumexp": (1,), "renorm": (3.0, 1, 1.5)}[name]
    torch.testing.assert_close(TAKEN_APART[name](x, *arguments), getattr(torch, name)(x, *arguments))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("window", [(2,), (3, 2, 1), (2, 2, 0, 2), (3, 2, 1, 1, True)])
@pytest.mark.parametrize("channels", [3, 8, 20])
def test_maxima_of_windows_with_channels_last(channels: int, window: Any, dtype: torch.dtype) -> None:
    x = drawn(5, channels, 9, 7).to(dtype).round()  # with ties
    x[0, 0, 4, 4] = torch.nan
    results, expected = (
        pool(x, *window) for pool in (FASTER["max_pool2d_with_indices"], aten.max_pool2d_with_indices)
    )
    for one, two in zip(results, expected, strict=True):
        assert torch.equal(one.nan_to_num(9), two.nan_to_num(9)) and one.is_contiguous()


@pytest.mark.parametrize("masked", [[], [1], [0, 1, 2]])
def test_softmax_of_rows_of_which_some_are_masked(masked: list[int]) -> None:
    x = drawn(4, 3)
    x[0, 1] = x[masked] = -torch.inf
    assert torch.equal(FASTER["_safe_softmax"](x, 1), aten._safe_softmax(x, 1))
