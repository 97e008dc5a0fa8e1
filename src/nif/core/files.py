"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nif.core.errors import InputError

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
        nif.InputError: The report can not be written to missing/flow.html ...
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


def writable(path: Path, *, ending: str) -> Path:
    """The path, if a file with this ending can be made there; nothing is left behind.

    Raises:
        InputError: The ending is another, the directory is not there, or it can not be written to.
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
            f"The output {path} can not be written ({error}); give a path in a directory that is there."
        ) from error
    return path


def refuse_unwritable(out: Path) -> None:
    """Make the directory, and write to it once, before anything takes time.

    Raises:
        InputError: It can not be made or written to.
    """
    probe = out / ".nif-can-write"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(f"Can not write to {out} ({error}); give --out a directory of yours.") from error
