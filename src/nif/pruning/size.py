"""The size and speed of networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from nif.network.flops import flops_of
from nif.network.forward import Forward, Inputs, batches
from nif.network.preserve import preserved

ROWS_TIMED = 256
PASSES = 21

WARM_UP = 0.02
"""Seconds of passes that are not timed: they choose kernels and wake the processor."""

SECONDS = 0.5
"""Slow networks are timed until this has passed, and at least once."""


@dataclass(frozen=True)
class Size:
    """The cost of a network.

    Attributes:
        parameters: Number of parameters.
        flops: Floating-point operations of the matrix products and convolutions for one row.
        bytes: Size of its state dict as a safetensors file.
        milliseconds: Time of one forward pass of a batch; the median of several passes.
        spread: Half of the range, in milliseconds, of the middle half of these passes.
        batch: Rows of the batch, up to 256; 0 if unknown, as in a file of nif 0.1.
        threads: Of torch, on the processor; 0 if unknown.
    """

    parameters: int
    flops: int
    bytes: int
    milliseconds: float
    spread: float = 0.0
    batch: int = 0
    threads: int = 0


def sizes_of(calls: Sequence[Forward], inputs: Inputs) -> list[Size]:
    """Measure networks on some rows of data; they are timed in turns, so that what else runs slows all."""
    piece = next(batches(calls[0], inputs, ROWS_TIMED))
    with ExitStack() as stack:
        for call in calls:
            stack.enter_context(preserved(call.model))
        times = 1000 * _seconds(calls, piece)
        low, median, high = np.quantile(times, [0.25, 0.5, 0.75], axis=0)
        return [
            Size(
                parameters=sum(weight.numel() for weight in call.model.parameters()),
                flops=flops_of(call, tuple(values[:1] for values in piece)),
                bytes=len(save(plain(call.model))),
                milliseconds=float(median[place]),
                spread=float(high[place] - low[place]) / 2,
                batch=len(piece[0]),
                threads=torch.get_num_threads(),
            )
            for place, call in enumerate(calls)
        ]


def pace_of(call: Forward, inputs: Inputs) -> tuple[float, float]:
    """Seconds of one pass of a row, and operations per second, by one pass of a batch."""
    piece = next(batches(call, inputs, ROWS_TIMED))
    with preserved(call.model):
        seconds = max(_once(call, piece), 1e-9) / len(piece[0])
        return seconds, max(1, flops_of(call, tuple(values[:1] for values in piece))) / seconds


def plain(model: nn.Module) -> dict[str, Tensor]:
    """The state dict as tensors that share no memory, which safetensors requires."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}


def _seconds(calls: Sequence[Forward], piece: Inputs) -> np.ndarray:
    """Seconds of forward passes, ``[pass, network]``, with the time that a GPU needs for them.

    torch.utils.benchmark would do, but it imports setuptools, which an installation may lack.
    """
    for call in calls:
        start = time.perf_counter()
        while time.perf_counter() - start < WARM_UP:
            call.all_outputs(piece)
    times, begin = list[list[float]](), time.perf_counter()
    while len(times) < PASSES and (time.perf_counter() - begin < len(calls) * SECONDS or not times):
        times.append([_once(call, piece) for call in calls])
    return np.array(times)


def _once(call: Forward, piece: Inputs) -> float:
    start = time.perf_counter()
    call.all_outputs(piece)
    if piece[0].is_cuda:
        torch.cuda.synchronize(piece[0].device)
    return time.perf_counter() - start
