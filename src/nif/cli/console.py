"""Text on consoles that cannot show all of it, such as those of Windows code pages."""

from __future__ import annotations

import codecs
import sys
from typing import TextIO

PLAIN = {
    "±": "+/-", "−": "-", "–": "-", "—": "-", "→": "->", "←": "<-", "…": "...", "×": "x", "·": "*", "²": "^2",
    "≤": "<=", "≥": ">=", "“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
"""What stands for characters that a console cannot show."""

HANDLER = "nif.console"


def plain(error: UnicodeError) -> tuple[str, int]:
    """Characters that cannot be encoded, by what stands for them, else by their code.

    Example:
        >>> codecs.register_error(HANDLER, plain)
        >>> "0.1 ± 0.2, Größe, \\udcff".encode("ascii", HANDLER)
        b'0.1 +/- 0.2, Gr\\\\xf6\\\\xdfe, \\\\udcff'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    shown = [PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in characters]
    return "".join(shown), error.end


def show_everything() -> None:
    """From now on no text ends a command because the console cannot show a character."""
    codecs.register_error(HANDLER, plain)
    for stream in (sys.stdout, sys.stderr):
        tolerant(stream)


def tolerant(stream: TextIO) -> None:
    """Use the handler of errors, in the encoding that the stream has."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:  # streams of notebooks and tests have none, and take all
        reconfigure(errors=HANDLER)
