"""Numbers that users pass, as arrays of real numbers; what would be lost on the way is refused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from nif.core.errors import InputError

LARGEST_WHOLE = 2**53
"""Whole numbers from here on are not all numbers in double precision."""

MOST_NAMED = 6
"""Columns that a sentence names."""

KINDS = {"c": "complex numbers", "M": "dates", "m": "time differences"}
"""Kinds of numpy that are no real numbers."""


def real_array(data: Any, name: str) -> Shaped[np.ndarray, "..."]:
    """An array of real numbers, from a DataFrame, Series, array or nested list.

    Args:
        data: What the user passes.
        name: Of it in messages, such as ``"x"``, or ``"The data"``.

    Raises:
        InputError: Text, dates, complex numbers, masked or missing values, a sparse matrix, lists of
            different lengths, or whole numbers of 2**53 and more, which floating-point numbers do not hold.

    Example:
        >>> real_array([[1, 2], [3, 4]], "x").shape
        (2, 2)
        >>> real_array(np.ma.masked_equal([1, -99], -99), "x")
        Traceback (most recent call last):
        nif.InputError: x has 1 masked values, the first in row 1. Remove or impute them.
    """
    if isinstance(data, pd.DataFrame):
        return _of_frame(data, name)
    if isinstance(data, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(data)
        if mask.any():
            raise InputError(
                f"{_has(name)} {int(mask.sum())} masked values, the first in row {np.argwhere(mask)[0][0]}. "
                "Remove or impute them."
            )
        data = data.data
    if hasattr(data, "toarray"):
        raise InputError(f"{_has(name)} the type {type(data).__name__}, which is sparse; pass x.toarray().")
    try:
        values = np.asarray(data)
        if values.dtype.names:
            raise InputError(f"{_has(name)} fields, such as {values.dtype.names[0]!r}; pass pd.DataFrame(x).")
        _check_kind(values, name)
        if values.dtype.kind not in "fiub":
            _check_whole(_large_objects(values), name)
            values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{_is(name)} not numeric ({error}); expected an array of numbers.") from error
    if values.dtype.kind in "iu":
        _check_whole((values >= LARGEST_WHOLE) | (values <= -LARGEST_WHOLE), name)
    return values


def real_tensor(values: Tensor, name: str) -> Tensor:
    """The same tensor; see `real_array`."""
    if values.layout != torch.strided or values.is_nested:
        raise InputError(f"{_is(name)} sparse or nested; pass a dense tensor, such as x.to_dense().")
    if values.is_complex():
        raise InputError(f"{_has(name)} complex numbers; expected real ones, such as their magnitude.")
    if values.is_meta:
        raise InputError(f"{_is(name)} on the meta device, which has shapes and no values; load these.")
    if values.is_quantized:
        raise InputError(f"{_has(name)} quantised numbers; pass x.dequantize().")
    if not values.is_floating_point() and values.dtype != torch.bool and values.element_size() == 8:
        _check_whole((values.detach().double().abs() >= LARGEST_WHOLE).cpu().numpy(), name)
    return values


def check_same_order(tables: Mapping[str, Any]) -> None:
    """Refuse frames and series of which one has the rows of another in another order.

    Rows belong together by their position, as in numpy and torch, not by their index as in pandas.

    Example:
        >>> x, y = pd.Series([1.0, 2.0]), pd.Series([2.0, 1.0], index=[1, 0])
        >>> check_same_order({"x": x, "y": y})
        Traceback (most recent call last):
        nif.InputError: x and y have the same index in another order, and rows are matched by position; \
pass y.reindex(x.index), or arrays if positions are right.
    """
    pandas = {name: data for name, data in tables.items() if isinstance(data, pd.Series | pd.DataFrame)}
    indexed = [(name, data.index) for name, data in pandas.items()]
    for name, other in indexed[1:]:
        first, index = indexed[0]
        if index.equals(other) or len(index) != len(other) or not (index.is_unique and other.is_unique):
            continue
        if len(index.difference(other, sort=False)) == 0:
            raise InputError(
                f"{first} and {name} have the same index in another order, and rows are matched by position; "
                f"pass {name}.reindex({first}.index), or arrays if positions are right."
            )
        if rows := _rows_further(index, other):
            far = f"{abs(rows)} row{'s' * (abs(rows) > 1)} {'before' if rows < 0 else 'behind'}"
            warnings.warn(
                f"The index of {name} is that of {first} from {far}, and rows are matched by position: has "
                "one of them lost its first rows? Pass arrays if positions are right.",
                stacklevel=2,
            )


def _rows_further(index: pd.Index, other: pd.Index) -> int:
    """By how many rows one index is ahead of the other, where one of them has been cut at an end."""
    places = index.get_indexer(other)
    found = np.flatnonzero(places >= 0)
    steps = np.unique(places[found] - found)
    return int(steps[0]) if len(steps) == 1 and len(found) + abs(int(steps[0])) == len(index) else 0


def as_pandas(table: Any) -> Any:
    """A frame of pandas in place of one of polars or a table of Arrow; anything else as it is.

    Example:
        >>> as_pandas([1.0, 2.0])
        [1.0, 2.0]
    """
    if isinstance(table, pd.DataFrame) or not (
        hasattr(table, "__arrow_c_stream__") and hasattr(table, "columns")
    ):
        return table
    names = getattr(table, "column_names", None) or list(table.columns)
    return pd.DataFrame({name: np.asarray(table[name]) for name in names})


def check_column_order(columns: Sequence[Any], known: Sequence[Any], what: str, of: str) -> None:
    """Refuse columns of which one has a name that belongs to another place.

    Args:
        columns: Names of what was passed.
        known: Names in the order that is expected. Of another number nothing is said.
        what: What was passed, in words, and `of`, what is known.

    Example:
        >>> check_column_order(["b", "a"], ["a", "b"], "the data", "training")
        Traceback (most recent call last):
        nif.InputError: The columns of the data are those of training in another order: b, a and a, b; \
pass them in the order of training.
    """
    places = {str(name): place for place, name in enumerate(known)}
    moved = any(places.get(str(name), place) != place for place, name in enumerate(columns))
    if len(columns) == len(known) and moved:
        given, expected = (", ".join(map(str, names[:MOST_NAMED])) for names in (columns, known))
        raise InputError(
            f"The columns of {what} are those of {of} in another order: {given} and {expected}; pass them in "
            f"the order of {of}."
        )


def _of_frame(frame: pd.DataFrame, name: str) -> np.ndarray:
    text = [
        f"{column}{_first_word(values)}"
        for column, values in frame.items()
        if not pd.api.types.is_numeric_dtype(values.dtype)
    ]
    if text:
        raise InputError(
            f"{_has(name)} columns that are not numbers: {', '.join(text)}. Encode or drop them."
        )
    for _, column in frame.items():
        kind = column.dtype
        if pd.api.types.is_complex_dtype(kind):
            raise InputError(f"{_has(name)} complex numbers; expected real ones, such as their magnitude.")
        if pd.api.types.is_integer_dtype(kind):
            large = (column >= LARGEST_WHOLE) | (column <= -LARGEST_WHOLE)
            _check_whole(large.fillna(False).to_numpy(dtype=bool), name)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)


def word_among_numbers(column: pd.Series) -> int | None:
    """The row of the first word in a column of numbers; None if there are no numbers, or no words.

    Example:
        >>> word_among_numbers(pd.Series(["1", None, "2.5", "?"]))
        3
    """
    given = column.notna().to_numpy()
    number = pd.to_numeric(column.astype(object), errors="coerce").notna().to_numpy()
    words = np.flatnonzero(given & ~number)
    return int(words[0]) if len(words) and number.any() else None


def _first_word(column: pd.Series) -> str:
    row = word_among_numbers(column)
    return "" if row is None else f" (the word {column.iloc[row]!r} in row {row})"


def _check_kind(values: np.ndarray, name: str) -> None:
    if values.dtype.kind in KINDS:
        raise InputError(
            f"{_has(name)} {KINDS[values.dtype.kind]}; expected real numbers, such as "
            f"{'their magnitude' if values.dtype.kind == 'c' else 'days since a day of your choice'}."
        )


def _large_objects(values: np.ndarray) -> Bool[np.ndarray, "..."]:
    flags = [isinstance(value, int) and abs(value) >= LARGEST_WHOLE for value in values.flat]
    return np.array(flags, dtype=bool).reshape(values.shape)


def _check_whole(large: np.ndarray, name: str) -> None:
    if large.any():
        raise InputError(
            f"{_has(name)} whole numbers of 2**53 and more, the first in row {np.argwhere(large)[0][0]}, "
            "which floating-point numbers do not hold; pass ids as categories 0, 1, 2, ..., or subtract a "
            "constant."
        )


def _has(name: str) -> str:
    return f"{name} have" if name == "The data" else f"{name} has"


def _is(name: str) -> str:
    return f"{name} are" if name == "The data" else f"{name} is"
