"""torch's attention with a layer for each weight computes what torch's does, and can be undone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nif.pruning.equivalent import from_linear, to_linear
from nif.pruning.multihead import MultiheadAttention

SIZES: dict[str, dict[str, Any]] = {
    "time first": {},
    "batch first": {"batch_first": True},
    "other widths": {"kdim": 5, "vdim": 6, "batch_first": True},
    "no bias": {"bias": False, "batch_first": True},
}

PADDING = torch.zeros(3, 7, dtype=torch.bool).index_fill(1, torch.tensor([5, 6]), True)
MASK = torch.zeros(5, 7, dtype=torch.bool).index_fill(1, torch.tensor([3]), True)

CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"key_padding_mask": PADDING},
    "mask": {"attn_mask": MASK},
    "both": {"attn_mask": MASK, "key_padding_mask": PADDING},
    "a mask for each head": {
        "attn_mask": torch.linspace(-2, 2, 12 * 35, dtype=torch.float64).reshape(12, 5, 7)
    },
    "no weights": {"need_weights": False, "attn_mask": MASK, "key_padding_mask": PADDING},
    "weights of heads": {"average_attn_weights": False},
}


def attention(sizes: str) -> tuple[nn.MultiheadAttention, list[Tensor]]:
    torch.manual_seed(0)
    options = SIZES[sizes]
    model = nn.MultiheadAttention(8, 4, **options, dtype=torch.float64).eval()
    widths = 8, options.get("kdim", 8), options.get("vdim", 8)
    read = [torch.randn(3, 5 if place == 0 else 7, width).double() for place, width in enumerate(widths)]
    return model, read if options.get("batch_first") else [values.transpose(0, 1) for values in read]


@pytest.mark.parametrize("called", CALLS)
@pytest.mark.parametrize("sizes", SIZES)
def test_the_result_is_that_of_torch(sizes: str, called: str) -> None:
    model, read = attention(sizes)
    wanted, weights = model(*read, **CALLS[called])
    to_linear(model)
    assert type(model) is MultiheadAttention
    found, own = model(*read, **CALLS[called])
    assert found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=1e-12)
    assert (weights is None) == (own is None)
    assert weights is None or torch.allclose(own, weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_one_sample_without_an_axis_of_rows(sizes: str) -> None:
    model, read = attention(sizes)
    one = [values[0] if model.batch_first else values[:, 0] for values in read]
    wanted = model(*one)
    to_linear(model)
    for found, expected in zip(model(*one), wanted, strict=True):
        assert found.shape == expected.shape and torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_class_and_every_weight_come_back(sizes: str) -> None:
    model, _ = attention(sizes)
    model.train().requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    to_linear(model)
    assert not model.q_proj.weight.requires_grad and model.q_proj.training
    from_linear(model)
    assert type(model) is nn.MultiheadAttention
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(weight.requires_grad for weight in model.parameters())
    assert repr(model) == repr(attention(sizes)[0])


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}], ids=str)
def test_keys_that_no_input_gives_leave_the_module_alone(options: dict[str, bool]) -> None:
    model = nn.MultiheadAttention(8, 4, **options)
    to_linear(model)
    assert type(model) is nn.MultiheadAttention


def test_a_class_of_the_user_is_left_alone() -> None:
    class Own(nn.MultiheadAttention):
        """May compute anything."""

    model = Own(8, 4)
    to_linear(model)
    assert type(model) is Own


def test_dropout_of_weights_is_that_of_torch_in_training() -> None:
    torch.manual_seed(0)
    model, x = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), torch.randn(400, 5, 8)
    with torch.no_grad():
        wanted = torch.stack([model(x, x, x, need_weights=False)[0] for _ in range(20)]).mean(0)
        to_linear(model)
        found = torch.stack([model(x, x, x, need_weights=False)[0] for _ in range(20)])
    assert found.var(0).mean() > 0.001
    assert (found.mean(0) - wanted).mean().abs() < 0.01
