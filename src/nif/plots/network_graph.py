"""The network as a figure: layers from left to right, the width of links by their nats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from nif.core.arguments import checked_arguments
from nif.flow.strongest import strongest
from nif.plots.axes import (
    INK,
    SMALLEST,
    SOFT,
    TEXT,
    WIDEST,
    Point,
    headings,
    new_axes,
    points,
    short,
    text_size,
    write,
)
from nif.plots.layout import heights
from nif.plots.palette import AGAINST, FOR, colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nif.flow.flow import Flow

MOST_LINKS = 4_000
"""The strongest links are drawn; more would only blacken the paper."""

THINNEST_LINK, WIDEST_LINK, LARGEST_UNIT = 0.35, 3.5, 17.0

DASHES = (0, (2.5, 1.5))
"""Of links that speak against the decision, in widths of the line."""

ROOM_FOR_NUMBERS = 26.0
"""Points between hidden units from which their numbers stand below them."""

PerLink = Float[np.ndarray, " link"]

ABOVE, BELOW = 48.0, 34.0
"""Points above the highest and below the lowest unit, for titles and legend."""


@checked_arguments()
def network(flow: Flow, ax: Axes | None = None) -> Axes:
    """Draw the network: layers from left to right, links by their nats.

    A unit's colour is its community, its size its betweenness; silent ones are hollow. Of currents, what
    speaks for the decision is blue and what speaks against it orange, with dashed links, and the size of a
    unit is that of its current. Of more than 4,000 links only the strongest are drawn, as the legend says.

    Args:
        flow: The measured flow.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: `ax` is none, or matplotlib is not installed.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = network(example())
        >>> len(ax.collections[0].get_segments())  # links of more than 0 nats
        3
    """
    if ax is None:
        height = float(np.clip(1.6 + 0.3 * max(flow.graph.sizes), 4.2, 7.5))
        ax = new_axes(min(WIDEST, 3.5 + 1.6 * len(flow.layers)), height, (0.01, 0.01, 0.98, 0.98))
    picture = _Picture(flow, ax)
    ax.set_axis_off()
    picture.frame()
    shown = picture.links()
    picture.units()
    picture.names()
    picture.titles()
    picture.legend(shown)
    return ax


class _Picture:
    """Places, sizes and colours, in the coordinates of one axes."""

    def __init__(self, flow: Flow, ax: Axes) -> None:
        self.flow, self.ax = flow, ax
        self.neurons = flow.neurons()
        self.sizes, self.first = flow.graph.sizes, flow.by_unit.first
        last = len(self.sizes) - 1
        self.strength = flow.by_unit.strength
        by_layer = heights(self.sizes, flow.links, [0, last], self.strength)
        self.y = np.concatenate(by_layer)
        self.x = np.repeat(np.arange(last + 1.0), self.sizes)
        if flow.currents is None:
            self.colour = np.array(colours(self.neurons["community"].tolist()))
            self.size = self.neurons["betweenness"].to_numpy()
        else:
            self.colour = _by_sign(self.neurons["current"].to_numpy())
            self.size = np.abs(self.neurons["current"].to_numpy())
        self.points = points(ax)
        self.inside = max(self.points[1] - ABOVE - BELOW, 1.0)
        self.gaps = [self._gap(values) for values in by_layer]

    def _gap(self, values: Float[np.ndarray, " unit"]) -> float:
        """Points between neighbours of one layer."""
        return float(self.inside / (len(values) - 1) * np.ptp(values)) if len(values) > 1 else self.inside

    def frame(self) -> None:
        """Limits of the axes, with room for the names of inputs and outputs, the titles and the legend."""
        left, right = (self._buffer(index) for index in (0, -1))
        scale = (len(self.sizes) - 1) / max(self.points[0] - left - right, self.points[0] / 4)
        self.column = 1 / scale
        self.ax.set_xlim(-left * scale, len(self.sizes) - 1 + right * scale)
        self.ax.set_ylim(-BELOW / self.inside, 1 + ABOVE / self.inside)

    def _buffer(self, index: int) -> float:
        """Points beside the first or last layer."""
        size = text_size(self.gaps[index])
        longest = max(len(short(name)) for name in self.flow.layers[index].units) if size else 0
        return max(40.0, longest * size * 0.6 + LARGEST_UNIT)

    def links(self) -> tuple[int, int]:
        """Draw the strongest links, the strongest last and so on top; return their number and that of all."""
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba_array

        links = strongest(self.flow.links, self.sizes, MOST_LINKS, strength=self.strength)
        source, target, nats = links.source[::-1], links.target[::-1], links.nats[::-1]
        share = np.abs(nats) / np.abs(nats).max() if len(nats) else nats
        faint = 0.85 / (1 + len(nats) / 400) ** 0.4
        shades = self.colour[source] if self.flow.currents is None else _by_sign(nats)
        lines = LineCollection(
            list(_curves(self.x[source], self.y[source], self.x[target], self.y[target])),
            linewidths=THINNEST_LINK + (WIDEST_LINK - THINNEST_LINK) * share * min(1.0, 10 / len(self.sizes)),
            colors=to_rgba_array(shades.tolist(), np.clip(share**0.5 * faint + 0.04, 0, 0.9)),
            linestyles=["solid" if above else DASHES for above in nats > 0] or "solid",
            capstyle="round" if (nats > 0).all() else "butt",
            zorder=1,
        )
        self.ax.add_collection(lines, autolim=False)
        return len(nats), links.of

    def units(self) -> None:
        """A disc for each unit: its community or sign, its betweenness or current; hollow if silent."""
        most = np.array([min(LARGEST_UNIT, 0.9 * gap, self.column / 3) for gap in self.gaps])
        largest = np.repeat(most, self.sizes)
        share = np.sqrt(self.size / self.size.max()) if self.size.max() > 0 else np.zeros(len(self.size))
        least = 0.4 if self.flow.currents is None else 0.25
        self.diameter = diameter = largest * (least + (1 - least) * share)
        silent = self.neurons["silent"].to_numpy()
        self.ax.scatter(
            self.x,
            self.y,
            s=diameter**2,
            c=np.where(silent, "#ffffff", self.colour),
            edgecolors=self.colour.tolist(),
            linewidths=np.minimum(1.2, diameter / 6).tolist(),
            zorder=2,
        )

    def names(self) -> None:
        """Names of inputs and outputs beside them and numbers of hidden units, where they fit."""
        last = len(self.sizes) - 1
        for index, layer in enumerate(self.flow.layers):
            size = text_size(self.gaps[index])
            for unit, name in enumerate(layer.units if size else ()):
                row = self.first[index] + unit
                away = self.diameter[row] / 2 + 4
                place = float(self.x[row]), float(self.y[row])
                if index == 0:
                    self._write(short(name), place, (-away, 0.0), size, color=INK, ha="right")
                elif index == last:
                    self._write(short(name), place, (away, 0.0), size, color=INK, ha="left")
                elif self.gaps[index] >= ROOM_FOR_NUMBERS:
                    self._write(str(unit), place, (0.0, -away - 2), SMALLEST + 1, color=SOFT)

    def titles(self) -> None:
        """Name, size and silent units of each layer, above it."""
        silent, layers = self.flow.by_unit.by_layer()["silent"], self.flow.layers
        above = headings(len(layers), self.column, max(len(layer.name) for layer in layers))
        for index in above.shown:
            quiet = f", {silent[index]} silent" if silent[index] else ""
            size = f"{len(layers[index])}{quiet}" if above.letters >= 12 else f"{len(layers[index])}"
            place, name = (float(index), 1.0), short(layers[index].name, above.letters)
            self._write(name, place, (0.0, 29.0), above.size, color=INK, weight="bold")
            self._write(size, place, (0.0, 17.0), min(above.size, TEXT - 1), color=SOFT)

    def legend(self, shown: tuple[int, int]) -> None:
        """The meaning of colour, size and width, and the number of links left out."""
        most = max(float(self.strength(links.stored("nats")).max(initial=0.0)) for links in self.flow.links)
        drawn = f"the strongest {shown[0]:,} of {shown[1]:,} links" if shown[0] < shown[1] else "links"
        meaning = (
            f"colour: community · size: betweenness · hollow: silent · width: nats of {drawn}, "
            f"at most {most:.3f}"
        )
        if self.flow.currents is not None:
            meaning = (
                f"current: blue for the decision, orange and dashed against it · size: of the unit · hollow: "
                f"silent · width: of {drawn}, at most {most:.3f} nats"
            )
        fits = self.points[0] / (0.55 * len(meaning))
        middle = float(np.mean(self.ax.get_xlim()))
        self._write(meaning, (middle, 0.0), (0.0, 5 - BELOW), min(TEXT - 1.5, fits), color=SOFT)

    def _write(self, text: str, at: Point, offset: Point, size: float, **style: Any) -> None:
        """Text with a halo that keeps it legible over links."""
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=2, foreground="#ffffff", alpha=0.8)]
        write(self.ax, text, at, offset, size, path_effects=halo, **style)


def _by_sign(nats: np.ndarray) -> np.ndarray:
    """Colours of currents."""
    return np.where(nats < 0, AGAINST, FOR)


def _curves(x0: PerLink, y0: PerLink, x1: PerLink, y1: PerLink) -> Float[np.ndarray, "link point 2"]:
    """Smooth steps from one unit to the other; those that skip layers bow away from the units between."""
    along = np.linspace(0, 1, 24)
    x = x0[:, None] + (x1 - x0)[:, None] * along
    step = along**2 * (3 - 2 * along)
    bow = 0.12 * np.maximum(x1 - x0 - 1, 0)[:, None] * np.sin(np.pi * along)
    return np.stack([x, y0[:, None] + (y1 - y0)[:, None] * step + bow], axis=-1)
