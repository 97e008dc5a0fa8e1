"""Compilation of functions with numba."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

_as_written = partial(njit, cache=True, nogil=True, error_model="numpy")


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with numba: without the interpreter's lock, cached on disk for the next process.

    Arithmetic follows IEEE 754, without fast math: a process that compiles and one that loads the code inline
    it differently, and both must round alike. Fused or reordered operations are written out, in lanes.
    """
    return _as_written()(inspect.unwrap(function))


def inlined(function: Callable[..., Any]) -> Any:
    """The same, but inlined in its one caller: 10 % less time and memory for the first run."""
    return _as_written(inline="always")(inspect.unwrap(function))
