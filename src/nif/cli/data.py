"""Load rows from .csv, .tsv, .npy, .npz or .parquet (no pickle), or make example rows."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from nif.cli.columns import csv, labels, numbers
from nif.core.errors import InputError, optional_import, unknown
from nif.core.numbers import LARGEST_WHOLE
from nif.data.rows import read as read_rows
from nif.data.signature import EMBEDDINGS, Signature
from nif.network.network import Network

EXAMPLE_ROWS = 2

PICKLED = "it holds pickled objects, which can execute code, or has a header of unusual length"
"""Where numpy advises to load it all the same."""


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs of a network and, if a label was named, the class of each row.

    Attributes:
        x: A frame with named columns, an array of any number of axes, or one array for each input.
        y: One number for each row; words are replaced by their index in `classes`.
        classes: The distinct words in alphabetical order, if the label consists of words.
    """

    x: pd.DataFrame | np.ndarray | dict[str, np.ndarray]
    y: np.ndarray | None
    classes: tuple[str, ...] | None


def read(path: Path, features: str | None = None, label: str | None = None) -> Data:
    """Read a file of rows.

    Args:
        path: ``.csv`` or ``.tsv`` with a header, ``.parquet``, ``.npy`` with one row for each sample, or
            ``.npz``.
        features: Columns separated by commas; for an ``.npz`` the name of one array, ``x`` if not given, or
            of several, for a network of several inputs.
        label: The column of the class; for an ``.npz`` the name of its array.

    Raises:
        InputError: The file cannot be read or is of another kind, or a column does not exist.
    """
    if path.suffix == ".npz":
        arrays = _arrays(path)
        default = "x" if "x" in arrays or len(arrays) > 1 else next(iter(arrays))
        names = [name.strip() for name in (features or default).split(",")]
        inputs = {name: _named(arrays, name, path) for name in names}
        x = inputs if len(inputs) > 1 else inputs[names[0]]
        return Data(x, *labels(None if label is None else pd.Series(_named(arrays, label, path).ravel())))
    frame = table(path)
    if isinstance(frame, np.ndarray):
        if features or label:
            raise InputError(f"{path} contains an array of {frame.ndim} axes, which has no named columns.")
        return Data(frame, None, None)
    chosen = [name for name in frame.columns if name != label] if features is None else features.split(",")
    y = None if label is None else frame[_column(frame, label, path)]
    return Data(frame[[_column(frame, name, path) for name in chosen]], *labels(y))


def table(path: Path) -> pd.DataFrame | np.ndarray:
    """Read a file as a frame with columns; an array of more than two axes remains one."""
    if path.suffix not in READERS:
        known = ".csv, .tsv, .npy, .npz or .parquet"
        raise InputError(f"{path} ends in {path.suffix!r}; expected a {known} file.")
    with _reading(path):
        content = READERS[path.suffix](path)
    if isinstance(content, np.ndarray):
        content = _checked(content, path)
        if content.ndim > 2:
            return content
    return pd.DataFrame(content).rename(columns=str)


def _checked(values: Any, path: Path) -> np.ndarray:
    """An array with a row for each sample, of numbers or words."""
    if not isinstance(values, np.ndarray) or values.ndim == 0 or values.dtype.kind not in "biufUS":
        kind = f"of {values.dtype}, {values.ndim} axes" if isinstance(values, np.ndarray) else "of no array"
        raise InputError(f"{path} has content {kind}; expected arrays of real numbers or words with rows.")
    values = values.astype(values.dtype.newbyteorder("="), order="C", copy=False)
    if values.dtype.kind == "U" and values.size and values.view(np.uint32).max() > sys.maxunicode:
        raise InputError(f"{path} has words with letters that do not exist; write the file again.")
    return values


def columns(path: Path, names: str) -> np.ndarray:
    """Read columns of a file as numbers, ``[sample, column]``; every distinct word becomes an integer."""
    frame = table(path) if path.suffix != ".npz" else _frame_of_arrays(path)
    if isinstance(frame, np.ndarray):
        raise InputError(f"{path} contains an array of {frame.ndim} axes; expected columns.")
    chosen = [frame[_column(frame, name, path)] for name in names.split(",")]
    return np.stack([numbers(series) for series in chosen], axis=1)


READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": csv,
    ".tsv": csv,
    ".parquet": pd.read_parquet,
    ".npy": partial(np.load, allow_pickle=False),
}
"""The reader of each file extension."""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Read a file inside."""
    with optional_import(f"Reading {path}", "parquet"):
        try:
            yield
        except (InputError, ImportError):
            raise
        except MemoryError as error:
            raise InputError(f"{path} does not fit into memory ({error}).") from error
        except Exception as error:  # a damaged file makes other libraries raise anything
            why = PICKLED if "pickle" in str(error) else str(error)  # else a cycle keeps the file open
            raise InputError(f"Cannot read {path} ({why}).") from error


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        arrays = {name: _checked(values, path) for name, values in archive.items()}
    if not arrays:
        raise InputError(f"{path} contains no array.")
    return arrays


def _frame_of_arrays(path: Path) -> pd.DataFrame:
    """Columns called as the arrays of one axis, and name[0], name[1], ... for arrays of several axes."""
    frames = []
    for name, values in _arrays(path).items():
        wide = values.reshape(len(values), math.prod(values.shape[1:]))
        names = [name] if values.ndim < 2 else [f"{name}[{index}]" for index in range(wide.shape[1])]
        frames.append(pd.DataFrame(wide, columns=names))
    return pd.concat(frames, axis=1)


def _named(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise unknown(f"array in {path}:", name, arrays)
    return arrays[name]


def _column(frame: pd.DataFrame, name: str, path: Path) -> str:
    for spelled in (name, name.strip()):
        if spelled in frame.columns:
            return spelled
    parts = [part.strip() for part in re.split(r"[;|\t ]+", name) if part.strip()]
    if len(parts) > 1 and set(parts) <= set(frame.columns):
        raise InputError(
            f"There is no column {name!r} in {path}; separate columns by commas: {','.join(parts)}."
        )
    if len(frame.columns) == 1:
        raise InputError(
            f"{path} was read as one column, {frame.columns[0]!r}; separate its values by commas, "
            "semicolons, tabs or bars."
        )
    raise unknown(f"column in {path}:", name.strip(), frame.columns)


@contextmanager
def columns_as_features(data: Data, features: str | None) -> Iterator[None]:
    """Run a network on all columns inside; if it cannot take them, the error says that one may be the label.

    Raises:
        InputError: The network failed, or a column holds words.
    """
    try:
        yield
    except InputError as error:
        frame, chosen = data.x, features is not None or data.y is not None
        if (
            chosen
            or not isinstance(frame, pd.DataFrame)
            or not str(error).startswith(("The model failed", "The data have columns"))
        ):
            raise
        words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
        label = (words or list(frame.columns))[-1]
        raise InputError(
            f"{error} All columns were taken as features; if one is the label, name it, such as --y {label}."
        ) from error


def with_labels(data: Data, model: Any) -> Any:
    """The inputs of a model, with the class of each row if a label was named.

    Raises:
        InputError: A label is not a whole number.
    """
    if data.y is None:
        return data.x
    if not ((data.y == np.round(data.y)) & (np.abs(data.y) < LARGEST_WHOLE)).all():
        raise InputError(
            "The label column contains fractional or infinite numbers; expected the class of each row."
        )
    return replace(read_rows(data.x, Network.of(model).signature), labels=data.y.astype(np.int64))


def example(model: Any, shapes: Sequence[str]) -> Any:
    """Make rows to run a network on if there are no data.

    Args:
        model: A network; rows are integers if it has an embedding.
        shapes: The shape of a row of each input as text; if empty, the width of a first Linear layer is used.

    Raises:
        InputError: A shape is invalid, or none was passed and the network does not begin with a Linear layer.

    Example:
        >>> example(nn.Linear(3, 1), []).shape, example(nn.Conv2d(1, 2, 3), ["1,28,28"]).shape
        (torch.Size([2, 3]), torch.Size([2, 1, 28, 28]))
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"Of a {type(model).__name__} pass a file of data, as its steps take them.")
    integers = any(isinstance(module, EMBEDDINGS) for module in model.modules())
    sizes = [_sizes(shape) for shape in shapes] or [[_width(model)]]
    shaped = [(EXAMPLE_ROWS, *row) for row in sizes]
    if integers:
        inputs = [torch.zeros(shape, dtype=torch.int64) for shape in shaped]
    else:
        inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in shaped]
    names = Signature.of(model).names
    if len(inputs) > max(1, len(names)):
        raise InputError(
            f"--shape was passed {len(inputs)} times; the network takes {', '.join(names) or 'one input'}. "
            "Pass it once for each input."
        )
    return inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=False))


def _sizes(shape: str) -> list[int]:
    sizes = [int(size) if size.strip().isdigit() else 0 for size in shape.split(",")]
    if 0 in sizes:
        raise InputError(f"--shape is {shape!r}; expected the sizes of a row, such as 784 or 1,28,28.")
    return sizes


def _width(model: nn.Module) -> int:
    """Inputs of the first module with weights, if it is a Linear layer."""
    weighted = (m for m in model.modules() if next(m.parameters(recurse=False), None) is not None)
    first = next(weighted, None)
    if isinstance(first, nn.Linear) and Signature.of(model).required == 1:
        return first.in_features
    raise InputError(
        "Cannot infer the shape of a row from the network; pass --shape, such as --shape 1,28,28 (once for "
        "each input), or a file of data."
    )
