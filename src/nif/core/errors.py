"""Errors that say what is wrong, what was expected, and what to try."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """An argument cannot be used; the message says what was expected and what to try."""

    __module__ = "nif"  # tracebacks show the name that users import


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest that does.

    Example:
        >>> unknown("layer", "relu", ["input", "relu1"])
        InputError("There is no layer 'relu'. Did you mean 'relu1'? There are: input, relu1.")
    """
    known = list(known)
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return InputError(
        f"There is no {kind} {name!r}.{nearest(name, known, 0.0)} There are: {shown or 'none'}."
    )


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence that suggests the nearest known name, with a space before it; empty if none is near.

    Args:
        name: That does not exist.
        known: Names that exist.
        cutoff: Least similarity, 0 to 1; see `difflib.get_close_matches`.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


@contextmanager
def optional_import(name: str, extra: str = "", *, package: str = "") -> Iterator[None]:
    """Import optional libraries inside; their warnings are dropped.

    Args:
        name: Of the feature that needs them, at the beginning of the message.
        extra: Of this library, which installs them.
        package: The package that is to be installed where no extra of this library installs it.

    Raises:
        InputError: One of them is not installed.

    Example:
        >>> with optional_import("Flow.to_music", "music"):
        ...     import no_such_library
        Traceback (most recent call last):
        nif.InputError: Flow.to_music needs a library that cannot be imported (No module named 'no_such_library'); install it with: pip install 'neural-information-flow[music]'.
    """  # noqa: E501 - one message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            install = package or f"'neural-information-flow[{extra}]'"
            raise InputError(
                f"{name} needs a library that cannot be imported ({error}); install it with: "
                f"pip install {install}."
            ) from error
