"""Errors that say what is wrong, what was expected, and what to try."""

from __future__ import annotations

import difflib
import errno
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """An argument cannot be used; the message says what was expected and what to try."""

    __module__ = "nif"  # tracebacks show the name that users import


class OutOfMemory(InputError, MemoryError):
    """Memory ran out; the message says what to lower."""

    __module__ = "nif"


NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "bad_alloc")
"""How libraries say so: torch on every device and CUDA's own, in lower case."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out.

    Example:
        >>> ran_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TB"))
        True
    """
    text = str(error).lower()
    said = isinstance(error, (RuntimeError, OSError)) and any(phrase in text for phrase in NO_MEMORY)
    return said or isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


@contextmanager
def memory_named(lower: str) -> Iterator[None]:
    """Say what to lower if memory runs out inside.

    Args:
        lower: What takes the memory, behind "pass".

    Raises:
        OutOfMemory: It did.

    Example:
        >>> with memory_named("fewer rows"):
        ...     raise MemoryError("Unable to allocate 8 TiB")
        Traceback (most recent call last):
        nif.OutOfMemory: Memory ran out (Unable to allocate 8 TiB); pass fewer rows.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not ran_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OutOfMemory(f"Memory ran out ({reason}); pass {lower}.") from error


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest that does.

    Example:
        >>> unknown("layer", "relu", ["input", "relu1"])
        InputError("There is no layer 'relu'. Did you mean 'relu1'? There are: input, relu1.")
    """
    known = list(known)
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return InputError(
        f"There is no {kind} {name!r}.{nearest(name, known, 0.3)} There are: {shown or 'none'}."
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
