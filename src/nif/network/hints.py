"""What to try where a module does not take what it was given: shapes that are common mistakes."""

from __future__ import annotations

import math

from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
"""By the number of axes of their positions."""


def hint(module: nn.Module, given: Tensor) -> str:
    """A sentence on the axes of a tensor that a module has refused, with a space before it; or nothing.

    Example:
        >>> from torch import zeros
        >>> hint(nn.Conv2d(3, 8, 3), zeros(11, 28, 28, 3))
        ' It has channels last, and torch takes channels first: pass x.movedim(-1, 1).'
        >>> hint(nn.Linear(784, 10), zeros(11, 28, 28))
        ' A row has as many numbers as the module takes: pass x.flatten(1).'
    """
    shape = tuple(given.shape)
    if isinstance(module, nn.Linear):
        return _of_linear(shape, module.in_features)
    for axes, kind in CONVOLUTIONS.items():
        if isinstance(module, kind):
            return _of_convolution(shape, module.in_channels, axes)
    return ""


def _of_linear(shape: tuple[int, ...], features: int) -> str:
    if len(shape) > 2 and math.prod(shape[1:]) == features:
        return " A row has as many numbers as the module takes: pass x.flatten(1)."
    if len(shape) == 3 and shape[1] == features:
        return " Axis 1 has the size that the module takes as its last: pass x.movedim(1, -1)."
    return ""


def _of_convolution(shape: tuple[int, ...], channels: int, axes: int) -> str:
    if len(shape) == axes + 2 and shape[-1] == channels:
        return " It has channels last, and torch takes channels first: pass x.movedim(-1, 1)."
    if len(shape) == axes + 1 and channels == 1:
        return " It has no axis of channels: pass x[:, None]."
    if len(shape) == axes + 2 and shape[1] == 1:
        repeats = ", ".join(["-1", str(channels), *["-1"] * axes])
        return f" It has one channel and the module takes {channels}: pass x.expand({repeats})."
    side = round((shape[-1] / channels) ** (1 / axes))
    if len(shape) == 2 and axes > 1 and side**axes * channels == shape[1]:
        return (
            f" Its rows are flat: pass x.unflatten(1, ({', '.join(map(str, (channels, *[side] * axes)))}))."
        )
    return ""
