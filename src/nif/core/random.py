"""Independent random generators for the library's internal use, and the user's random state preserved."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch.utils.data import DataLoader

from nif.core.settings import DEFAULT_DTYPE, MULTIPLICATION


def stream(seed: int, purpose: str, *data: np.ndarray) -> np.random.Generator:
    """A generator for one purpose, and for the data if some are passed.

    Data are often drawn by ``default_rng(seed)`` with the seed that is passed on to this library. Noise from
    that same generator would then equal the data: two coins would show .64 nats instead of .19. Keyed by the
    data, ties are broken differently in each column, and alike in every block that contains the column.

    Example:
        >>> [int(stream(0, purpose).integers(100)) for purpose in ("noise", "ties", "ties")]
        [92, 22, 22]
    """
    keys = (crc32(np.ascontiguousarray(values).tobytes()) for values in data)
    return np.random.default_rng([seed, crc32(purpose.encode()), *keys])


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the random states of torch (all devices), numpy and Python at the end."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - to be restored
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Inside, torch makes numbers in single precision on the CPU, and gradients, whatever the process chose.

    Example:
        >>> torch.set_default_dtype(torch.float64)
        >>> with usual_defaults():
        ...     torch.zeros(1).dtype
        torch.float32
        >>> torch.zeros(1).dtype
        torch.float64
        >>> torch.set_default_dtype(torch.float32)
    """
    # A device for a block makes every call of torch go through Python, so it is set only where it is another.
    on_cpu = nullcontext() if torch.empty(0).is_cpu else torch.device("cpu")
    precision = torch.autocast("cpu", enabled=False), DEFAULT_DTYPE.needed(), MULTIPLICATION.needed()
    with ExitStack() as chosen:
        for choice in (on_cpu, *precision, torch.inference_mode(False), torch.enable_grad()):
            chosen.enter_context(choice)
        yield


@contextmanager
def same_generators(loader: DataLoader[Any]) -> Iterator[None]:
    """Restore the states of the generators of a loader and of its samplers at the end."""
    owners = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    candidates = [getattr(owner, "generator", None) for owner in owners]
    generators = [generator for generator in candidates if generator is not None]
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def isolated_library() -> Iterator[None]:
    """Run a library that draws from the global generators: their states are restored and warnings dropped."""
    with same_random_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
