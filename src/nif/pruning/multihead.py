"""Attention of torch with a Linear for each of query, key and value, of which heads can be removed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SEPARATE = ("q_proj", "k_proj", "v_proj")
"""The layers that take the place of the weights of torch's module, in their order there."""


class MultiheadAttention(nn.Module):
    r"""What `torch.nn.MultiheadAttention` computes, with any number of heads and of key dimensions.

    .. math:: O \, [\operatorname{softmax}(s \, Q_h K_h^\top + \text{mask}) \, V_h]_h

    torch's module takes its sizes from the width of its input. A pruned network has this module where heads
    or key dimensions were removed; it is called in the same way and has no `add_bias_kv` or `add_zero_attn`.
    The scale s stays that of the original width. `nif.shrink` makes it from torch's module.

    Attributes:
        q_proj: A Linear that computes the queries of all heads; so do `k_proj` and `v_proj`.
        out_proj: A Linear that reads the heads.
        head_dim: Values of one head.
        scaling: s.
    """

    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear
    out_proj: nn.Linear
    num_heads: int
    head_dim: int
    scaling: float
    dropout: float
    batch_first: bool

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The arguments and results of `torch.nn.MultiheadAttention`."""
        batched, first = query.ndim == 3, self.batch_first or query.ndim == 2
        read = [values if batched else values[None] for values in (query, key, value)]
        read = [values if first else values.transpose(0, 1) for values in read]
        layers = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (self._heads(layer(values)) for layer, values in zip(layers, read, strict=True))
        mask = self._mask(attn_mask, key_padding_mask, q)
        weights, dropout = None, self.dropout if self.training else 0.0
        if need_weights:
            scores = self.scaling * q @ k.transpose(-2, -1)
            weights = (scores if mask is None else scores + mask).softmax(-1)
            heads = functional.dropout(weights, dropout) @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, mask, dropout, scale=self.scaling)
        returned = self.out_proj(heads.transpose(1, 2).flatten(2))
        returned = returned if first else returned.transpose(0, 1)
        if batched:
            return returned, weights
        return returned[0], None if weights is None else weights[0]

    def _heads(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _mask(self, mask: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
        """Both masks as numbers that are added to the scores, one for each row and head, or for all."""
        if mask is not None:
            mask = _added(mask, like)
            mask = mask.unflatten(0, (len(like), -1)) if mask.ndim == 3 else mask
        if padding is None:
            return mask
        padding = _added(padding if padding.ndim == 2 else padding[None], like)[:, None, None]
        return padding if mask is None else mask + padding


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask whose true values are left out, as minus infinity there."""
    if mask.dtype != torch.bool:
        return mask.to(like)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)


def separate(module: Any) -> bool:
    """Give torch's attention, in place, a layer for each of its weights; False where that is not possible."""
    if type(module) is not nn.MultiheadAttention or module.bias_k is not None or module.add_zero_attn:
        return False
    packed = module.in_proj_weight is not None
    weights = module.in_proj_weight.chunk(3) if packed else [getattr(module, f"{n}_weight") for n in SEPARATE]
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    trained = [weight.requires_grad for weight in weights]
    for name, weight, bias, grad in zip(SEPARATE, weights, biases, trained, strict=True):
        setattr(module, name, linear(weight, bias, grad).train(module.training))
        setattr(module, f"{name}_weight", None)
    held: Any = module
    held.in_proj_weight = held.in_proj_bias = None
    held.out_proj.__class__ = nn.Linear
    held._qkv_same_embed_dim = False  # no fused kernel
    held.scaling = module.head_dim**-0.5
    held.__class__ = MultiheadAttention
    return True


def join(module: Any) -> bool:
    """Undo `separate`, in place, if the module has the sizes of torch's; False where it has not."""
    layers = [getattr(module, name) for name in SEPARATE]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    width = module.embed_dim
    biases = [layer.bias for layer in layers]
    have = {bias is not None for bias in (*biases, module.out_proj.bias)}
    wanted = [(width, read) for read in (width, module.kdim, module.vdim)]
    if shapes != wanted or module.out_proj.weight.shape != (width, width) or len(have) > 1:
        return False
    grads = [layer.weight.requires_grad for layer in layers]
    module._qkv_same_embed_dim = module.kdim == module.vdim == width
    for name in SEPARATE:
        delattr(module, name)
    if module._qkv_same_embed_dim:
        joined = torch.cat([layer.weight.detach() for layer in layers])
        module.in_proj_weight = nn.Parameter(joined, requires_grad=grads[0])
    else:
        for name, layer in zip(SEPARATE, layers, strict=True):
            setattr(module, f"{name}_weight", layer.weight)
    if biases[0] is not None:
        joined = torch.cat([bias.detach() for bias in biases])
        module.in_proj_bias = nn.Parameter(joined, requires_grad=biases[0].requires_grad)
    del module.scaling
    module.out_proj.__class__ = nn.modules.linear.NonDynamicallyQuantizableLinear
    module.__class__ = nn.MultiheadAttention
    return True


def linear(weight: Tensor, bias: Tensor | None, trained: bool = True) -> nn.Linear:
    """A Linear with copies of these numbers; no random number is drawn."""
    layer = nn.utils.skip_init(nn.Linear, *weight.T.shape, bias=bias is not None, dtype=weight.dtype)
    layer.weight = nn.Parameter(copy.deepcopy(weight.detach()).contiguous(), requires_grad=trained)
    if bias is not None:
        layer.bias = nn.Parameter(copy.deepcopy(bias.detach()).contiguous(), requires_grad=trained)
    return layer
