"""What a file may hold: the type, range and length of each field of a JSON header, and of each array.

A form is a function of a value and its place in the file. It returns the value, lists as tuples, or raises an
`InputError` that names the place, what it holds and what was expected.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nif.core.errors import InputError

Form = Callable[[Any, str], Any]

DEEPEST = 20
"""Lists and records within each other."""

MOST = 2**53
"""The largest whole number: all up to it are floating-point numbers too."""

LARGEST = 1e60
"""The largest real number: products of a few are finite."""


def read_json(entry: str, form: Form, where: str) -> Any:
    """A header entry in some form.

    Args:
        entry: JSON.
        form: Of the whole entry.
        where: Its name in messages.

    Raises:
        InputError: No JSON, a key that occurs twice, or another form.

    Example:
        >>> read_json('{"seed": 3}', record({"seed": whole()}), "measurement")
        {'seed': 3}
        >>> read_json('{"seed": -3}', record({"seed": whole()}), "measurement")
        Traceback (most recent call last):
        nif.InputError: measurement.seed is -3; expected a whole number from 0 to 9007199254740992
    """
    try:
        read = json.loads(entry, object_pairs_hook=_once)
    except InputError as error:
        raise InputError(f"{where} {error}") from error
    except (ValueError, RecursionError) as error:  # of JSON, too many digits, too deep
        raise InputError(f"{where} is no JSON that can be read: {error}") from error
    return form(read, where)


def is_version(written: str, newest: int) -> bool:
    """Whether a version is one that this library reads.

    Example:
        >>> is_version("2", 2), is_version("3", 2), is_version("\u00b2", 2)
        (True, False, False)
    """
    return re.fullmatch("[0-9]{1,9}", written) is not None and int(written) <= newest


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise InputError("has a key twice")
    return read


def refused(where: str, value: Any, expected: str) -> InputError:
    """The error for a value of another form; long ones are cut."""
    shown = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
    shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
    return InputError(f"{where} is {shown}; expected {expected}")


def text(value: Any, where: str) -> str:
    """Any text that can be written as UTF-8."""
    if not isinstance(value, str) or not _encodes(value):
        raise refused(where, ascii(value) if isinstance(value, str) else value, "text")
    return value


def _encodes(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise refused(where, value, "true or false")
    return value


def whole(low: int = 0, high: int = MOST) -> Form:
    """A whole number in a range."""

    def form(value: Any, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise refused(where, value, f"a whole number from {low} to {high}")
        return value

    return form


def real(low: float = -LARGEST, high: float = LARGEST) -> Form:
    """A finite number in a range."""

    def form(value: Any, where: str) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise refused(where, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return form


def number(value: Any, where: str) -> float:
    """Any number, also NaN and infinity: of options that are shown only."""
    if type(value) not in (int, float) or (type(value) is int and abs(value) > MOST):
        raise refused(where, value, "a number")
    return value


def maybe(form: Form) -> Form:
    """The form, or null."""
    return lambda value, where: None if value is None else form(value, where)


def items(form: Form, fewest: int = 0) -> Form:
    """A list of values of one form."""

    def several(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < fewest:
            raise refused(where, value, f"a list of {fewest} or more")
        return tuple(form(item, f"{where}[{place}]") for place, item in enumerate(value))

    return several


def row(*forms: Form) -> Form:
    """A list with a form for each place."""

    def several(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(forms):
            raise refused(where, value, f"a list of {len(forms)}")
        return tuple(
            form(item, f"{where}[{place}]")
            for place, (form, item) in enumerate(zip(forms, value, strict=True))
        )

    return several


def record(required: Mapping[str, Form], optional: Mapping[str, Form] | None = None) -> Form:
    """Named fields; those of other names are of any form."""
    forms = {**required, **(optional or {})}

    def named(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refused(where, value, "names and values")
        missing = [name for name in required if name not in value]
        if missing:
            raise InputError(f"{where} has no {missing[0]!r}")
        return {
            text(name, where): forms.get(name, anything)(item, f"{where}.{name[:40]}")
            for name, item in value.items()
        }

    return named


def mapping(form: Form) -> Form:
    """Values of one form under any names."""

    def named(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refused(where, value, "names and values")
        return {text(name, where): form(item, f"{where}.{name[:40]}") for name, item in value.items()}

    return named


def anything(value: Any, where: str, depth: int = 0) -> Any:
    """Any JSON that is not too deep; unchanged."""
    if depth > DEEPEST:
        raise InputError(f"{where} is nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return text(value, where)
    if isinstance(value, dict):
        for name in value:
            text(name, where)
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            anything(inner, where, depth + 1)
    return value


@dataclass(frozen=True)
class Array:
    """The form of an array.

    Attributes:
        kind: ``"f"`` for numbers of 32 or 64 bits, ``"i"`` for whole numbers, ``"b"`` for flags.
        shape: The length of each axis, by name or as a number. The first array with a name says how long.
        low: The least number.
        high: The largest number.

    Example:
        >>> sizes = {"unit": 3}
        >>> Array("f", ("group", "unit")).check(np.zeros((10, 3)), "deviations", sizes)
        >>> sizes["group"]
        10
        >>> Array("f", ("unit",), low=0).check(np.array([0.1, -1.0, 0.0]), "stderr", sizes)
        Traceback (most recent call last):
        nif.InputError: stderr has values from -1 to 0.1; expected 0 to 1e+60.
    """

    kind: str
    shape: tuple[str | int, ...]
    low: float = -LARGEST
    high: float = LARGEST

    def check(self, values: Any, name: str, sizes: dict[str, int] | None = None) -> None:
        """Refuse an array of another form.

        Args:
            values: The array.
            name: Of it in messages.
            sizes: The length of each named axis; those that are new are added.

        Raises:
            InputError: Another type of number or shape, NaN, infinity, or a number out of range.
        """
        sizes = {} if sizes is None else sizes
        found = np.shape(values)
        if len(found) == len(self.shape):
            for axis, length in zip(self.shape, found, strict=True):
                sizes.setdefault(str(axis), length if isinstance(axis, str) else axis)
        expected = tuple(sizes.get(str(axis), axis) for axis in self.shape)
        if found != expected:
            raise InputError(f"{name} has shape {found}; expected {expected}.")
        self._check_numbers(np.asarray(values), name)

    def _check_numbers(self, values: np.ndarray, name: str) -> None:
        kind = values.dtype
        if kind.kind != self.kind or (kind.kind == "f" and kind.itemsize not in (4, 8)):
            kinds = {"f": "float32 or float64", "i": "whole numbers such as int64", "b": "bool"}
            raise InputError(f"{name} has the type {kind}; expected {kinds[self.kind]}.")
        if self.kind == "b" or values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        if math.isnan(low) or math.isinf(low) or math.isinf(high):
            bad = int((~np.isfinite(values)).sum())
            raise InputError(f"{name} has {bad} NaN or infinite values; set what was not measured to 0.")
        if low < self.low or high > self.high:
            raise InputError(
                f"{name} has values from {low:.6g} to {high:.6g}; expected {self.low:g} to {self.high:g}."
            )
