"""Rows from a .csv, .npy, .npz or .parquet file; nothing in it is run."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from nif.core.errors import InputError
from nif.data.rows import read as read_rows
from nif.data.signature import Signature


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs of a network and, where a label was named, the class of each row.

    Attributes:
        x: A frame with named columns, an array of any number of axes, or an array for each of several inputs.
        y: One number for each row; a label of words has become its place in `classes`.
        classes: The words in alphabetical order, where the label was in words.
    """

    x: pd.DataFrame | np.ndarray | dict[str, np.ndarray]
    y: np.ndarray | None
    classes: tuple[str, ...] | None


def read(path: Path, features: str | None = None, label: str | None = None) -> Data:
    """Read a file of rows.

    Args:
        path: ``.csv`` with a header, ``.parquet``, ``.npy`` with one row for each sample, or ``.npz``.
        features: Columns separated by commas; for an ``.npz`` the name of one array, ``x`` if not given, or
            of several, for a network of several inputs.
        label: The column of the class; for an ``.npz`` the name of its array.

    Raises:
        InputError: The file can not be read or is of another kind, or a column is not there.
    """
    if path.suffix == ".npz":
        arrays = _arrays(path)
        default = "x" if "x" in arrays or len(arrays) > 1 else next(iter(arrays))
        names = [name.strip() for name in (features or default).split(",")]
        inputs = {name: _named(arrays, name, path) for name in names}
        x = inputs if len(inputs) > 1 else inputs[names[0]]
        return Data(x, *_labels(None if label is None else pd.Series(_named(arrays, label, path).ravel())))
    frame = table(path)
    if isinstance(frame, np.ndarray):
        if features or label:
            raise InputError(f"{path} holds an array of {frame.ndim} axes, which has no columns to name.")
        return Data(frame, None, None)
    chosen = [name for name in frame.columns if name != label] if features is None else features.split(",")
    y = None if label is None else frame[_column(frame, label, path)]
    return Data(frame[[_column(frame, name, path) for name in chosen]], *_labels(y))


def table(path: Path) -> pd.DataFrame | np.ndarray:
    """The columns of a file, those of an array named 0, 1, ...; an array of more axes as it is."""
    if path.suffix not in READERS:
        raise InputError(f"{path} ends in {path.suffix!r}; expected a .csv, .npy, .npz or .parquet file.")
    try:
        found = READERS[path.suffix](path)
    except ImportError as error:
        raise InputError(
            f"Reading {path} needs pyarrow; install it with: pip install 'neural-information-flow[parquet]'."
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} can not be read ({error}).") from error
    if isinstance(found, np.ndarray):
        return found if found.ndim > 2 else pd.DataFrame(found).rename(columns=str)
    return found.rename(columns=str)


def columns(path: Path, names: str) -> np.ndarray:
    """Columns of a file as numbers, ``[sample, column]``; words become whole numbers, one for each word."""
    frame = table(path) if path.suffix != ".npz" else _frame_of_arrays(path)
    if isinstance(frame, np.ndarray):
        raise InputError(f"{path} holds an array of {frame.ndim} axes; expected columns.")
    chosen = [frame[_column(frame, name, path)] for name in names.split(",")]
    return np.stack([_numbers(series) for series in chosen], axis=1)


def _read_array(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


READERS: dict[str, Any] = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".npy": _read_array}
"""How each kind of file is read."""


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} can not be read ({error}).") from error
    if not arrays:
        raise InputError(f"{path} holds no array.")
    return arrays


def _frame_of_arrays(path: Path) -> pd.DataFrame:
    """Arrays of one axis as columns by their name, of two axes as columns name[0], name[1], ..."""
    frames = []
    for name, values in _arrays(path).items():
        wide = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        names = [name] if values.ndim < 2 else [f"{name}[{place}]" for place in range(wide.shape[1])]
        frames.append(pd.DataFrame(wide, columns=names))
    return pd.concat(frames, axis=1)


def _named(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    return arrays[_known(name, list(arrays), f"array of {path}")]


def _column(frame: pd.DataFrame, name: str, path: Path) -> str:
    return _known(name.strip(), list(frame.columns), f"column of {path}")


def _known(name: str, names: Sequence[str], what: str) -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    expected = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names[:10])}."
    raise InputError(f"No {what} is called {name!r}; {expected}")


def _labels(series: pd.Series | None) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Class of each row; words become their place in the alphabet, as scikit-learn's LabelEncoder has it."""
    if series is None:
        return None, None
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(), None
    words, index = np.unique(series.astype(str).to_numpy().astype(str), return_inverse=True)
    return index.astype(np.int64), tuple(map(str, words))


def _numbers(series: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if series.isna().any():
        raise InputError(
            f"Column {series.name!r} has {int(series.isna().sum())} empty cells; fill or drop them."
        )
    return series.astype("category").cat.codes.to_numpy(dtype=np.float64)


def with_labels(data: Data, model: nn.Module) -> Any:
    """The inputs of a model alone, or with the class of each row.

    Raises:
        InputError: A label is not a whole number.
    """
    if data.y is None:
        return data.x
    if not np.array_equal(data.y, np.round(data.y)):
        raise InputError("The label column holds numbers that are not whole; expected the class of each row.")
    return replace(read_rows(data.x, Signature.of(model)), labels=data.y.astype(np.int64))
