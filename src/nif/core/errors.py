"""Errors that say what was given, what is expected, and what to try."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What was given can not be used; the message says what was expected and what to try."""

    __module__ = "nif"  # tracebacks show the name that users import


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest that does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return InputError(f"There is no {kind} {name!r}.{hint} There are: {shown or 'none'}.")


@contextmanager
def optional_import(library: str, extra: str = "compare") -> Iterator[None]:
    """Import an optional library inside: a missing one becomes an error, its warnings are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise InputError(
                f"{library} cannot be imported ({error}); install it with: "
                f"pip install 'neural-information-flow[{extra}]'."
            ) from error
