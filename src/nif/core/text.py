"""Names that come with data or files, where a terminal, a page or a spreadsheet would act on them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

KINDS = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of Unicode that are shown as escapes: control characters, marks that change the direction of
text, halves of surrogate pairs, separators of lines."""

JOINERS = "\u200c\u200d"
"""Belong to words of Persian and to emoji."""

FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Begins a cell that a spreadsheet would calculate; the last four are the wide forms of the first."""


def visible(text: str, keep: str = "") -> str:
    r"""Text without characters that act on what shows it: each becomes its escape.

    A terminal would act on escape sequences, and text after a mark such as U+202E is read backwards.

    Args:
        text: Any text.
        keep: Characters that stay, such as a line break.

    Example:
        >>> print(visible("\x1b[31mred\x1b[0m \u202etxt.exe"))
        \x1b[31mred\x1b[0m \u202etxt.exe
    """
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in KINDS and letter not in keep + JOINERS
        else letter
        for letter in text
    )


def unbroken(text: str) -> str:
    r"""Text in which no line breaks between a number and its sign, nor at ±.

    Example:
        >>> unbroken("x carries 14 % ± 2 %")
        'x carries 14\xa0%\xa0±\xa02\xa0%'
    """
    return text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")


def guarded(cells: Iterable[object]) -> list[object]:
    """Cells of a .csv file: an apostrophe before text that a spreadsheet would calculate; no number changes.

    References:
        OWASP, CSV injection, https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> guarded(["=1+1", "-x", "width", -0.5])
        ["'=1+1", "'-x", 'width', -0.5]
    """
    return [f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell for cell in cells]
