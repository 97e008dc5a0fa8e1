"""Dimensions of keys of modules with one width for keys and values: zeros in place of what went."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import nif
from nif.flow.flow import Flow
from nif.network.weights import row_outputs
from nif.pruning.attention import attentions
from nif.pruning.equivalent import to_linear
from nif.pruning.padded import PaddedLinear, pad
from support.attention_cases import answers, in_double, measured, without
from support.sequence_models import data_of, model_of

LAYERS = {
    "gpt2": ("transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"),
    "bert": ("bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.1.attention.self.query"),
    "vit": ("vit.layers.0.attention.q_proj", "vit.layers.1.attention.q_proj"),
    "t5": ("encoder.block.0.layer.0.SelfAttention.q", "decoder.block.1.layer.1.EncDecAttention.q"),
}
"""Layers that compute queries, in each network."""


def without_queries(model: nn.Module, layer: str) -> None:
    """Make the queries of every second dimension of two heads of eight numbers zero."""
    module: Any = model.get_submodule(layer)
    with torch.no_grad():
        axis = int(type(module).__name__ == "Conv1D")  # which holds the transpose
        rows = torch.arange(0, 16, 2)
        module.weight.index_fill_(axis, rows, 0)
        if module.bias is not None:
            module.bias[rows] = 0


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_dimensions_that_no_query_has_are_removed_and_nothing_changes(name: str) -> None:
    model, data = in_double(name)
    for found in attentions(converted(model)):
        without_queries(model, found.blocks[0][0])
    before, weights = answers(model, data), copy.deepcopy(model.state_dict())
    small = without(model, data, name, key_dims=0.5, tolerance=1e-6)
    assert len(small.removed) and set(small.removed["index"]) == {4, 5, 6, 7}
    assert (answers(small.model, data) - before).abs().max() <= 1e-8
    assert small.size_after.parameters < small.size_before.parameters
    assert not any("left whole" in note for note in small.notes)
    for layer in LAYERS[name]:
        padded = small.model.get_submodule(layer)
        assert isinstance(padded, PaddedLinear) and padded.width == 8
        assert padded.parts == ((4, 4, 8) if name == "gpt2" else (4,))
        assert padded.out_features == padded.weight.shape[0] == 2 * sum(padded.parts)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def converted(model: nn.Module) -> nn.Module:
    to_linear(model := copy.deepcopy(model))
    return model


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_scores_of_a_padded_head_are_the_best_of_their_rank(name: str) -> None:
    """Of the first block, whose inputs do not change: over all pairs of a query and a key, by numpy."""
    model, data = in_double(name)
    small = without(model, data, name, key_dims=0.5)
    wanted, found = (products(one, data) for one in (model, small.model))
    singular = np.linalg.svd(wanted, compute_uv=False)
    ranks = np.linalg.matrix_rank(found, tol=1e-9)
    assert set(ranks.tolist()) <= {1, 2, 3, 4, 5, 6, 7} and len(set(ranks.tolist())) == 1
    error = np.square(found - wanted).sum()
    assert np.isclose(error, np.square(singular[:, ranks[0] :]).sum(), rtol=1e-4)


def products(model: nn.Module, data: Any) -> np.ndarray:
    """Of all queries and all keys of each head of the first attention, less the mean key."""
    model = converted(model)
    attention = next(iter(attentions(model)))
    seen: dict[str, Tensor] = {}
    for layer, _ in attention.blocks[:2]:
        model.get_submodule(layer).register_forward_hook(
            lambda _, given, returned, layer=layer: seen.update({layer: returned})
        )
    answers(model, data)
    packed = len(seen) == 1
    parts = (
        next(iter(seen.values())).split(16, -1)[:2]
        if packed
        else [seen[layer] for layer, _ in attention.blocks[:2]]
    )
    q, k = (part.detach().reshape(-1, 2, 8).transpose(0, 1) for part in parts)
    return (q @ (k - k.mean(1, keepdim=True)).transpose(1, 2)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_a_file_restores_fewer_dimensions_fewer_heads_and_fewer_units_together(
    name: str, tmp_path: Path
) -> None:
    model, data = model_of(name), data_of(name)
    small = without(model, data, name, key_dims=0.4, heads=0.5, remove=0.3)
    kinds = small.removed["unit"].str.split("[ []", regex=True).str[0].value_counts()
    assert kinds["key"] > 0 and kinds["head"] > 0 and len(small.removed) > kinds["key"] + kinds["head"]
    small.save(tmp_path / "small")
    with safe_open(tmp_path / "small", framework="pt") as file:
        assert file.metadata()["version"] == "2"  # earlier nif would make a network that does not run
    again = nif.shrink(model_of(name), tmp_path / "small")
    assert torch.equal(answers(again, data), answers(small.model, data))
    assert [repr(part) for part in again.modules()] == [repr(part) for part in small.model.modules()]
    assert any(isinstance(part, PaddedLinear) for part in again.modules())


@pytest.mark.slow
def test_fewer_dimensions_then_fewer_heads_are_as_one_head_less_of_the_smaller_network() -> None:
    model, data = in_double("bert")
    small = without(model, data, "bert", key_dims=0.4)
    fewer = without(small.model, data, measured(small.model, data), heads=0.5)
    together = without(model, data, "bert", key_dims=0.4, heads=0.5)
    heads = together.removed[together.removed["unit"].str.startswith("head")].reset_index(drop=True)
    assert fewer.removed.equals(heads)
    assert (answers(fewer.model, data) - answers(together.model, data)).abs().max() <= 1e-10


def test_a_network_with_fewer_dimensions_writes_text_with_its_cache_and_learns_on() -> None:
    small = without(model_of("gpt2"), data_of("gpt2"), "gpt2", key_dims=0.5).model
    ids = data_of("gpt2")["input_ids"][:4]
    options = {"do_sample": False, "max_new_tokens": 4, "pad_token_id": 0, "eos_token_id": None}
    written = [small.generate(ids, use_cache=cache, **options) for cache in (True, False)]
    assert torch.equal(*written)
    small(ids, labels=ids).loss.backward()
    assert all(bool(part.weight.grad.any()) for part in small.modules() if isinstance(part, PaddedLinear))


@pytest.mark.parametrize("parts", [(3,), (2, 2, 5)])
def test_without_its_zeros_it_returns_what_its_weight_computes(parts: tuple[int, ...]) -> None:
    layer = nn.Linear(4, 2 * sum(parts))
    x = torch.randn(7, 3, 4)
    wanted = layer(x)
    pad(layer, 5, parts)
    returned = layer(x)
    assert returned.shape == (7, 3, 2 * 5 * len(parts))
    assert torch.equal(row_outputs(layer, returned), wanted.reshape(21, -1))
    by_head = returned.unflatten(-1, (len(parts), 2, 5))
    assert all(not by_head[..., place, :, part:].any() for place, part in enumerate(parts))


def rotary(queries: float = 1.0) -> nn.Module:
    """A Llama with a key for each query head, and its queries in another size."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 2, "vocab_size": 23}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=2, initializer_range=0.3)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.q_proj.weight *= queries
    return model


@cache
def flow_of_rotary() -> Flow:
    return measured(rotary(), data_of("llama"))


@pytest.mark.parametrize("queries", [1.0, 1e-5])
def test_keys_that_are_turned_by_their_positions_stay_and_it_is_said(queries: float) -> None:
    """Scores of almost 0 change no output, whatever is done to them; the trial makes them matter."""
    data = data_of("llama")
    small = without(rotary(queries), data, flow_of_rotary(), key_dims=0.5)
    assert len(small.removed) == 0
    assert any("turned by their positions" in note for note in small.notes)


def test_keys_that_several_query_heads_share_stay_and_it_is_said() -> None:
    small = without(model_of("llama"), data_of("llama"), "llama", key_dims=0.5)
    assert len(small.removed) == 0
    assert any("shared by several heads" in note for note in small.notes)


def test_products_of_almost_0_are_found_to_be_products() -> None:
    model, data = model_of("gpt2"), data_of("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, :16] *= 1e-5
            block.attn.c_attn.bias[:16] *= 1e-5
    assert len(without(model, data, "gpt2", key_dims=0.5).removed) == 8


def test_a_network_without_attention_has_no_dimensions_to_lose_and_it_is_said() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    x = torch.randn(60, 4)
    small = nif.prune(net, measured(net, x), x, remove=None, key_dims=0.5, tolerance=None, progress=False)
    assert len(small.removed) == 0
    assert any("found no attention of a known form" in note for note in small.notes)
