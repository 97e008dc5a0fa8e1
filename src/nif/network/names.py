"""Names of layers and units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nif.core.errors import InputError


def feature_units(names: Iterable[Any] | None, shape: Sequence[int]) -> tuple[str, ...]:
    """One name for each input: those passed, else ``x1, x2, …``, or ``x[row,column]`` if rows are arrays.

    Example:
        >>> feature_units(None, (2,))
        ('x1', 'x2')
        >>> feature_units(None, (1, 2))
        ('x[0,0]', 'x[0,1]')
    """
    if names is not None:
        return _checked(names, int(np.prod(shape)), "feature_names", "input features")
    if len(shape) == 1:
        return tuple(f"x{index + 1}" for index in range(shape[0]))
    return tuple(f"x[{','.join(map(str, index))}]" for index in np.ndindex(*shape))


def class_units(names: Iterable[Any] | None, count: int) -> tuple[str, ...]:
    """One name for each output: the ones passed, else ``output[0], output[1], …``.

    A single output of a binary classifier stands for the second of two names.

    Example:
        >>> class_units(["no", "yes"], 1)
        ('yes',)
    """
    if names is None:
        return numbered("output", count)
    given = (names,) if isinstance(names, str) else tuple(names)
    if count == 1 and len(given) == 2:
        given = given[1:]
    return _checked(given, count, "class_names", "output units")


def first_given(*choices: Iterable[Any] | None) -> Iterable[Any] | None:
    """The first that is not None; `or` fails for arrays, which have no truth value."""
    return next((names for names in choices if names is not None), None)


def numbered(layer: str, count: int) -> tuple[str, ...]:
    """Names for the units of a layer that have none."""
    return tuple(f"{layer}[{index}]" for index in range(count))


def _checked(names: Iterable[Any], count: int, option: str, units: str) -> tuple[str, ...]:
    given = (names,) if isinstance(names, str) else tuple(map(str, names))
    if len(given) != count:
        raise InputError(f"{option} has {len(given)} names; expected {count}, one for each of the {units}.")
    if len(set(given)) != count:
        twice = next(name for name in given if given.count(name) > 1)
        raise InputError(f"{option} has {twice!r} more than once; expected names that differ.")
    return given
