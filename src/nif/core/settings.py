"""Settings of the whole process, which are other ones while some thread needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch

Value = TypeVar("Value")


class Setting(Generic[Value]):
    """A setting that is changed by the first thread that needs it and restored by the last.

    Threads that each restored what they had found would take it from one another.

    Args:
        get: Returns the setting.
        put: Changes it.
        value: What is needed.
    """

    def __init__(self, get: Callable[[], Value], put: Callable[[Value], object], value: Value) -> None:
        self._get, self._put, self._value = get, put, value
        self._lock, self._needed, self._before = threading.Lock(), 0, value

    @contextmanager
    def needed(self) -> Iterator[None]:
        """Inside, it is what is needed."""
        with self._lock:
            if not self._needed:
                self._before = self._get()
                self._put(self._value)
            self._needed += 1
        try:
            yield
        finally:
            with self._lock:
                self._needed -= 1
                if not self._needed:
                    self._put(self._before)


def _operations() -> list[Any]:
    """What torch may compute in less than single precision if the process has chosen so."""
    named = ("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn"), ("cuda", "matmul")
    found = [getattr(getattr(torch.backends, backend), name, None) for backend, name in named]
    return [one for one in found if hasattr(one, "fp32_precision")]


def _precisions() -> list[str]:
    return [one.fp32_precision for one in _operations()] or [torch.get_float32_matmul_precision()]


def _choose(precisions: list[str]) -> None:
    for one, precision in zip(_operations(), precisions, strict=False):
        one.fp32_precision = precision
    if not _operations():  # torch before 2.9
        torch.set_float32_matmul_precision(precisions[0])


DEFAULT_DTYPE = Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32)
"""Of numbers that torch makes."""

MULTIPLICATION = Setting(_precisions, _choose, ["ieee"] * len(_operations()) or ["highest"])
"""Of products of matrices: in less than single precision currents do not add up."""
