"""Which modules and functions are non-linearities, and which can not be recorded."""

from __future__ import annotations

from typing import Any

from torch import nn

MODULES = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.GLU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,  # and ReLU6
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.MultiheadAttention,
    nn.PReLU,
    nn.ReLU,
    nn.RReLU,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
"""Softmax is not here: inside a network it weighs other activations, at its end it is part of the output."""

FUNCTIONS = frozenset(
    {
        "celu",
        "clamp",
        "clamp_max",
        "clamp_min",
        "clip",
        "cos",
        "elu",
        "gelu",
        "glu",
        "hardshrink",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "logsigmoid",
        "mish",
        "multi_head_attention_forward",
        "prelu",
        "relu",
        "relu6",
        "rrelu",
        "scaled_dot_product_attention",
        "selu",
        "sigmoid",
        "silu",
        "sin",
        "softplus",
        "softshrink",
        "softsign",
        "tanh",
        "tanhshrink",
        "threshold",
    }
)
"""Names in torch and torch.nn.functional; their in-place forms end in an underscore."""

RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def function_name(function: Any) -> str:
    """The name of a torch function or method, the same for its in-place form.

    Example:
        >>> import torch
        >>> function_name(torch.relu_), function_name(torch.Tensor.__setitem__)
        ('relu', '__setitem__')
    """
    name = str(getattr(function, "__name__", function))
    return name if name.startswith("__") else name.rstrip("_")


def hides_functions(module: nn.Module, root: nn.Module) -> bool:
    """Whether the module is one step of the network, whatever functions it calls inside.

    So are torch's own modules without parts, attention, and a user's activation: a module without parts and
    without weights, such as ``x * sigmoid(x)``.
    """
    if isinstance(module, MODULES):
        return True
    whole = next(module.children(), None) is None and module is not root
    own = type(module).__module__.startswith("torch.nn.modules")
    return whole and (own or next(module.parameters(recurse=False), None) is None)
