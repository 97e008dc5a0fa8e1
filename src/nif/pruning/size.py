"""How large and how fast a network is."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nif.network.forward import Forward, Inputs, batches
from nif.network.preserve import preserved
from nif.network.tracing import unfused

ROWS_TIMED = 256


REPEATS = 21


WARM = 0.05
"""Seconds of passes that are not counted."""


SECONDS = 0.5
"""A slow network is timed until this has passed, and at least once."""


@dataclass(frozen=True)
class Size:
    """The cost of a network.

    Attributes:
        parameters: Numbers that were trained.
        flops: Floating-point operations of the matrix products and convolutions for one row.
        bytes: Size of its state dict as a safetensors file.
        milliseconds: Time of one forward pass of a batch of up to 256 rows; the median of several.
    """

    parameters: int
    flops: int
    bytes: int
    milliseconds: float


def size_of(call: Forward, inputs: Inputs) -> Size:
    """Measure a network on some rows of data.

    Example:
        >>> size = size_of(Forward(nn.Linear(3, 2)), (torch.zeros(1, 3),))
        >>> size.parameters, size.flops
        (8, 12)
    """
    piece = next(batches(call, inputs, ROWS_TIMED))
    with preserved(call.model):
        return Size(
            parameters=sum(weight.numel() for weight in call.model.parameters()),
            flops=_flops(call, tuple(values[:1] for values in piece)),
            bytes=len(save(plain(call.model))),
            milliseconds=1000 * _seconds(call, piece),
        )


def plain(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as tensors that share no memory, which safetensors asks for."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}


def _flops(call: Forward, row: Inputs) -> int:
    with unfused(), FlopCounterMode(display=False) as counter:  # what a fused kernel does is not counted
        call.all_outputs(row)
    return int(counter.get_total_flops())


def _seconds(call: Forward, piece: Inputs) -> float:
    """Median over several forward passes; on a GPU the work is waited for."""
    start = time.perf_counter()
    while time.perf_counter() - start < WARM:  # the first passes choose kernels and wake the processor
        call.all_outputs(piece)
    taken: list[float] = []
    while len(taken) < REPEATS and (sum(taken) < SECONDS or not taken):
        start = time.perf_counter()
        call.all_outputs(piece)
        if piece[0].is_cuda:
            torch.cuda.synchronize(piece[0].device)
        taken.append(time.perf_counter() - start)
    return sorted(taken)[len(taken) // 2]
