"""How the units of a tensor pass through each operation of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nif.network.unit_labels import Labels, Units

ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Tanhshrink,
    nn.Softshrink, nn.Hardshrink, nn.Threshold, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, nn.Identity,
)  # fmt: skip
"""Modules that treat every number by itself."""

POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.LPPool1d, nn.LPPool2d, nn.Upsample,
)  # fmt: skip
"""Modules that treat every channel by itself."""

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTION = (nn.Conv1d, nn.Conv2d)

SAME = frozenset((
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "celu", "gelu",
    "silu", "mish", "sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "softsign", "hardtanh",
    "hardswish", "hardsigmoid", "logsigmoid", "dropout", "dropout1d", "dropout2d", "alpha_dropout",
    "clone", "contiguous", "detach", "float", "double", "to", "abs", "neg", "clamp", "clamp_", "exp",
    "square", "sqrt", "erf", "log", "log1p", "expm1", "sin", "cos", "clip",
    "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "interpolate",
    "boolean_dispatch", "pad",
))  # fmt: skip
"""Functions and methods that treat every number, or every channel, by itself."""

PAIRED = frozenset((
    "add", "add_", "iadd", "sub", "sub_", "isub", "mul", "mul_", "imul", "truediv", "div", "maximum",
    "minimum", "pow", "pow_", "ipow",
))  # fmt: skip
"""Functions of two tensors whose units must stay at the same place in both."""


def one_number_each(module: nn.Module) -> bool:
    """Whether the module has its own numbers for each channel and mixes none, as BatchNorm."""
    if isinstance(module, CONVOLUTION):
        return 1 < module.groups == module.in_channels == module.out_channels
    return isinstance(module, BATCH_NORM) or (isinstance(module, nn.PReLU) and module.num_parameters > 1)


def silenced_along(module: nn.Module) -> int | None:
    """The axis of units that a module can silence in its weights and that can not be cut out; None of others.

    A norm over units, or a convolution in groups, has numbers for each of the units that it gives, and
    another result where there are fewer of them.

    Example:
        >>> silenced_along(nn.LayerNorm(4)), silenced_along(nn.Conv2d(4, 8, 3, groups=2))
        (-1, 1)
    """
    if getattr(module, "weight", None) is None:
        return None
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return -1 if len(module.normalized_shape) == 1 else None
    return 1 if isinstance(module, (*CONVOLUTION, nn.GroupNorm)) else None


def treats_numbers_apart(module: nn.Module, given: Tensor) -> bool:
    """Whether a module without weights treats every number by itself, tried on changed numbers.

    Example:
        >>> treats_numbers_apart(nn.Hardshrink(), torch.ones(2, 8)), treats_numbers_apart(
        ...     nn.Softmax(-1), torch.ones(2, 8)
        ... )
        (True, False)
    """
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        return False
    try:
        return _moves_only_what_changes(module, given)
    except Exception:  # the user's code: it may need more than one tensor, and raise anything
        return False


def _moves_only_what_changes(module: nn.Module, given: Tensor) -> bool:
    before = module.forward(given.clone())
    if not isinstance(before, Tensor) or before.shape != given.shape:
        return False
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        chosen = (torch.rand(given.shape, generator=generator) < 0.5).to(given.device)
        after = module.forward(torch.where(chosen, given + 1, given))
        if not torch.equal(before[~chosen], after[~chosen]):
            return False
    return True


def channels_of(module: nn.Module) -> int:
    """Channels of a module with its own numbers for each."""
    known = getattr(module, "weight", None)
    return len(known) if known is not None else len(module.get_buffer("running_mean"))


def same(units: Units, shape: Sequence[int]) -> Units | None:
    """Units behind an operation that keeps them in place, if the axis is as long as before."""
    fits = units.axis < len(shape) and shape[units.axis] == len(units.labels)
    return units if fits else None


def flattened(units: Units, before: Sequence[int], after: Sequence[int]) -> Units | None:
    """Units behind a flattening of all axes but the first: a channel becomes as many features as positions.

    Example:
        >>> flattened(Units(1, np.array([4, 7])), (32, 2, 3), (32, 6)).labels.tolist()
        [4, 4, 4, 7, 7, 7]
    """
    if tuple(before) == tuple(after):
        return units
    features = math.prod(before[1:])
    if units.axis != 1 or tuple(after) != (before[0], features):
        return None
    return Units(1, np.repeat(units.labels, features // before[1]))


def averaged(units: Units, before: Sequence[int], after: Sequence[int]) -> Units | None:
    """Units behind a mean or sum over positions: the channel axis is still there, with its own size."""
    survives = units.axis == 1 and len(after) >= 2 and after[:2] == before[:2]
    return units if survives else None


def concatenated(
    parts: Sequence[Units | None], axis: int, widths: Sequence[int], labels: Labels
) -> Units | None:
    """Units of tensors put side by side; a part whose units are not known gets pinned ones."""
    if not any(part is not None and part.axis == axis for part in parts):
        return None
    together = []
    for part, width in zip(parts, widths, strict=True):
        if part is not None and part.axis == axis:
            together.append(part.labels)
        else:
            unknown = labels.new(width)
            labels.pin(unknown)
            together.append(unknown)
    return Units(axis, np.concatenate(together))


def name_of(target: object) -> str:
    """The name of a function or method as the tables above spell it."""
    return target if isinstance(target, str) else str(getattr(target, "__name__", "")).lstrip("_")
