"""Currents as a Sankey diagram: bars for units, ribbons for links, whose widths are nats."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nif.core.arguments import checked_arguments
from nif.flow.headline import digits_of, headline
from nif.plots import axes, palette
from nif.plots.axes import LETTER, SMALL, SMALLEST, TEXT, WIDEST, headings, new_axes, points, short, write
from nif.plots.sankey_layout import MOST_UNITS, Bar, Ribbon, SankeyLayout, currents_to_draw, sankey_layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nif.flow.flow import Flow

BAR = 9.0
"""Points: the width of a bar."""

LONGEST = 20
"""Letters of a name."""

BELOW = 30.0
"""Points below the lowest bar, for the legend."""

LINE = 1.3
"""Distance of lines of text, in heights of the text."""

SQUEEZED = 0.86
"""Size of a title that just fits on one line so, over that of others."""


Colour = str | tuple[float, float, float]


class Ink(NamedTuple):
    """Colours on one ground."""

    text: str
    soft: str
    ground: str
    above: str
    below: str
    classes: tuple[str, ...]


LIGHT = Ink(axes.INK, axes.SOFT, "#ffffff", palette.FOR, palette.AGAINST, palette.COMMUNITIES)
DARK = Ink(
    *("#E8EAED", "#A4AAB3", "#16181C"),
    *(palette.FOR_ON_DARK, palette.AGAINST_ON_DARK, palette.COMMUNITIES_ON_DARK),
)


@checked_arguments()
def sankey(
    flow: Flow,
    *,
    most: int = MOST_UNITS,
    by_class: bool = False,
    nats: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw currents as ribbons from the features to the classes; widths are nats and add up at every unit.

    What flows into a unit flows out of it. A bar is the current of a unit. Ribbons for the decision are above
    its base line, those against it below; where a unit has both, the ribbons are wider than its bar, which is
    one less the other. Links that skip a layer pass below its units, so every column shows the total. The
    order of hidden units is the one that was found with few crossings.

    Args:
        flow: A flow of currents.
        most: Units of a layer with a bar of their own, those of the largest currents. The others have one
            together, and so have their links of either sign, so that nothing is lost.
        by_class: Colour a ribbon by the class that most of the absolute nats out of its end reach, not by its
            sign: the greyer, the less that class is ahead. Those against the decision are dashed.
        nats: Write nats at the bars in place of shares of the total.
        ax: Axes to draw into; a new figure if None. Colours are those for a dark ground where it has one.

    Raises:
        InputError: The flow is of association, whose links do not add up; `most` is less than 1; matplotlib
            is not installed.

    References:
        Schmidt (2008), The Sankey diagram in energy and material flow management,
        https://doi.org/10.1111/j.1530-9290.2008.00004.x

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> ax = sankey(nif.measure(net, torch.randn(40, 3), progress=False))
        >>> len(ax.texts) > 5
        True
    """
    currents_to_draw(flow, most)  # refuses before there is a figure
    if ax is None:
        columns = max(len(flow.layers), 3)
        ax = new_axes(min(WIDEST, max(7.2, 1.3 * columns)), 5.0, (0.01, 0.01, 0.98, 0.98))
    ax.set_axis_off()
    picture = _Picture(flow, ax, most, by_class=by_class, nats=nats)
    picture.ribbons()
    picture.bars()
    picture.names()
    picture.titles()
    return ax


class _Picture:
    """Places and colours, in the coordinates of one axes: a column is 1 wide, all heights are 0 to 1."""

    def __init__(self, flow: Flow, ax: Axes, most: int, *, by_class: bool, nats: bool) -> None:
        self.flow, self.ax, self.by_class, self.nats = flow, ax, by_class, nats
        self.ink = DARK if _on_dark(ax) else LIGHT
        self.points = points(ax)
        self.size = float(np.clip(self.points[0] / 55, SMALLEST + 1, TEXT))
        sentence = headline(flow)
        room = (self.points[0] - 12) / (1.05 * _width(sentence, "bold")) * len(sentence)
        self.title = self.size + 0.5
        self.title *= float(np.clip(room / (self.title * len(sentence)), SQUEEZED, 1.0))
        self.lines = textwrap.wrap(sentence, max(20, int(room / self.title + 1e-6)))
        self.top = LINE * (len(self.lines) * self.title + 2.4 * self.size)
        self.inside = max(self.points[1] - self.top - BELOW, 1.0)
        self.layout = sankey_layout(flow, most=most, gap=LINE * self.size / self.inside)
        last = len(flow.layers) - 1
        self.shares = _classes(self.layout, last)
        self.classes = _class_colours(self.layout, last, self.ink.classes)
        self._frame()

    def _frame(self) -> None:
        """Limits of the axes, with room for names at both sides."""
        last = len(self.layout.columns) - 1
        left, right = (self._beside(place) for place in (0, last))
        scale = max(last, 1) / max(self.points[0] - left - right, self.points[0] / 4)
        self.column, self.half = 1 / scale, BAR / 2 * scale
        self.ax.set_xlim(-left * scale, last + right * scale)
        self.ax.set_ylim(-BELOW / self.inside, 1 + self.top / self.inside)

    def _beside(self, place: int) -> float:
        """Points beside the first or last column."""
        labels = [self._label(bar) for bar in self.layout.bars if bar.column == place]
        return 1.04 * self.size * max(map(_width, labels)) + BAR + 4

    def _label(self, bar: Bar) -> str:
        """Name and number of a feature or class."""
        return f"{short(bar.name, LONGEST)} · {self._value(bar, error=True)}"

    def ribbons(self) -> None:
        """All ribbons, the widest first, so that narrow ones are seen; those that skip layers behind."""
        from matplotlib.patches import PathPatch

        ribbons = sorted(self.layout.ribbons, key=lambda ribbon: (-len(ribbon.spans), -abs(ribbon.nats)))
        for ribbon in ribbons:
            edged = ribbon.nats < 0 and self.by_class
            patch = PathPatch(
                _outline(self.layout.bars[ribbon.source].column, ribbon, self.half),
                facecolor=self._colour(ribbon),
                alpha=0.5 if len(ribbon.spans) == 2 else 0.28,
                linewidth=0.5 if edged else 0,
                linestyle=(0, (4, 2)) if edged else "solid",  # matplotlib 3.8 draws no dashes of width 0
                edgecolor=self.ink.text,
                zorder=1 if len(ribbon.spans) == 2 else 0.5,
            )
            self.ax.add_patch(patch)

    def _colour(self, ribbon: Ribbon) -> Colour:
        if not self.by_class:
            return self.ink.below if ribbon.nats < 0 else self.ink.above
        return self._of_class(self.shares[ribbon.target])

    def _of_bar(self, number: int, bar: Bar) -> Colour:
        if not self.by_class:
            return self.ink.below if bar.nats < 0 else self.ink.above
        last = bar.column == len(self.layout.columns) - 1
        return self._of_class(self.shares[number]) if last else self.ink.soft

    def _of_class(self, shares: Float[np.ndarray, " label"]) -> Colour:
        """Colour of the class with the largest share, the greyer the less it is ahead of the next."""
        from matplotlib.colors import to_rgb

        label = int(np.argmax(shares))
        most, *others = np.sort(shares)[::-1]
        ahead = 1.0 if not others else (most - others[0]) / max(most, 1e-300)
        other = palette.OTHER
        grey, clear = np.array(to_rgb(other)), np.array(to_rgb(self.classes.get(label, other)))
        red, green, blue = ahead * clear + (1 - ahead) * grey
        return float(red), float(green), float(blue)

    def bars(self) -> None:
        """The current of each unit from its base line on, and a frame around all its ribbons."""
        from matplotlib.patches import Rectangle

        hair = 0.8 / self.inside
        for number, bar in enumerate(self.layout.bars):
            colour = self._of_bar(number, bar)
            left, width, height = bar.column - self.half, 2 * self.half, bar.nats * self.layout.scale
            low, high = bar.span
            frame: dict[str, Any] = {"facecolor": self.ink.ground, "edgecolor": self.ink.soft, "zorder": 2}
            whole = max(high - low, hair)
            self.ax.add_patch(Rectangle((left, low), width, whole, linewidth=0.5, **frame))
            solid = Rectangle((left, bar.base), width, height, linewidth=0, facecolor=colour, zorder=3)
            solid.set_gid(f"bar {number}")
            self.ax.add_patch(solid)
            if min(bar.base - low, high - bar.base) > hair:
                ends = [left - 0.3 * width, left + 1.3 * width]
                self.ax.plot(ends, [bar.base, bar.base], color=self.ink.text, linewidth=0.8, zorder=4)

    def names(self) -> None:
        """Names and numbers beside the bars, where they fit."""
        last = len(self.layout.columns) - 1
        for bar in self.layout.bars:
            if bar.column in {0, last}:
                self._end(bar, left=bar.column == 0)
            else:
                self._hidden(bar)

    def _end(self, bar: Bar, *, left: bool) -> None:
        """The name of a feature or class, and its number."""
        away, side = BAR / 2 + 4, "right" if left else "left"
        several = len(bar.units) > 1
        colour = self.ink.soft if several else self.ink.text
        sign = -1.0 if left else 1.0
        room = (bar.span[1] - bar.span[0] + self.layout.gap) * self.inside
        size = min(self.size, room / 1.1)
        if size >= SMALLEST:
            self._write(
                self._label(bar), (bar.column, _middle(bar)), (sign * away, 0.0), size, color=colour, ha=side
            )

    def _hidden(self, bar: Bar) -> None:
        """The number of a hidden unit to the right of its bar, with its own number where there is room."""
        several = len(bar.units) > 1
        name = bar.name if several else str(bar.units[0])
        room = (bar.span[1] - bar.span[0] + self.layout.gap) * self.inside
        size = min(self.size - 1.5, room / 1.15)
        # Smaller rather than without the number, which else the largest bars would lack.
        texts = (f"{name} · {self._value(bar)}", name)
        sizes = {text: min(size, self.column / 2 / (LETTER * len(text))) for text in texts}
        text = next((text for text, fitting in sizes.items() if fitting >= SMALLEST), None)
        if text is not None:
            size = sizes[text]
            style: dict[str, Any] = {"color": self.ink.soft if several else self.ink.text, "ha": "left"}
            self._write(text, (bar.column, _middle(bar)), (BAR / 2 + 4, 0.0), size, **style)

    def _value(self, bar: Bar, *, error: bool = False) -> str:
        """The current of a unit or its share of the total; with its standard error, if that is known."""
        total = abs(self.flow.total.nats) if self.flow.total is not None else 0.0
        known = error and np.isfinite(bar.stderr)
        scale, unit = (1.0, "") if self.nats or not total else (100 / total, " %")
        digits = 2 + max(0, -int(np.floor(np.log10(total)))) if self.nats and total else 2 * (not unit)
        if unit and known:
            digits = digits_of(bar.stderr / total)
        around = f" ± {bar.stderr * scale:.{digits}f}" if known else ""
        value = round(bar.nats * scale, digits) + 0.0  # no -0
        return f"{value:.{digits}f}{around}{unit}".replace("-", "−")

    def titles(self) -> None:
        """The answer in a sentence, names of the layers, and the meaning of widths and colours."""
        middle, (left, _) = float(np.mean(self.ax.get_xlim())), self.ax.get_xlim()
        for number, line in enumerate(self.lines):
            down = self.top - LINE * self.title * (number + 0.6)
            self._write(
                line, (left, 1.0), (4.0, down), self.title, color=self.ink.text, ha="left", weight="bold"
            )
        names = [
            " · ".join(self.flow.layers[layer].name for layer in layers) for layers in self.layout.columns
        ]
        above = headings(len(names), self.column, max(map(len, names)))
        for place in above.shown:
            name = short(names[place], above.letters)
            at = (float(place), 1.0)
            self._write(name, at, (0.0, LINE * self.size), min(above.size, self.size), color=self.ink.soft)
        fits = (self.points[0] - 8) / (0.52 * len(self._meaning))
        self._write(self._meaning, (middle, 0.0), (0.0, 9 - BELOW), min(SMALL, fits), color=self.ink.soft)

    @property
    def _meaning(self) -> str:
        """What widths and colours stand for, and what the file of the flow does not hold."""
        missing = self.flow.left_out
        kept = f" · {missing.links:,} weak links are not in the file" if missing else ""
        if self.by_class:
            colours = "colour: the class that it reaches, grey: several · dashed: against the decision"
        else:
            colours = "blue for the decision, orange against it"
        return f"width: nats · {colours} · bar: for it less against it · ±: standard error{kept}"

    def _write(
        self, text: str, at: tuple[float, float], offset: tuple[float, float], size: float, **style: Any
    ) -> None:
        """Text with a halo that keeps it legible over ribbons."""
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=2, foreground=self.ink.ground, alpha=0.75)]
        write(self.ax, text, at, offset, size, path_effects=halo, zorder=5, **style)


def _width(text: str, weight: str = "normal") -> float:
    """Of a text on one line, in heights of the text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(weight=weight, size=100)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 100


def _middle(bar: Bar) -> float:
    return (bar.span[0] + bar.span[1]) / 2


def _on_dark(ax: Axes) -> bool:
    """Whether the ground below the axes is dark; a transparent one is if matplotlib's text is light."""
    from matplotlib import rcParams
    from matplotlib.colors import to_rgba

    red, green, blue, alpha = to_rgba(ax.figure.get_facecolor())
    if alpha < 0.5:
        red, green, blue = (1 - part for part in to_rgba(rcParams["text.color"])[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.4


def _classes(layout: SankeyLayout, last: int) -> Float[np.ndarray, "bar label"]:
    """Part of the absolute nats out of each bar that reaches each bar of the last layer."""
    labels = [number for number, bar in enumerate(layout.bars) if bar.layer == last]
    shares = np.zeros((len(layout.bars), len(labels)))
    shares[labels] = np.eye(len(labels))
    for ribbon in sorted(layout.ribbons, key=lambda ribbon: -layout.bars[ribbon.source].column):
        reached = shares[ribbon.target]
        shares[ribbon.source] += abs(ribbon.nats) * reached / max(reached.sum(), 1e-300)
    return shares


def _class_colours(layout: SankeyLayout, last: int, shades: tuple[str, ...]) -> dict[int, str]:
    """Of the largest classes, by their place in the last layer."""
    outputs = [bar for bar in layout.bars if bar.layer == last]
    strongest = sorted(range(len(outputs)), key=lambda place: -abs(outputs[place].nats))
    named = sorted(place for place in strongest[: len(shades)] if len(outputs[place].units) == 1)
    return dict(zip(named, shades, strict=False))


def _outline(column: int, ribbon: Ribbon, half: float) -> Any:
    """The closed path around a ribbon: smooth between columns, straight beside the bars it passes."""
    from matplotlib.path import Path

    lower = _edge([low for low, _ in ribbon.spans], column, half)
    upper = _edge([high for _, high in ribbon.spans], column, half)[::-1]
    steps = [Path.CURVE4] * 3 + [Path.LINETO]
    codes = (steps * (len(ribbon.spans) - 1))[:-1]
    return Path([*lower, *upper, lower[0]], [Path.MOVETO, *codes, Path.LINETO, *codes, Path.CLOSEPOLY])


def _edge(heights: list[float], column: int, half: float) -> list[tuple[float, float]]:
    """Cubic curves between the sides of neighbouring columns, with lines across the columns between."""
    corners = []
    for place, (begin, end) in enumerate(itertools.pairwise(heights), start=column):
        left, right = place + half, place + 1 - half
        middle = (left + right) / 2
        corners += [(left, begin), (middle, begin), (middle, end), (right, end)]
    return corners
