"""Forms of JSON and of arrays: what fits comes back, all else is refused with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nif.core.errors import InputError
from nif.core.schema import (
    Array,
    Form,
    anything,
    flag,
    is_version,
    items,
    maybe,
    number,
    read_json,
    real,
    record,
    row,
    text,
    whole,
)

FITS: dict[str, tuple[str, Form, Any]] = {
    "text": ('"a\\u0000"', text, "a\0"),
    "flag": ("true", flag, True),
    "whole": ("7", whole(7, 7), 7),
    "real": ("3", real(), 3.0),
    "infinite number": ("1e400", number, float("inf")),
    "null": ("null", maybe(whole()), None),
    "items": ("[1, 2]", items(whole()), (1, 2)),
    "row": ('["a", 1]', row(text, whole()), ("a", 1)),
    "record": ('{"a": 1, "more": [2]}', record({"a": whole()}), {"a": 1, "more": [2]}),
    "anything": ('[{"a": [null]}]', anything, [{"a": [None]}]),
}


@pytest.mark.parametrize(("entry", "form", "read"), FITS.values(), ids=FITS.keys())
def test_what_fits_is_read(entry: str, form: Form, read: Any) -> None:
    found = read_json(entry, form, "entry")
    assert found == read and type(found) is type(read)


REFUSED: dict[str, tuple[str, Form, str]] = {
    "no JSON": ("[1,", anything, "entry is no JSON"),
    "5,000 digits": ("9" * 5000, anything, "entry is no JSON"),
    "100,000 brackets": ("[" * 100_000, anything, "entry is no JSON"),
    "21 brackets": ("[" * 22 + "]" * 22, anything, "nested more than 20 deep"),
    "a key twice": ('{"a": 1, "a": 2}', anything, "entry has a key twice"),
    "half a letter": ('"\\ud800"', text, r"entry is .*ud800.*; expected text"),
    "half a letter as a name": ('{"\\ud800": 1}', anything, "expected text"),
    "a number as text": ("3", text, "entry is 3; expected text"),
    "true as a number": ("true", whole(), "entry is True; expected a whole number from 0"),
    "a fraction": ("1.0", whole(), "entry is 1.0; expected a whole number"),
    "below 0": ("-1", whole(), "entry is -1"),
    "NaN": ("NaN", real(), "entry is nan"),
    "infinity": ("-Infinity", real(), "entry is -inf"),
    "400 digits": ("9" * 400, number, "expected a number"),
    "too few": ("[]", items(whole(), 1), "expected a list of 1 or more"),
    "another length": ("[1, 2, 3]", row(whole(), whole()), "expected a list of 2"),
    "within": ('{"a": [1, "x"]}', record({"a": items(whole())}), r"entry.a\[1\] is 'x'"),
    "missing": ("{}", record({"a": whole()}), "entry has no 'a'"),
    "optional of another type": ('{"b": 1}', record({}, {"b": text}), "entry.b is 1; expected text"),
    "a list as a record": ("[1]", record({}), "entry is list; expected names and values"),
}


@pytest.mark.parametrize(("entry", "form", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_with_its_place(entry: str, form: Form, said: str) -> None:
    with pytest.raises(InputError, match=said) as refusal:
        read_json(entry, form, "entry")
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize("version", ["", "-1", "²", "1.0", "3", "9" * 5000, " 1", "one"])
def test_versions_that_are_not_read(version: str) -> None:
    assert is_version("1", 2) and is_version("2", 2) and not is_version(version, 2)


CHANCES = Array("f", ("pair",), 0, 1)
ARRAYS: dict[str, tuple[Array, Any, str]] = {
    "float16": (CHANCES, np.zeros(2, np.float16), "type float16; expected float32 or float64"),
    "complex": (CHANCES, np.zeros(2, complex), "type complex128"),
    "integers": (CHANCES, np.zeros(2, int), "type int64"),
    "flags": (Array("b", (2,)), np.zeros(2), "type float64; expected bool"),
    "missing": (CHANCES, None, r"shape \(\)"),
    "another axis": (CHANCES, np.zeros((2, 1)), r"shape \(2, 1\); expected \('pair',\)"),
    "another length": (Array("f", (3,)), np.zeros(2), r"shape \(2,\); expected \(3,\)"),
    "NaN": (CHANCES, np.array([0, np.nan]), "1 NaN or infinite"),
    "infinity": (Array("f", (1,)), np.array([-np.inf]), "1 NaN or infinite"),
    "too large": (CHANCES, np.array([0, 1.5]), "from 0 to 1.5; expected 0 to 1"),
    "large enough to overflow": (Array("f", (1,)), np.array([1e61]), "expected -1e"),
    "beyond the indices": (Array("i", (1,), 0, 4), np.array([5]), "from 5 to 5; expected 0 to 4"),
}


@pytest.mark.parametrize(("form", "values", "said"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_of_another_form_are_refused(form: Array, values: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        form.check(values, "values")


def test_arrays_share_the_lengths_of_their_axes() -> None:
    sizes = {"unit": 2}
    Array("f", ("group", "unit")).check(np.zeros((5, 2), np.float32), "first", sizes)
    Array("f", ("group",)).check(np.zeros(5), "second", sizes)
    with pytest.raises(InputError, match=r"third has shape \(4,\); expected \(5,\)"):
        Array("f", ("group",)).check(np.zeros(4), "third", sizes)
