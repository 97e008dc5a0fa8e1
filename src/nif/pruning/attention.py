"""Attention whose heads can be removed: where the weights of a head are, and the sizes that are stated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import nn

from nif.network.unit_groups import UnitIds
from nif.pruning.multihead import MultiheadAttention

FORMS = (
    ("q_proj", "k_proj", "v_proj", "out_proj"),
    ("q_proj", "k_proj", "v_proj", "o_proj"),
    ("c_attn", "c_attn", "c_attn", "c_proj"),
    ("self.query", "self.key", "self.value", "output.dense"),
    ("attention.query", "attention.key", "attention.value", "output.dense"),
    ("q", "k", "v", "o"),
)
"""Names of the layers for query, key, value and output in modules of attention, of nif and `transformers`.

One name three times is a layer that computes all queries, then all keys, then all values. Whether a module
computes attention in the way that its names suggest is found out by a trial.
"""

WIDTHS = ("head_dim", "attention_head_size", "key_value_proj_dim")
"""Attributes that state the width of a head."""

TABLE = "relative_attention_bias"
"""An embedding of relative positions in modules of attention, with a column for each head."""

Places = tuple[str, Int64[np.ndarray, "head row"]]
"""A layer, and which of its rows compute each head."""


@dataclass(frozen=True)
class Attention:
    """A module of attention.

    Attributes:
        name: Of the module.
        owner: Name of the module that states the sizes.
        blocks: Where query, key and value of each head are computed. Query heads that share a key and a value
            are one head, which is removed with all of them.
        output: The layer that reads the heads side by side.
        table: An embedding of positions with a column for each head.
    """

    name: str
    owner: str
    blocks: tuple[Places, Places, Places]
    output: str
    table: str | None = None

    @property
    def heads(self) -> int:
        """Number of heads that can be removed one by one."""
        return len(self.blocks[2][1])


def attentions(model: nn.Module) -> Iterator[Attention]:
    """All attention of a network in a known form.

    Example:
        >>> from nif.pruning.equivalent import to_linear
        >>> model = nn.TransformerEncoderLayer(6, 3, 8)
        >>> to_linear(model)
        >>> [(found.name, found.heads, found.output) for found in attentions(model)]
        [('self_attn', 3, 'self_attn.out_proj')]
    """
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name, _ in model.named_modules():
        for form in FORMS:
            layers = [f"{name}.{part}" if name else part for part in form]
            if linear.issuperset(layers):
                found = _attention(model, name, layers)
                if found is not None:
                    yield found
                break


def _attention(model: nn.Module, name: str, layers: list[str]) -> Attention | None:
    """The places of the heads, by the width that the module states; None where sizes do not agree."""
    owner = layers[0].rpartition(".")[0]
    module, counts = model.get_submodule(owner), [_rows(model, layer) for layer in layers[:3]]
    width = next((getattr(module, known) for known in WIDTHS if hasattr(module, known)), None)
    packed = len(set(layers[:3])) == 1
    if packed:
        parts = getattr(model.get_submodule(layers[0]), "parts", (1, 1, 1))
        counts = [counts[0] // sum(parts) * part for part in parts]
    if not isinstance(width, int) or width < 1 or counts[2] % width:
        return None
    heads, reads = counts[2] // width, model.get_submodule(layers[3]).in_features
    if any(count % heads for count in counts) or reads not in (counts[0], counts[2]):
        return None
    starts = np.cumsum([0, *counts[:2]]) if packed else [0, 0, 0]
    query, key, value = (
        (layer, start + np.arange(count).reshape(heads, -1))
        for layer, start, count in zip(layers[:3], starts, counts, strict=True)
    )
    table = f"{owner}.{TABLE}"
    positions = getattr(module, TABLE, None)
    known = isinstance(positions, nn.Embedding) and positions.embedding_dim == heads
    return Attention(name, owner, (query, key, value), layers[3], table if known else None)


def _rows(model: nn.Module, layer: str) -> int:
    return int(model.get_submodule(layer).get_parameter("weight").shape[0])


def padded_parts(model: nn.Module, kept: Mapping[str, UnitIds]) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Layers of queries and keys of whose heads each loses as many rows: width of a head, and rows that stay.

    `nif.pruning.multihead.MultiheadAttention`, whose keys may have another width than values, is left out.

    Args:
        model: Before it is made smaller.
        kept: Indices of the rows that stay, by the name of a weight.
    """
    found = {}
    for attention in attentions(model):
        if isinstance(model.get_submodule(attention.name), MultiheadAttention):
            continue
        for layer in {layer for layer, _ in attention.blocks[:2] if f"{layer}.weight" in kept}:
            rows = kept[f"{layer}.weight"]
            blocks = [places for name, places in attention.blocks if name == layer]
            stay = [set(np.isin(places, rows).sum(1).tolist()) - {0} for places in blocks]
            parts = tuple(max(counts, default=0) for counts in stay)
            widths = tuple(places.shape[1] for places in blocks)
            if parts != widths and all(len(counts) == 1 for counts in stay):
                found[layer] = getattr(model.get_submodule(layer), "width", widths[0]), parts
    return found


def state_heads(model: nn.Module, changed: Collection[str]) -> None:
    """Make the sizes that attention states agree with its weights, in place, where these layers changed."""
    for attention in attentions(model):
        if attention.blocks[2][0] not in changed:
            continue
        module: Any = model.get_submodule(attention.owner)
        heads = attention.heads * getattr(module, "num_key_value_groups", 1)
        width = attention.blocks[2][1].shape[1]
        sizes = {
            **dict.fromkeys(("num_heads", "num_attention_heads", "n_heads"), heads),
            "num_key_value_heads": attention.heads,
            **dict.fromkeys(("all_head_size", "split_size", "inner_dim"), heads * width),
        }
        for attribute, size in sizes.items():
            if attribute in vars(module):
                setattr(module, attribute, size)
