"""Where a page is written: to a path, or to a temporary file that the browser opens."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path

from nif.core.arguments import checked_path
from nif.core.progress import progress
from nif.core.unit import shown_in


def written_page(
    path: str | os.PathLike[str] | None, write: Callable[[Path], None], unit: str = "nats"
) -> Path:
    """Write a page; without a path to a temporary file, which is opened in the browser and named on stdout.

    Of a large network that takes seconds, for communities and shortest paths, which a line says.

    Args:
        path: Of the file.
        write: Writes the page to a path.
        unit: ``"nats"`` or ``"bits"``, in which its text states information.

    Returns:
        The path.

    Raises:
        InputError: The path is none, there is no such unit, or the page cannot be written.
    """
    with shown_in(unit):
        target = Path(_temporary() if path is None else checked_path(path))
        try:
            with progress("writing", total=None) as shown:
                shown.stage("the page")
                write(target)
        except BaseException:
            if path is None:
                target.unlink()
            raise
    if path is None:
        sys.stdout.write(f"Written: {target}\n")
        webbrowser.open(target.as_uri())
    return target


def _temporary() -> str:
    """A new file for a page."""
    number, name = tempfile.mkstemp(prefix="nif-", suffix=".html")
    os.close(number)
    return name
