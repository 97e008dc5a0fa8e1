"""A warning of data on another scale than that on which a network was trained, where the network shows it."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nif.data.rows import Rows
from nif.data.signature import EMBEDDINGS
from nif.network.network import Network
from nif.network.preserve import preserved

MOST_ROWS, FEWEST_ROWS = 256, 20
"""Rows that are checked."""

SHIFT, RATIO = 5.0, 100.0
"""From which on a mean, in standard deviations of training, and a variance, as a ratio, are another scale."""

BYTE = 127
"""Bytes above it are those of an image, and not few categories."""


def warn_of_scale(network: Network, rows: Rows, stacklevel: int) -> None:
    """Warn of rows that differ from the statistics of the first batch norm, or of bytes that stay bytes.

    A batch norm holds the mean and the variance of what it was given in training. The median over its
    channels is compared, so that a few do not count. Networks without one say nothing of the scale, and are
    only checked for bytes of an image that reach the first weights as they are.
    """
    module, tracked = network.module, _tracked(network.module)
    byte = rows.first.dtype == torch.uint8 and rows.first.ndim > 2 and int(rows.first.max()) > BYTE
    byte = byte and not any(isinstance(part, EMBEDDINGS) for part in module.modules())
    if len(rows) < FEWEST_ROWS or not (tracked or byte):
        return
    weighted = [part for part in module.modules() if next(part.parameters(recurse=False), None) is not None]
    given = _first_given(network, rows, tracked or weighted)
    if given is None:
        return
    name = next(name for name, part in module.named_modules() if part is given[0])
    if isinstance(given[0], _BatchNorm) and tracked:
        reason = _deviation(*given)
        if reason:
            warnings.warn(
                f"The data seem to be on another scale than those of training: what reaches {name!r}, a "
                f"batch norm, has {reason} of training (median of its channels). Scale them as in training.",
                stacklevel=stacklevel,
            )
    elif float(given[1].max()) > BYTE:
        warnings.warn(
            f"The data are bytes, 0 to {int(rows.first.max())}, and reach {name!r} unscaled; most networks "
            "are trained on x / 255. Pass the data as in training.",
            stacklevel=stacklevel,
        )


def _tracked(module: nn.Module) -> list[nn.Module]:
    """Batch norms that were trained."""
    found = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return [part for part in found if part.running_mean is not None and bool(part.num_batches_tracked)]


def _first_given(network: Network, rows: Rows, parts: list[nn.Module]) -> tuple[nn.Module, Tensor] | None:
    """The first of some modules that runs, and what it is given."""
    found: list[tuple[nn.Module, Tensor]] = []

    def note(part: nn.Module, args: Any) -> None:
        if not found and args and isinstance(args[0], Tensor):
            found.append((part, args[0].detach().float()))

    kept = torch.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS), dtype=torch.float64).long()
    call = network.forward(rows)
    try:
        with ExitStack() as hooks, preserved(network.module):
            for part in parts:
                hooks.enter_context(part.register_forward_pre_hook(note))
            call.all_outputs(call.prepared([values[kept.to(values.device)] for values in rows.inputs]))
    except Exception:  # the user's code, which may raise anything; measuring says what
        return None
    return found[0] if found else None


def _deviation(norm: Any, given: Tensor) -> str:
    """What differs, in words; empty if nothing does."""
    axes = [axis for axis in range(given.ndim) if axis != 1]
    variance, mean = torch.var_mean(given, dim=axes)
    trained = norm.running_var.float() + norm.eps
    shift = float(((mean - norm.running_mean).abs() / trained.sqrt()).median())
    ratio = float((variance / trained).median())
    if shift > SHIFT:
        return f"a mean {shift:.0f} standard deviations from that"
    return f"{ratio:.2g} times the variance" if ratio > RATIO or 0 < ratio < 1 / RATIO else ""
