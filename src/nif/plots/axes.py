"""Shared by all figures: new axes, their size, ink, and text that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from nif.core import html
from nif.core.errors import optional_import

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

INK, SOFT, FAINT = "#22252B", "#6B7079", "#E3E5E9"
"""Of names, of explanations, of rules and empty tracks."""

TEXT, SMALL, SMALLEST = 9.0, 7.5, 5.0
"""Points."""

LETTER = 0.6
"""Mean width of a letter, in heights of the text."""

WIDEST = 16.0
"""Inches."""

Point = tuple[float, float]


def new_axes(width: float, height: float, place: tuple[float, float, float, float] | None = None) -> Axes:
    """Axes in a new figure; its layout makes room for texts.

    Args:
        width: Of the figure, inches.
        height: Of the figure, inches.
        place: Left, bottom, width and height of the axes as fractions of the figure, for a fixed layout.

    Raises:
        InputError: matplotlib is not installed.
    """
    with optional_import("A plot", "plot"):
        from matplotlib import pyplot
    if place is not None:
        return pyplot.figure(figsize=(width, height)).add_axes(place)
    return pyplot.figure(figsize=(width, height), layout="constrained").add_subplot()


def points(ax: Axes) -> Float[np.ndarray, "2"]:
    """Width and height of an axes in points."""
    box = ax.get_window_extent()
    return np.array([box.width, box.height]) * 72 / ax.figure.dpi


def plain(ax: Axes, grid: Literal["x", "y"] | None = None) -> None:
    """Keep the axes' left and lower edge only, and rule it faintly along `grid`, ``"x"`` or ``"y"``."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(SOFT)
    ax.tick_params(colors=INK, labelsize=SMALL + 0.5, length=3, color=SOFT)
    if grid:
        ax.grid(axis=grid, color=FAINT, linewidth=0.8)
        ax.set_axisbelow(True)


def whiskers(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    half: Float[np.ndarray, " value"],
    axis: Literal["x", "y"],
    *,
    signed: bool = False,
) -> None:
    """Draw intervals of some half width along an axis; none where the width is 0.

    They do not go below 0, unless values are signed.
    """
    shown = half > 0
    low = half if signed else np.minimum(half, x if axis == "x" else y)
    ends: Any = {f"{axis}err": (low[shown], half[shown])}
    ax.errorbar(x[shown], y[shown], fmt="none", ecolor=INK, elinewidth=1, capsize=2, **ends)


def above(ax: Axes) -> None:
    """Draw the legend above the axes, in the number of columns that fit, where it hides nothing."""
    handles, labels = ax.get_legend_handles_labels()
    legend = ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=legend_columns(ax, labels),
        frameon=False,
        fontsize=SMALL,
        borderaxespad=0.3,
        handlelength=1.4,
        columnspacing=1.2,
    )
    as_text(legend)


def as_text(legend: Legend) -> None:
    """Names in a legend are no formulas, whatever signs of mathematics they contain."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_columns(ax: Axes, labels: Sequence[str]) -> int:
    """The number of entries of a legend that fit side by side in the width of the axes."""
    room = points(ax)[0] / SMALL
    widths = [len(label) * LETTER + 3.5 for label in labels]
    return max(1, len(labels) if sum(widths) < room else int(room / max(widths)))


def short(name: str, longest: int = 24) -> str:
    """A name on one line, cut if it is too long."""
    return html.short(name, longest)


def write(ax: Axes, text: str, at: Point, offset: Point, size: float, **style: Any) -> None:
    """Write text on one line some points away from a place, by default centred there."""
    options: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False} | style
    ax.annotate(text, at, xytext=offset, textcoords="offset points", fontsize=size, **options)


class Headings(NamedTuple):
    """Names above the columns of a picture, side by side.

    Attributes:
        shown: Columns that have one: all, or every second, third, … if they are narrow, and the last.
        size: Of the text, in points.
        letters: The number that fits.
    """

    shown: list[int]
    size: float
    letters: int


def headings(count: int, column: float, longest: int) -> Headings:
    """Headings that do not overlap, for `count` columns of `column` points, of up to `longest` letters.

    Example:
        >>> headings(3, 60.0, 6)
        Headings(shown=[0, 1, 2], size=9.0, letters=9)
        >>> headings(20, 9.0, 6).shown
        [0, 3, 6, 9, 12, 15, 19]
    """
    bold = 1.1 * LETTER
    wanted = min(max(longest, 3), 8)
    size = float(np.clip(0.95 * column / (bold * wanted), SMALLEST + 0.5, TEXT))
    step = max(1, math.ceil(bold * wanted * size / column))
    shown = [index for index in range(0, count, step) if index <= count - 1 - step or index == count - 1]
    shown += [count - 1] * (shown[-1:] != [count - 1])
    return Headings(shown, size, max(3, int(0.95 * step * column / (bold * size))))


def text_size(room: float, largest: float = TEXT) -> float:
    """Size of names below one another with `room` points for each; 0 if they would be illegible.

    Example:
        >>> text_size(20.0), text_size(4.0)
        (9.0, 0.0)
    """
    size = min(largest, 0.85 * room)
    return size if size >= SMALLEST else 0.0
