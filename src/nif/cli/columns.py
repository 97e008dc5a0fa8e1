"""Columns of text files: how they are separated, and when text is a category and when a number gone wrong."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from nif.core.errors import InputError
from nif.core.numbers import word_among_numbers

SEPARATORS = ",;\t|"

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

NUMBER_AS_TEXT = r"[-+$€£\s]*\d[\d.,' ]*\s*[%€$£]?"
"""A number with a unit, or with marks that pandas does not read, such as ``12 %`` or ``1,5``."""


def csv(path: Path) -> pd.DataFrame:
    """Read a text file with a header, separated by commas, semicolons, tabs or bars.

    It is of UTF-16 where it begins with the mark of that, as of Excel; else of UTF-8, or else of Latin-1.

    Raises:
        InputError: A row has more values than the first line has names, or that has numbers.
    """
    with path.open("rb") as file:
        header = file.readline().decode("latin-1")
    separator = max(SEPARATORS, key=header.count)
    values = pd.to_numeric(pd.Series(header.strip().split(separator)), errors="coerce")
    if (values.notna() & (values % 1 != 0)).all():  # names may be whole numbers, as pandas writes them
        raise InputError(f"{path} has numbers in its first line; expected the names of the columns there.")
    frame = _read(path, separator, ".")
    if separator == ";" and len(_text(frame)):  # where numbers are often written 1,5
        other = _read(path, separator, ",")
        frame = other if len(_text(other)) < len(_text(frame)) else frame
    return frame


def _read(path: Path, separator: str, decimal: str) -> pd.DataFrame:
    with path.open("rb") as file:
        first = "utf-16" if file.read(2) in UTF_16 else "utf-8"

    def read(encoding: str) -> pd.DataFrame:
        return pd.read_csv(path, sep=separator, decimal=decimal, encoding=encoding, index_col=False)

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            try:
                return read(first)
            except UnicodeDecodeError:
                return read("latin-1")
        except pd.errors.ParserWarning as error:
            raise InputError(
                f"{path} has rows of more values than its first line has names; name every column."
            ) from error


def _text(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]


def labels(series: pd.Series | None) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """The class of each row; words are encoded in alphabetical order, as by scikit-learn's LabelEncoder.

    Raises:
        InputError: Empty cells, words between numbers, or numbers with a unit.
    """
    if series is None:
        return None, None
    _check_filled(series)
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(), None
    _check_words(series)
    words, index = np.unique(series.astype(str).to_numpy().astype(str), return_inverse=True)
    return index.astype(np.int64), tuple(map(str, words))


def numbers(series: pd.Series) -> np.ndarray:
    """The numbers of a column; every distinct word becomes an integer.

    Raises:
        InputError: Empty cells between words, words between numbers, or numbers with a unit.
    """
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    _check_filled(series)
    _check_words(series)
    return series.astype("category").cat.codes.to_numpy(dtype=np.float64)


def _check_filled(series: pd.Series) -> None:
    empty = series.isna()
    if empty.any():
        raise InputError(
            f"Column {series.name!r} has {int(empty.sum())} empty cells, the first in row "
            f"{int(empty.argmax())}; fill or drop them."
        )


def _without_unit(text: pd.Series) -> pd.Series:
    """The same text without what stands behind every number alike, such as ``kg``; 1st and 2nd are words."""
    unit = re.search(r"[^\d.,%]*$", text.iloc[0])
    assert unit is not None
    return text.str.removesuffix(unit[0]) if text.str.endswith(unit[0]).all() else text


def _check_words(series: pd.Series) -> None:
    """Refuse a column of numbers that is text because of a few words, or of how its numbers are written."""
    if pd.api.types.is_datetime64_any_dtype(series) or pd.api.types.is_timedelta64_dtype(series):
        raise InputError(f"Column {series.name!r} has dates or times; expected numbers or words.")
    if isinstance(series.dtype, pd.CategoricalDtype):
        return
    text = series.astype(str).str.strip()
    row = word_among_numbers(text)
    if row is not None:
        raise InputError(
            f"Column {series.name!r} has numbers and, in row {row}, the word {text.iloc[row]!r}; expected "
            "only numbers, or only words."
        )
    number = pd.to_numeric(text, errors="coerce").notna()
    if len(text) and (number.all() or _without_unit(text).str.fullmatch(NUMBER_AS_TEXT).all()):
        raise InputError(
            f"Column {series.name!r} has numbers as text, such as {text.iloc[0]!r}; write them as 1.5, "
            "without units or marks between thousands."
        )
