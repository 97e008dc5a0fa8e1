"""Heads of attention: what is removed, what compensates for it, and what keeps all heads."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.pruning.attention import attentions
from nif.pruning.equivalent import to_linear
from nif.pruning.multihead import MultiheadAttention
from nif.pruning.result import read_record
from support.attention_cases import answers, in_double, measured, without
from support.sequence_models import data_of, model_of

OUTPUTS = {
    "gpt2": ("transformer.h.1.attn", "c_proj"),
    "bert": ("bert.encoder.layer.1.attention", "output.dense"),
    "vit": ("vit.layers.1.attention", "o_proj"),
    "encoder": ("encoder.self_attn", "out_proj"),
    "padded": ("encoder.self_attn", "out_proj"),
    "attention": ("attention", "out_proj"),
}
"""A module of attention in each network, and the layer in it that reads the heads."""


def unread(model: nn.Module, name: str, head: int) -> None:
    """Make the output projection of one of two heads zero."""
    module, layer = OUTPUTS[name]
    weight = model.get_submodule(f"{module}.{layer}").weight
    axis = 0 if name == "gpt2" else 1  # Conv1D holds the transpose
    half = weight.shape[axis] // 2
    with torch.no_grad():
        weight.narrow(axis, head * half, half).zero_()


@pytest.mark.slow
@pytest.mark.parametrize("compensate", ["linear", "mean", None])
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_head_that_nothing_reads_is_removed_and_nothing_changes(name: str, compensate: str | None) -> None:
    model, data = in_double(name)
    unread(model, name, head=1)
    before, weights = answers(model, data), copy.deepcopy(model.state_dict())
    options: dict[str, Any] = {"tolerance": 0.0, "compensate": compensate}
    small = without(model, data, name, heads={OUTPUTS[name][0]: 0.5}, **options)
    assert small.removed.to_numpy().tolist() == [[OUTPUTS[name][0], "head 1", 1, "cut"]]
    assert (answers(small.model, data) - before).abs().max() <= 1e-12
    assert small.size_after.parameters < small.size_before.parameters
    assert small.size_after.flops < small.size_before.flops
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_restores_the_network_with_fewer_heads(name: str, tmp_path: Path) -> None:
    model, data = model_of(name), data_of(name)
    small = without(model, data, name, heads=0.5, remove=0.3)
    assert (small.removed["unit"].str.startswith("head")).sum() >= 1
    small.save(tmp_path / "small")
    again = nif.shrink(model_of(name), tmp_path / "small")
    assert torch.equal(answers(again, data), answers(small.model, data))
    assert [type(part) for part in again.modules()] == [type(part) for part in small.model.modules()]
    assert read_record(tmp_path / "small").removed.equals(small.removed)


def test_the_output_layer_compensates_by_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first attention of a network nothing before the heads changes: numpy solves the same problem."""
    monkeypatch.setattr("nif.pruning.least_squares.RIDGES", (1e-12,))
    model, data = in_double("attention")
    to_linear(whole := copy.deepcopy(model))
    seen: list[Tensor] = []
    whole.attention.out_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    answers(whole, data)
    x = seen[0].reshape(-1, 8).numpy()
    small = without(model, data, "attention", heads={"attention": 0.5})
    (gone,) = small.removed["index"]
    stays = np.arange(8).reshape(2, 4)[1 - gone]
    weight, bias = (part.detach().numpy() for part in whole.attention.out_proj.parameters())
    design = np.hstack([x[:, stays], np.ones((len(x), 1))])
    solution, *_ = np.linalg.lstsq(design, x @ weight.T + bias, rcond=None)
    out = small.model.attention.out_proj
    assert np.allclose(out.weight.detach().numpy(), solution[:-1].T, atol=1e-6)
    assert np.allclose(out.bias.detach().numpy(), solution[-1], atol=1e-6)
    assert np.abs(solution[:-1].T - weight[:, stays]).max() > 0.01


def test_sizes_that_modules_state_are_those_of_their_weights() -> None:
    small = without(model_of("gpt2"), data_of("gpt2"), "gpt2", heads=0.5)
    ((name, _, _, _), *_) = small.removed.to_numpy().tolist()
    attention = small.model.get_submodule(name)
    assert (attention.num_heads, attention.split_size) == (1, 8)
    assert attention.c_attn.nf == 24 and tuple(attention.c_attn.weight.shape) == (16, 24)
    assert tuple(attention.c_proj.weight.shape) == (8, 16)
    attention = (
        without(model_of("bert"), data_of("bert"), "bert", heads=0.5).model.bert.encoder.layer[0].attention
    )
    sizes = {attention.self.num_attention_heads, attention.self.all_head_size // 8}
    assert sizes == {attention.self.query.out_features // 8}


def test_a_network_with_fewer_heads_writes_text_with_its_cache() -> None:
    small, ids = (
        without(model_of("gpt2"), data_of("gpt2"), "gpt2", heads=0.5).model,
        data_of("gpt2")["input_ids"][:4],
    )
    options = {"do_sample": False, "max_new_tokens": 4, "pad_token_id": 0, "eos_token_id": None}
    written = [small.generate(ids, use_cache=cache, **options) for cache in (True, False)]
    assert torch.equal(*written)


def test_query_heads_that_share_keys_are_removed_together() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 23}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)
    model = transformers.LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight[:, :8] = 0
    data = data_of("llama")
    small = without(model, data, measured(model, data), heads=0.5, tolerance=1e-9)
    assert small.removed["unit"].tolist() == ["head 0"]
    attention = small.model.model.layers[0].self_attn
    assert attention.q_proj.out_features == 8 and attention.k_proj.out_features == 4
    assert (answers(small.model, data) - answers(model, data)).abs().max() <= 1e-12


def test_heads_that_exceed_the_tolerance_are_restored() -> None:
    model, data = model_of("encoder"), data_of("encoder")
    small = without(model, data, "encoder", heads=0.5, tolerance=0.0)
    assert len(small.removed) == 0
    assert small.restored["unit"].str.startswith("head").all() and len(small.restored) == 1
    assert type(small.model.encoder.self_attn) is nn.MultiheadAttention


def test_one_head_of_each_module_stays() -> None:
    small = without(model_of("bert"), data_of("bert"), "bert", heads=0.99)
    assert [found.heads for found in attentions(small.model)] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "encoder.{}.layer.0.SelfAttention",
        "decoder.{}.layer.0.SelfAttention",
        "decoder.{}.layer.1.EncDecAttention",
    ],
)
def test_heads_that_share_a_table_of_positions_are_removed_from_all_blocks(
    module: str, tmp_path: Path
) -> None:
    model, data = in_double("t5")
    names = [module.format(f"block.{block}") for block in range(2)]
    for name in names:
        nn.init.zeros_(model.get_submodule(name).o.weight[:, 8:])
    small = without(model, data, "t5", heads={names[1]: 0.5}, tolerance=1e-9)
    assert small.removed[["layer", "unit"]].to_numpy().tolist() == [[name, "head 1"] for name in names]
    assert (answers(small.model, data) - answers(model, data)).abs().max() <= 1e-12
    table = getattr(small.model.get_submodule(names[0]), "relative_attention_bias", None)
    biases, positions = 2 * 16, 0 if table is None else 32
    assert small.size_before.parameters - small.size_after.parameters == 2 * 4 * 8 * 16 + positions - biases
    for name in names:
        attention = small.model.get_submodule(name)
        assert (attention.n_heads, attention.inner_dim, attention.q.out_features) == (1, 8, 8)
    assert table is None or table.embedding_dim == 1
    assert small.model.shared.weight is small.model.encoder.embed_tokens.weight
    small.save(tmp_path / "small")
    again = nif.shrink(in_double("t5")[0], tmp_path / "small")
    assert torch.equal(answers(again, data), answers(small.model, data))


def test_attention_that_needs_its_heads_keeps_them_and_it_is_said() -> None:
    model = model_of("attention")
    model.attention = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True).eval()
    small = without(model, data_of("attention"), "attention", heads=0.5)
    assert small.notes[0] == "Layer 'attention' is left whole: its module does not work with fewer heads."


def test_masks_of_padding_are_read_by_an_encoder_with_fewer_heads() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(60, 5, 8)
    small = without(model, x, measured(model, x), heads=0.5).model
    assert any(isinstance(part, MultiheadAttention) for part in small.modules())
    padding = torch.zeros(60, 5, dtype=torch.bool)
    padding[:, 3:] = True
    with torch.no_grad():
        short, padded = small(x[:, :3]), small(x, src_key_padding_mask=padding)
    assert torch.allclose(padded[:, :3], short, atol=1e-6)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (1.5, "fraction of heads to remove is 1.5"),
        ({"encoder": 0.5}, "encoder.self_attn"),
        ({"encoder.self_attn": 0}, "fraction of heads to remove is 0"),
    ],
)
def test_other_heads_are_refused(heads: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        without(model_of("encoder"), data_of("encoder"), "encoder", heads=heads)
