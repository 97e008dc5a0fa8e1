"""What the annotation of an argument allows, as a test and in words."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

PATH = "the name of a file or folder"

READ_LATER = "int | str"
"""Of sizes such as ``"500MB"``, which are checked where they are read."""

LEAST = dict.fromkeys(("seed", "exchanges", "paths", "steps"), 0) | dict.fromkeys(("epoch", "row", "n_jobs"))
"""The least whole number that an argument may be, where it is not 1; None where any may."""


class Expected(NamedTuple):
    """What an argument may be.

    Attributes:
        fits: Whether a value is that.
        words: The same, behind "expected".
    """

    fits: Callable[[Any], bool]
    words: str


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _listed(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, Mapping))


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, Collection) and len(value) > 0 and all(map(_whole, value))


def _is_a(name: str) -> Callable[[Any], bool]:
    """Whether a value is of a class of this package, which core does not import."""
    return lambda value: any(
        each.__name__ == name and each.__module__.startswith("nif.") for each in type(value).__mro__
    )


NUMBER = Expected(_real, "a number")
LEVEL = Expected(lambda value: _real(value) and 0 < value < 1, "a number between 0 and 1")
POSITIVE = Expected(lambda value: _real(value) and 0 < value < math.inf, "a number above 0")

NUMBERS = dict.fromkeys(("alpha", "hold_out"), LEVEL) | {
    "level": LEVEL._replace(words=f"{LEVEL.words}, such as 0.95"),
    "keep": Expected(lambda value: _real(value) and 0 < value <= 1, "a fraction above 0 and up to 1"),
    **dict.fromkeys(("learning_rate", "clip"), POSITIVE),
}
"""Numbers by name, where they are not just any."""

KINDS = {
    "None": Expected(lambda value: value is None, "None"),
    "bool": Expected(lambda value: isinstance(value, (bool, np.bool_)), "True or False"),
    "str": Expected(lambda value: isinstance(value, str), "a string"),
    "path": Expected(lambda value: isinstance(value, (str, os.PathLike)), PATH),
    "list": Expected(_listed, "a list"),
    "Iterable[Any]": Expected(lambda value: isinstance(value, Iterable), "a list"),
    "Collection[int]": Expected(_whole_numbers, "a list of whole numbers"),
    "pd.DataFrame": Expected(lambda value: hasattr(value, "columns"), "a data frame"),
    "Axes": Expected(lambda value: hasattr(value, "get_window_extent"), "axes of matplotlib"),
    "Removal": Expected(lambda value: hasattr(value, "size_before"), "the result of nif.prune"),
    "Writer": Expected(lambda value: hasattr(value, "add_scalar"), "a SummaryWriter of TensorBoard"),
    "Flow": Expected(_is_a("Flow"), "the result of nif.measure(model, data)"),
    "Comparison": Expected(_is_a("Comparison"), "the result of nif.compare"),
    "Dataset": Expected(_is_a("Dataset"), "the result of nif.datasets.load"),
    "Checkpoint": Expected(_is_a("Checkpoint"), "an open checkpoint"),
}
"""Annotations, and names that stand for them."""

STANDS_FOR = {"str | os.PathLike[str]": "path"} | dict.fromkeys(
    ("Sequence[str]", "Sequence[float]", "Sequence[Any]", "Sequence[Axes]"), "list"
)


def expected_of(parameter: inspect.Parameter) -> Expected | None:
    """What a parameter may be; None where its annotation says nothing that is checked here.

    Example:
        >>> def function(level: float, path: str | os.PathLike[str] | None, model: Any): ...
        >>> level, path, model = map(expected_of, inspect.signature(function).parameters.values())
        >>> level.words, path.words, model
        ('a number between 0 and 1, such as 0.95', 'the name of a file or folder, or None', None)
        >>> level.fits(0.5), level.fits(95), level.fits("0.5"), level.fits(True)
        (True, False, False, False)
    """
    text = parameter.annotation
    several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    if not isinstance(text, str) or several or text == READ_LATER:
        return None
    for annotation, name in STANDS_FOR.items():
        text = text.replace(annotation, name)
    alternatives = text.split(" | ")
    kinds = [_kind(each, parameter.name, "str" in alternatives) for each in alternatives]
    known = [kind for kind in kinds if kind is not None]
    if len(known) < len(kinds):
        return None
    words = ", or ".join(kind.words for kind in known)
    return Expected(lambda value: any(kind.fits(value) for kind in known), words)


def _kind(annotation: str, name: str, or_name: bool) -> Expected | None:
    """What one alternative allows an argument of this name, which may be given as a string too."""
    if annotation == "float":
        return NUMBERS.get(name, NUMBER)
    if annotation == "int":
        return _from(None if or_name else LEAST.get(name, 1))
    return KINDS.get(annotation)


def _from(least: int | None) -> Expected:
    """Whole numbers from `least` on."""
    words = "a whole number" + ("" if least is None else f" of {least} or more")
    return Expected(lambda value: _whole(value) and (least is None or int(value) >= least), words)
