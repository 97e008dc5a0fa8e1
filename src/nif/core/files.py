"""Atomic file writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nif.core.errors import InputError

LONGEST = 40
"""Letters of the name that the temporary file repeats: a long name leaves no room for more."""


@contextmanager
def whole_file(path: str | os.PathLike[str], what: str) -> Iterator[Path]:
    """A temporary file beside `path`, which is renamed to it at the end and removed after an error.

    It is created at once, so that a path that cannot be written fails before the work, and it has the mode of
    the user's files.

    Args:
        path: Of the file.
        what: The subject of error messages, such as ``"The report"``.

    Raises:
        InputError: The path cannot be written; an existing file is unchanged.

    Example:
        >>> with whole_file("missing/flow.html", "The report"):
        ...     pass
        Traceback (most recent call last):
        nif.InputError: The report cannot be written to missing/flow.html ...
    """
    target = Path(path)
    if not target.name or "\0" in target.name:
        raise InputError(f"{what} cannot be written to {os.fspath(path)!r}; pass the name of a file.")
    beside = target.parent / f".{target.name[:LONGEST]}.{os.getpid()}"
    try:
        beside.touch()
        yield beside
        beside.replace(target)
    except OSError as error:
        raise InputError(
            f"{what} cannot be written to {target} ({error}); pass a path in an existing directory."
        ) from error
    finally:
        with suppress(OSError):  # renamed already, or its directory does not exist
            beside.unlink()


def writable(path: Path, *, ending: str) -> Path:
    """The path, if a file with this ending can be created there; nothing is left behind.

    Raises:
        InputError: The ending differs, or the directory does not exist or cannot be written to.
    """
    if path.suffix.lower() != ending:
        raise InputError(f"The output is {path}; expected a name that ends in {ending}.")
    if path.is_dir():
        raise InputError(f"The output {path} is a directory; expected a name for a file.")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".nif"):
            pass
    except OSError as error:
        raise InputError(
            f"The output {path} cannot be written ({error}); pass a path in an existing directory."
        ) from error
    return path


def refuse_unwritable(out: Path) -> None:
    """Create the directory and write to it once, before any long work.

    Raises:
        InputError: It cannot be created or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out, prefix=".nif"):
            pass
    except OSError as error:
        raise InputError(f"Cannot write to {out} ({error}); pass a writable directory to --out.") from error
