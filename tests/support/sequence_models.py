"""Small models of sequences and tokens: of transformers, from random weights, and of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORDS, LENGTH, ROWS = 23, 6, 60


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=WORDS, n_positions=16, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=16, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, num_labels=3, initializer_range=0.5,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8,
        patch_size=4, num_labels=3, initializer_range=0.3,
    )  # fmt: skip
    return ViTForImageClassification(config)


def t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=WORDS, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, initializer_factor=1.0
    )
    return T5ForConditionalGeneration(config)


class Tokens(nn.Module):
    """Embeddings, positions, a body on them, and a head on the mean over tokens."""

    def __init__(self, body: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, 8), nn.Embedding(LENGTH, 8)
        self.body = body
        for name, part in parts.items():
            setattr(self, name, part)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.body(self, hidden))


class Padded(nn.Module):
    """An encoder with a mask of padding; logits at every token."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(WORDS, 8), nn.Linear(8, 3)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)

    def forward(self, ids: Tensor, padding_mask: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(ids), src_key_padding_mask=padding_mask))


class Tabular(nn.Module):
    """Numbers and categories, each category with a table of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(4, 2), nn.Embedding(5, 3)
        self.body = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        looked_up = [self.first(categories[:, 0]), self.second(categories[:, 1])]
        return self.body(torch.cat([numbers, *looked_up], 1))


class Bags(nn.Module):
    """Tables that are read in every other way: by a bag, a function, an index, and time first."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.table = nn.EmbeddingBag(WORDS, 4), nn.Parameter(torch.randn(WORDS, 4))
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        by_time = F.embedding(ids.t(), self.table).mean(0)
        shifted = ids.new_zeros(ids.shape)
        shifted[:, 1:] = ids[:, :-1]
        parts = [self.bag(ids), by_time, self.table[shifted].amax(1), self.table.index_select(0, ids[:, 2])]
        return self.head(torch.cat(parts, 1).tanh())


MODELS: dict[str, Callable[[], nn.Module]] = {
    "gpt2": gpt2,
    "llama": llama,
    "bert": bert,
    "vit": vit,
    "t5": t5,
    "encoder": lambda: Tokens(
        lambda self, x: self.encoder(x).mean(1),
        encoder=nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
    ),
    "attention": lambda: Tokens(
        lambda self, x: self.attention(x, x, x)[0].mean(1),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
    ),
    "lstm": lambda: Tokens(lambda self, x: self.lstm(x)[1][0][-1], lstm=nn.LSTM(8, 8, batch_first=True)),
    "gru": lambda: Tokens(lambda self, x: self.gru(x)[0][:, -1], gru=nn.GRU(8, 8, batch_first=True)),
    "padded": Padded,
    "tabular": Tabular,
    "bags": Bags,
}
"""By name."""


OF_TRANSFORMERS = ("gpt2", "llama", "bert", "vit", "t5")


def model_of(name: str) -> nn.Module:
    """A model whose weights are the same every time."""
    if name in OF_TRANSFORMERS:
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    return MODELS[name]().eval()


def masks() -> Tensor:
    """Of rows of 4 and of 6 tokens."""
    mask = torch.ones(ROWS, LENGTH, dtype=torch.int64)
    mask[::3, 4:] = 0
    return mask


def data_of(name: str) -> dict[str, Tensor]:
    """Rows for a model, by the names of its inputs."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, WORDS, (ROWS, LENGTH), generator=generator)
    if name == "vit":
        return {"pixel_values": torch.randn(ROWS, 3, 8, 8, generator=generator)}
    if name == "tabular":
        return {"numbers": torch.randn(ROWS, 4, generator=generator), "categories": ids[:, :2] % 4}
    if name == "t5":
        return {"input_ids": ids, "decoder_input_ids": ids.flip(1)[:, :4].contiguous()}
    if name == "bert":
        return {"input_ids": ids, "attention_mask": masks()}
    if name == "padded":
        return {"ids": ids, "padding_mask": masks() == 0}
    return {"input_ids" if name in ("gpt2", "llama") else "ids": ids}
