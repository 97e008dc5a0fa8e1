"""How functions are compiled for the processor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

_as_written = partial(njit, cache=True, nogil=True, error_model="numpy")


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with numba: without the interpreter's lock, kept on disk for the next process.

    Arithmetic keeps to IEEE 754, no fast math: a process that compiles and one that loads the code inline it
    differently, and both must round alike. What should be fused or reordered is written so, in lanes.
    """
    return _as_written()(inspect.unwrap(function))


def inlined(function: Callable[..., Any]) -> Any:
    """The same, but compiled as a part of its one caller: a tenth less time and memory for the first run."""
    return _as_written(inline="always")(inspect.unwrap(function))
