"""Small tables for notebooks, by pandas' Styler; they can be read on light and on dark ground."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nif.core.text import visible

TINT = "0,114,178"
"""Red, green and blue of bars and shades, through which the ground of the notebook shows."""


def table(
    cells: pd.DataFrame,
    *,
    title: str = "",
    below: Sequence[str] = (),
    names: int = 1,
    bars: Mapping[Any, Iterable[float]] | None = None,
    shades: Mapping[Any, Iterable[float]] | None = None,
) -> str:
    """A table with a line above and lines below; all text is escaped.

    Args:
        cells: Text of each cell; the index is not shown.
        title: Above the table.
        below: Lines under it.
        names: Columns of text, to the left; all others hold numbers, to the right.
        bars: For some columns, the fraction of each cell that is filled with a tint.
        shades: For some columns, the strength of a tint of the whole cell, 0 to 1.

    Example:
        >>> "<b>" in table(pd.DataFrame({"name": ["<b>"]}))
        False
    """
    cells = cells.map(lambda cell: visible(cell) if isinstance(cell, str) else cell)
    cells.columns = [visible(str(name)) for name in cells.columns]
    style = cells.style.hide(axis="index").format(escape="html").format_index(escape="html", axis="columns")
    style = style.set_table_attributes("style='border:0;margin:0;font-variant-numeric:tabular-nums'")
    text_columns = ",".join(f".col{column}" for column in range(names))
    style = style.set_table_styles(
        [
            {"selector": "caption", "props": "text-align:left;font-weight:600;white-space:nowrap"},
            {"selector": "th,td", "props": "text-align:right;padding:.2em .7em;white-space:nowrap"},
            {"selector": text_columns or ".none", "props": "text-align:left"},
        ]
    )
    for tints, css in ((bars, _bar), (shades, _shade)):
        for column, fractions in (tints or {}).items():
            values = list(map(css, fractions))
            style = style.apply(lambda _, values=values: values, subset=[column])
    caption = style.set_caption(html.escape(visible(title))) if title else style
    lines = "<br>".join(html.escape(visible(line)) for line in below)
    foot = f"<div style='opacity:.8;font-size:.9em;margin-top:.4em'>{lines}</div>" if below else ""
    return f"<div>{caption.to_html()}{foot}</div>"


def _bar(fraction: float) -> str:
    if not fraction > 0:
        return ""
    end = f"{100 * min(fraction, 1.0):.1f}%"
    tint = f"linear-gradient(90deg,rgba({TINT},.35) {end},transparent {end})"
    return f"min-width:4em;background:{tint} content-box"  # bars of neighbouring cells stay apart


def _shade(fraction: float) -> str:
    return f"background:rgba({TINT},{0.6 * min(fraction, 1.0):.3f})" if fraction > 0 else ""


def short(name: str, longest: int = 40) -> str:
    """A name on one line, cut if it is too long.

    Example:
        >>> short("petal  width", 7)
        'petal …'
    """
    line = visible(" ".join(name[: 4 * longest].split()))
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
