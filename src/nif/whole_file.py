"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nif.contracts import InputError

LONGEST = 40
"""Letters of the name that the file beside takes over: a long name leaves no room for more."""


@contextmanager
def whole_file(path: str | os.PathLike[str], what: str) -> Iterator[Path]:
    """A new file beside `path` to write to, which moves there at the end and goes away after an error.

    It is made at once, so that a path that can not be written is told of before the work, and has the mode
    that the user's files get.

    Args:
        path: Of the file.
        what: It is, in words that begin a sentence.

    Raises:
        InputError: The path can not be written; what was there before is unchanged.

    Example:
        >>> with whole_file("missing/flow.html", "The report"):
        ...     pass
        Traceback (most recent call last):
        nif.contracts.InputError: The report can not be written to missing/flow.html ...
    """
    target = Path(path)
    if not target.name or "\0" in target.name:
        raise InputError(f"{what} can not be written to {os.fspath(path)!r}; give the name of a file.")
    beside = target.parent / f".{target.name[:LONGEST]}.{os.getpid()}"
    try:
        beside.touch()
        yield beside
        beside.replace(target)
    except OSError as error:
        raise InputError(
            f"{what} can not be written to {target} ({error}); give a path in a directory that is there."
        ) from error
    finally:
        with suppress(OSError):  # it has moved, or its directory is none
            beside.unlink()
