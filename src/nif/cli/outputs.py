"""A path that can not be written is an error before the work begins."""

from __future__ import annotations

import tempfile
from pathlib import Path

from nif.contracts import InputError


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
