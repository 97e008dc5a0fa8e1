"""Checks of arguments that every function shares: the same sentence for the same mistake."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, TypeVar

from nif.core.annotations import PATH, expected_of
from nif.core.errors import InputError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])
Options = TypeVar("Options")

NONE: Mapping[str, str] = {}

FEWEST_LETTERS = 3
"""Of the beginning of a name that stands for it."""


def known_name(name: str, value: str, known: Iterable[str]) -> str:
    """The known name that is meant, whatever its case, hyphens and spaces; its beginning will do.

    Raises:
        InputError: There is none.

    Example:
        >>> known_name("methods", "shap", ["SHAP", "integrated gradients"])
        'SHAP'
        >>> known_name("methods", "shaq", ["SHAP", "SAGE"])
        Traceback (most recent call last):
        nif.InputError: methods names 'shaq'. Did you mean 'SHAP'? There are: SHAP, SAGE.
        >>> known_name("methods", "lime", ["currents", "currents, for"])
        Traceback (most recent call last):
        nif.InputError: methods names 'lime'. There are: currents, 'currents, for'.
    """
    meant, by_letters = letters(str(value)), {letters(each): each for each in known}
    if meant in by_letters:
        return by_letters[meant]
    begin = [each for each in by_letters if len(meant) >= FEWEST_LETTERS and each.startswith(meant)]
    if len(begin) == 1:
        return by_letters[begin[0]]
    near = difflib.get_close_matches(meant, by_letters, n=1)
    hint = f" Did you mean {by_letters[near[0]]!r}?" if near else ""
    listed = (repr(each) if "," in each else each for each in by_letters.values())
    raise InputError(f"{name} names {value!r}.{hint} There are: {', '.join(listed)}.")


def letters(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return re.sub("[^a-z0-9]", "", name.lower())


def shown(value: Any) -> str:
    """A value as it is written in code; of arrays, frames and models only the type.

    Example:
        >>> import numpy as np
        >>> shown("0"), shown(np.zeros(300)), shown(int)
        ("'0'", 'of type ndarray', 'the class int')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    simple = len(text) <= 80 and "\n" not in text and not hasattr(value, "shape")
    return text if simple else f"of type {type(value).__name__}"


def checked_arguments(
    instead: Mapping[str, str] = NONE, call: str = "", hints: Mapping[str, str] = NONE
) -> Callable[[Function], Function]:
    """Check what a public function is called with: names of arguments, and values against annotations.

    Args:
        instead: The sentence for each argument of an earlier version, and for each likely guess.
        call: How the function is usually called, for those who forgot an argument.
        hints: A sentence for each argument whose value was likely meant for another; ``{}`` is the value.

    Raises:
        TypeError: An argument is missing, or there is none of its name.
        InputError: A value is none that its annotation allows, see `nif.core.annotations`.

    Example:
        >>> checked = checked_arguments({"old": "pass new."}, "f(new)")(lambda new: new)
        >>> checked(old=1)
        Traceback (most recent call last):
        TypeError: <lambda>() has no argument 'old'; pass new.
        >>> checked(neu=1)
        Traceback (most recent call last):
        TypeError: <lambda>() has no argument 'neu'. Did you mean 'new'? There are: new.
        >>> checked()
        Traceback (most recent call last):
        TypeError: <lambda>(): missing a required argument: 'new'; write f(new).
        >>> def top(k: int | None): ...
        >>> checked_arguments()(top)("3")
        Traceback (most recent call last):
        nif.InputError: k is '3'; expected a whole number of 1 or more, or None.
    """

    def decorated(function: Function) -> Function:
        signature = inspect.signature(function)
        expected = {name: expected_of(each) for name, each in signature.parameters.items()}
        called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            try:
                given = signature.bind(*args, **options).arguments
            except TypeError as error:
                unknown = [name for name in options if name not in signature.parameters]
                known = [name for name in signature.parameters if name != "self"]
                raise TypeError(_answer(called, unknown, known, instead, f"{error}", call)) from None
            for name, value in given.items():
                allowed = expected[name]
                if allowed is not None and not allowed.fits(value):
                    hint = f" {hints[name]}".replace("{}", shown(value)) if name in hints else ""
                    raise InputError(f"{name} is {shown(value)}; expected {allowed.words}.{hint}")
            return function(*args, **options)

        return checked  # type: ignore[return-value] # the same parameters and result

    return decorated


def checked_options(options: type[Options]) -> type[Options]:
    """The same for a dataclass of options, whose text has those that are not the default."""
    options.__repr__ = _changed  # type: ignore[method-assign]
    options.__init__ = checked_arguments()(options.__init__)  # type: ignore[method-assign]
    return options


def _changed(options: Any) -> str:
    """A dataclass as code, as scikit-learn writes estimators."""
    shown_fields = [field for field in fields(options) if field.repr]
    texts = {field.name: repr(getattr(options, field.name)) for field in shown_fields}
    changed = [
        f"{field.name}={texts[field.name]}"
        for field in shown_fields
        if texts[field.name] != repr(field.default)
    ]
    return f"{type(options).__name__}({', '.join(changed)})"


def checked_path(path: object) -> str | PathLike[str]:
    """A path; raises `InputError` for anything else."""
    if isinstance(path, (str, PathLike)):
        return path
    raise InputError(f"path is {shown(path)}; expected {PATH}.")


def _answer(
    called: str, unknown: list[str], known: list[str], instead: Mapping[str, str], error: str, call: str
) -> str:
    """A sentence on arguments that do not fit a function."""
    if not unknown:
        return f"{called}(): {error}{f'; write {call}' if call else ''}."
    name = min(unknown, key=lambda each: each not in instead)  # one that has an answer first
    if name in instead:
        return f"{called}() has no argument {name!r}; {instead[name]}"
    return f"{called}() has no argument {name!r}.{nearest(name, known)} There are: {', '.join(known)}."
