"""Plain text for a terminal of 100 columns: tables, paragraphs and numbers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nif.core.text import visible
from nif.flow.unit_names import distinct

WIDTH = 100
INDENT = "  "
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Keeps a name on one line."""

OTHERS = ("feature", "nats", "bits", "± stderr", "absolute", "share")
"""Columns of tables of features that stand beside those of the classes."""

LONGEST = 60
"""Characters of all names in a row of a table."""


def table(columns: Mapping[Any, Iterable[object]], *, left: int = 1) -> str:
    """Format columns under their headers; a table wider than 100 columns continues below.

    Args:
        columns: The cells of each column by its header.
        left: Number of leading columns that hold names. They are aligned left and shortened to 60 characters
            in total; the other columns are aligned right.

    Example:
        >>> print(table({"unit": ["relu1[0]", "relu1[1]"], "nats": ["0.31", "-0.02"]}))
          unit       nats
          relu1[0]   0.31
          relu1[1]  -0.02
    """
    cells_of = {_line(name): list(map(_line, cells)) for name, cells in columns.items()}
    frame = pd.DataFrame(cells_of, dtype=object)
    padded = [_padded([name, *frame[name]], LONGEST // left) for name in frame.columns[:left]]
    heading, *labels = map(INDENT.join, zip(*padded, strict=True))
    values = frame.iloc[:, left:].set_axis(labels).rename_axis(columns=heading)
    if values.empty:
        return INDENT + INDENT.join([heading, *values.columns])
    gaps = [1 + max(map(len, [name, *values[name]])) for name in values.columns]
    text = values.to_string(line_width=WIDTH - len(INDENT), col_space=gaps)
    return "\n".join((INDENT + line.removesuffix("\\")).rstrip() for line in text.splitlines())


def by_label(labels: Iterable[object], columns: Iterable[list[str]]) -> dict[str, list[str]]:
    """Columns under names of classes, which differ from one another and from the other columns.

    Example:
        >>> list(by_label(["cat", "share", "cat"], [[], [], []]))
        ['cat #0', 'class share', 'cat #2']
    """
    named = [f"class {name}" if name in OTHERS else name for name in map(str, labels)]
    return dict(zip(distinct(named), columns, strict=True))


def paragraph(text: str, *, first: str = INDENT) -> str:
    """Wrap text at 100 columns; `first` begins the first line and indents the others."""
    filled = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    return filled.replace(UNBROKEN, " ")


def names(listed: Iterable[str], *, most: int) -> str:
    """List names and the number of those left out; `paragraph` does not break a name.

    Example:
        >>> names(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    unbroken = [name.replace(" ", UNBROKEN) for name in listed]
    more = len(unbroken) - most
    return ", ".join(unbroken[:most]) + (f" and {more} more" if more > 0 else "")


def numbers(values: Iterable[float], form: str) -> list[str]:
    """Format every number alike; NaN becomes a dash.

    Example:
        >>> numbers([0.25, float("nan")], ".3f")
        ['0.250', '-']
    """
    return ["-" if math.isnan(value) else format(value, form) for value in values]


def p_values(values: Iterable[float]) -> list[str]:
    """Format p-values with three digits, and small ones as a bound.

    Example:
        >>> p_values([0.0002, 0.04])
        ['<.001', '.040']
    """
    return ["<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0") for value in values]


def _line(cell: object) -> str:
    """A cell on one line."""
    return visible(" ".join(str(cell).splitlines()))


def _padded(cells: Sequence[str], most: int) -> list[str]:
    short = [cell if len(cell) <= most else cell[: most - 1] + "…" for cell in cells]
    width = max(map(len, short))
    return [cell.ljust(width) for cell in short]
