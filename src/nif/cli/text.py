"""Tables in plain text that fit a terminal of 100 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 100


INDENT = "  "


GAP = "  "


UNBROKEN = "\N{NO-BREAK SPACE}"
"""Holds a name together where lines are broken."""


NARROWEST = 8


def table(columns: Mapping[str, Sequence[str]], *, left: int = 1) -> str:
    """Columns under their headers; names are shortened where the table would be wider than 100 columns.

    Args:
        columns: The cells of each column by its header, all as text.
        left: How many of the first columns are names, aligned left; the others are numbers, aligned right.

    Example:
        >>> print(table({"unit": ["relu1[0]", "relu1[1]"], "nats": ["0.31", "-0.02"]}))
          unit       nats
          relu1[0]   0.31
          relu1[1]  -0.02
    """
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    widths = _fitting([max(map(len, column)) for column in zip(*rows, strict=True)], left)
    return "\n".join(_line(row, widths, left) for row in rows)


def paragraph(text: str, *, first: str = INDENT) -> str:
    """Text broken into lines of 100 columns, indented, the first line after `first`."""
    filled = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    return filled.replace(UNBROKEN, " ")


def names(these: Iterable[str], *, most: int) -> str:
    """Names in a row, and how many more there are; `paragraph` does not break a name.

    Example:
        >>> names(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    listed = [name.replace(" ", UNBROKEN) for name in these]
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def numbers(values: Iterable[float], form: str) -> list[str]:
    """Every number in one format; one that is not defined is a dash.

    Example:
        >>> numbers([0.25, float("nan")], ".3f")
        ['0.250', '-']
    """
    return ["-" if math.isnan(value) else format(value, form) for value in values]


def p_values(values: Iterable[float]) -> list[str]:
    """Every p-value with three digits, small ones as a bound.

    Example:
        >>> p_values([0.0002, 0.04])
        ['<.001', '.040']
    """
    return ["<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0") for value in values]


def _fitting(widths: list[int], left: int) -> list[int]:
    """Take from the widest column of names until the table fits, or names are as short as they may be."""
    widths = list(widths)
    room = WIDTH - len(INDENT) - len(GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths[:left]) > NARROWEST:
        widths[widths.index(max(widths[:left]))] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [
        _cut(cell, width).ljust(width) if place < left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return (INDENT + GAP.join(padded)).rstrip()


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"
