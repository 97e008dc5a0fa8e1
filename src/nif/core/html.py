"""Small tables as HTML that can be read on light and on dark ground.

Styles are inline, for notebooks drop what else there is; text has the colour of the notebook, and what is
tinted lets its ground shine through.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

RULE = "1px solid rgba(128,128,128,.45)"

TINT = "0,114,178"
"""Red, green and blue of bars and shades."""


class Cell(NamedTuple):
    """What one cell shows; a plain string is a cell without tint.

    Attributes:
        text: Shown as it is, whatever it holds.
        filled: Share of the cell's width with a tint, as a bar.
        shade: Strength of a tint all over, 0 to 1.
        strong: Whether it is set in bold type.
    """

    text: str
    filled: float = 0.0
    shade: float = 0.0
    strong: bool = False


Row = Sequence[str | Cell]


def table(
    head: Sequence[str],
    rows: Iterable[Row],
    *,
    title: str = "",
    below: Sequence[str] = (),
    names: int = 1,
) -> str:
    """A table with a line above and lines below.

    Args:
        head: Of the columns.
        rows: Cells, one for each column.
        title: Above the table.
        below: Lines under it.
        names: Columns of text, to the left; all others hold numbers, to the right.

    Example:
        >>> "<b>" in table(["name"], [["<b>"]])
        False
    """
    top = f"<div style='font-weight:600;margin-bottom:.3em'>{html.escape(title)}</div>" if title else ""
    lines = "<br>".join(map(html.escape, below))
    foot = f"<div style='opacity:.8;font-size:.9em;margin-top:.4em'>{lines}</div>" if below else ""
    style = "border-collapse:collapse;border:0;margin:0;font-variant-numeric:tabular-nums"
    first = "".join(_cell("th", Cell(text, strong=True), index < names) for index, text in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(_cell("td", _as_cell(each), index < names) for index, each in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f"<div>{top}<table style='{style}'><thead><tr style='border-bottom:{RULE}'>{first}</tr></thead>"
        f"<tbody>{body}</tbody></table>{foot}</div>"
    )


def _as_cell(cell: str | Cell) -> Cell:
    return Cell(cell) if isinstance(cell, str) else cell


def _cell(tag: str, cell: Cell, left: bool) -> str:
    style = f"text-align:{'left' if left else 'right'};padding:.2em .7em;white-space:nowrap"
    style += f";font-weight:{600 if cell.strong else 400}"
    if cell.filled > 0:
        share = f"{100 * min(cell.filled, 1.0):.1f}%"
        style += (
            f";min-width:4em;background:linear-gradient(90deg,rgba({TINT},.35) {share},transparent {share})"
        )
        style += " content-box"  # bars of neighbouring cells stay apart
    elif cell.shade > 0:
        style += f";background:rgba({TINT},{0.6 * min(cell.shade, 1.0):.3f})"
    return f"<{tag} style='{style}'>{html.escape(cell.text)}</{tag}>"


def short(name: str, longest: int = 40) -> str:
    """A name on one line, cut where it is too long.

    Example:
        >>> short("petal  width", 7)
        'petal …'
    """
    line = " ".join(name[: 4 * longest].split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def probability(p_value: float) -> str:
    """A p-value for a reader.

    Example:
        >>> probability(0.04321), probability(1e-9)
        ('.043', '<.001')
    """
    if p_value < 0.001:
        return "<.001"
    return f"{p_value:.3f}".removeprefix("0") if p_value < 1 else "1"
