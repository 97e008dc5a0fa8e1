"""Arrays that are not in memory: of Dask, zarr, h5py and memory maps, by what they have in common.

They have a shape, a type and slices of rows, and most say how long their chunks are. Rows are taken chunk by
chunk, so that no other rows are in memory than those of a chunk and those that were drawn; none of the
libraries is imported.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64
from torch import Tensor

from nif.core.errors import InputError

BYTES_AT_ONCE = 2**26
"""Of a slice, where an array does not say how long its chunks are."""


def is_far(data: Any) -> bool:
    """Whether data are such an array.

    Raises:
        InputError: They are a frame of Dask, or their number of rows is not known.

    Example:
        >>> is_far(np.zeros((2, 3)))
        False
    """
    if isinstance(data, np.memmap):
        return True
    if isinstance(data, (Tensor, np.ndarray, pd.DataFrame, pd.Series)):
        return False
    if hasattr(data, "to_dask_array"):
        raise InputError(
            f"The data are a {type(data).__name__} of Dask; pass data.to_dask_array(lengths=True), or the "
            "frame of data.compute()."
        )
    if not all(hasattr(data, name) for name in ("shape", "dtype", "chunks", "__getitem__")):
        return False
    if any(not math.isfinite(length) for length in data.shape):
        raise InputError(
            f"The data have the shape {tuple(data.shape)}, whose number of rows is not known; call "
            "compute_chunk_sizes() on them first."
        )
    return len(data.shape) > 0


def rows_of(data: Any, index: Int64[np.ndarray, " kept"] | None) -> Any:
    """The rows at these indices, in rising order, or all; of arrays far or near, and of frames.

    Example:
        >>> rows_of(np.arange(6).reshape(3, 2), np.array([0, 2])).tolist()
        [[0, 1], [4, 5]]
    """
    if is_far(data):
        return _taken(data, index)
    if index is None or not isinstance(data, (Tensor, np.ndarray, pd.DataFrame, pd.Series, list)):
        return data
    if isinstance(data, (pd.DataFrame, pd.Series)):
        return data.iloc[index]
    return [data[row] for row in index] if isinstance(data, list) else data[index]


def _taken(data: Any, index: Int64[np.ndarray, " kept"] | None) -> np.ndarray:
    if isinstance(data, np.memmap) and index is not None:
        return np.array(data[index])  # the system reads no other pages
    count = int(data.shape[0]) if index is None else len(index)
    taken = np.empty((count, *map(int, data.shape[1:])), dtype=data.dtype)
    for first, last in _chunks(data):
        begin, end = (first, last) if index is None else np.searchsorted(index, [first, last])
        if begin < end:
            chunk = np.asarray(data[first:last])
            taken[begin:end] = chunk if index is None else chunk[index[begin:end] - first]
    return taken


def _chunks(data: Any) -> Iterator[tuple[int, int]]:
    """First and last row of slices that are one or more whole chunks."""
    rows, known = int(data.shape[0]), getattr(data, "chunks", None)
    along = known[0] if known else None
    if isinstance(along, tuple):  # Dask's have lengths of their own
        edges = np.cumsum([0, *along]).tolist()
    else:
        of_row = max(1, np.dtype(data.dtype).itemsize * math.prod(map(int, data.shape[1:])))
        step = int(along or 1)
        step *= max(1, BYTES_AT_ONCE // (of_row * step))
        edges = [*range(0, rows, step), rows]
    yield from itertools.pairwise(edges)
