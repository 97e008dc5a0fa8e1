"""The size and speed of a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nif.network.forward import Forward, Inputs, batches
from nif.network.preserve import preserved
from nif.network.tracing import unfused

ROWS_TIMED = 256
PASSES = 21

WARM_UP = 0.05
"""Seconds of passes that are not timed: they choose kernels and wake the processor."""

SECONDS = 0.5
"""A slow network is timed until this has passed, and at least once."""


@dataclass(frozen=True)
class Size:
    """The cost of a network.

    Attributes:
        parameters: Number of parameters.
        flops: Floating-point operations of the matrix products and convolutions for one row.
        bytes: Size of its state dict as a safetensors file.
        milliseconds: Time of one forward pass of a batch of up to 256 rows; the median of several passes.
    """

    parameters: int
    flops: int
    bytes: int
    milliseconds: float


def size_of(call: Forward, inputs: Inputs) -> Size:
    """Measure a network on some rows of data."""
    piece = next(batches(call, inputs, ROWS_TIMED))
    with preserved(call.model):
        return Size(
            parameters=sum(weight.numel() for weight in call.model.parameters()),
            flops=_flops(call, tuple(values[:1] for values in piece)),
            bytes=len(save(plain(call.model))),
            milliseconds=1000 * _seconds(call, piece),
        )


def plain(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as tensors that share no memory, which safetensors requires."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}


def _flops(call: Forward, row: Inputs) -> int:
    # What a fused kernel does is not counted, and a parameter that a module is given has no gradient here.
    with _without_gradients(call.model), unfused(), FlopCounterMode(display=False) as counter:
        call.all_outputs(row)
    return int(counter.get_total_flops())


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter requires a gradient."""
    requiring = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in requiring:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in requiring:
            weight.requires_grad_(True)


def _seconds(call: Forward, piece: Inputs) -> float:
    """Median of forward passes, with the time that a GPU needs for them.

    torch.utils.benchmark would do, but it imports setuptools, which an installation may lack.
    """
    start, times = time.perf_counter(), list[float]()
    while time.perf_counter() - start < WARM_UP:
        call.all_outputs(piece)
    while len(times) < PASSES and (sum(times) < SECONDS or not times):
        start = time.perf_counter()
        call.all_outputs(piece)
        if piece[0].is_cuda:
            torch.cuda.synchronize(piece[0].device)
        times.append(time.perf_counter() - start)
    return median(times)
