"""How functions are compiled for the processor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile with numba: without the interpreter's lock, kept on disk for the next process.

    Arithmetic keeps to IEEE 754, no fast math: a process that compiles and one that loads the code inline it
    differently, and both must round alike. What should be fused or reordered is written so, in lanes.
    """
    return njit(cache=True, nogil=True, error_model="numpy")(inspect.unwrap(function))
