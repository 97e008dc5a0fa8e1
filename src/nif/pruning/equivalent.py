"""Modules that hold weights in another way, as Linear layers of which units can be cut, and back."""

from __future__ import annotations

from typing import Any

from torch import nn

from nif.pruning.multihead import MultiheadAttention, join, separate
from nif.pruning.padded import PaddedLinear

CLASS_BEFORE = "_class_before"
"""Attribute of a Linear that was a module of another class."""


NESTED_BEFORE = "_nested_before"
"""Attribute of an encoder of torch: whether it made nested tensors."""


def to_linear(model: nn.Module) -> None:
    """Make, in place, Linear layers of ``Conv1D`` of `transformers` and of the weights of torch's attention.

    What such a Linear computes is what the module computes; `from_linear` restores the classes.

    Example:
        >>> import torch
        >>> model = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
        >>> x = torch.randn(3, 5, 4)
        >>> before = model(x)
        >>> to_linear(model)
        >>> model.self_attn.q_proj
        Linear(in_features=4, out_features=4, bias=True)
        >>> torch.allclose(model(x), before, atol=1e-6)
        True
        >>> from_linear(model)
        >>> type(model.self_attn)
        <class 'torch.nn.modules.activation.MultiheadAttention'>
    """
    for module in list(model.modules()):
        if isinstance(module, nn.MultiheadAttention):
            separate(module)
        elif _is_conv1d(module):
            _transposed(module)
            setattr(module, CLASS_BEFORE, type(module))
            module.__class__ = nn.Linear
    _set_nested(model)


def from_linear(model: nn.Module) -> None:
    """Restore, in place, the classes that `to_linear` changed, but of attention that lost heads or keys."""
    for module in list(model.modules()):
        if isinstance(module, MultiheadAttention):
            join(module)
        elif (before := getattr(module, CLASS_BEFORE, None)) is not None:
            delattr(module, CLASS_BEFORE)
            if not isinstance(module, PaddedLinear):
                _transposed(module)
                module.__class__ = before
    _set_nested(model)


def _set_nested(model: nn.Module) -> None:
    """Nested tensors, which are for the fused kernel alone, only where all attention is torch's."""
    for module in model.modules():
        if not isinstance(module, nn.TransformerEncoder):
            continue
        if any(isinstance(part, MultiheadAttention) for part in module.modules()):
            if not hasattr(module, NESTED_BEFORE):
                setattr(module, NESTED_BEFORE, getattr(module, "use_nested_tensor", False))
            module.use_nested_tensor = False
        elif hasattr(module, NESTED_BEFORE):
            module.use_nested_tensor = getattr(module, NESTED_BEFORE)
            delattr(module, NESTED_BEFORE)


def _is_conv1d(module: Any) -> bool:
    """Whether a module is ``Conv1D`` of `transformers`, which holds the transpose of a Linear's weight."""
    weight = getattr(module, "weight", None)
    named = type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")
    return named and weight is not None and tuple(weight.shape) == (module.nx, module.nf)


def _transposed(module: Any) -> None:
    """The sizes of the other class, and the weight the other way round."""
    old = module.weight
    module.weight = nn.Parameter(old.detach().T.contiguous(), requires_grad=old.requires_grad)
    if hasattr(module, "in_features"):
        module.nx, module.nf = module.in_features, module.out_features
        del module.in_features, module.out_features
    else:
        module.in_features, module.out_features = module.nx, module.nf
        del module.nx, module.nf
