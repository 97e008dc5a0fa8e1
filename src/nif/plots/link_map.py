"""The links between two layers as a heat map, rows and columns ordered by community."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.types import Layer, Links
from nif.flow import communities as structure
from nif.flow.unit_names import layer_index
from nif.plots.axes import INK, LETTER, SMALL, SOFT, TEXT, new_axes, points, short, text_size
from nif.plots.palette import AGAINST, colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

    from nif.flow.flow import Flow

BELOW_ZERO, ZERO, ABOVE_ZERO = AGAINST, "#FFFFFF", ("#9CC9E8", "#0072B2", "#00263E")
"""Orange and blue stay apart with any kind of colour vision."""

STRIP = 6.0
"""Points of the strips that show the communities."""

MOST_CELLS = 2_000
"""Cells along a side of the map: more units share one."""


class Side(NamedTuple):
    """The units of one layer in the order in which they are drawn."""

    layer: Layer
    order: Int[np.ndarray, " unit"]
    community: Int[np.ndarray, " unit"]

    def names(self) -> list[str]:
        """Of the units, in order; a number alone where the name is that of the layer with the number."""
        numbered = {f"{self.layer.name}[{unit}]": str(unit) for unit in self.order}
        return [numbered.get(name, short(name)) for name in (self.layer.units[unit] for unit in self.order)]


@checked_arguments()
def links(
    flow: Flow, source: str | int = 0, target: str | int | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the nats of all links between two layers, one cell each.

    Units of a community stand together, those with most information first; the strips beside the map have
    the colours of the communities. Negative links are orange: more redundant than relevant, or currents that
    speak against the decision.

    Args:
        flow: The measured flow.
        source: Name or index of the earlier layer.
        target: Name or index of the later one; the first that the source feeds if None.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: No such layer, no links between the two, or matplotlib is not installed.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = links(example(), "input", "hidden")
        >>> ax.images[0].get_array().shape
        (2, 2)
    """
    between = _between(flow, source, target)
    communities = flow.by_unit.split(flow.communities.label)
    nats = between.matrix(flow.by_unit.strength(between.stored("nats")))
    rows = _side(flow.layers[between.source], communities[between.source], nats.sum(axis=1))
    columns = _side(flow.layers[between.target], communities[between.target], nats.sum(axis=0))
    if ax is None:
        height, width = between.shape
        ax = new_axes(min(max(2.6 + 0.3 * width, 4.2), 9.0), min(max(1.8 + 0.22 * height, 3.2), 8.0))
    unit = "nats" if flow.currents is None else "current (nats)"
    _draw(ax, _cells(between, rows, columns), between.shape, unit)
    _name(ax, rows, columns)
    _strips(ax, rows, columns)
    return ax


def _between(flow: Flow, source: str | int, target: str | int | None) -> Links:
    begin = _layer(flow.layers, source)
    ends = sorted(links.target for links in flow.links if links.source == begin)
    fed = ", ".join(repr(flow.layers[end].name) for end in ends) or "no layer"
    if target is None and ends:
        target = ends[0]
    end = None if target is None else _layer(flow.layers, target)
    for between in flow.links:
        if (between.source, between.target) == (begin, end):
            return between
    raise InputError(
        f"There are no links from layer {flow.layers[begin].name!r} to {target!r}; it feeds {fed}."
    )


def _layer(layers: Sequence[Layer], named: str | int) -> int:
    if isinstance(named, str):
        return layer_index(layers, named)
    if not -len(layers) <= named < len(layers):
        raise InputError(f"There are {len(layers)} layers; there is no layer {named}.")
    return int(named) % len(layers)


def _side(layer: Layer, community: Int[np.ndarray, " unit"], nats: Float[np.ndarray, " unit"]) -> Side:
    """Communities from the largest, within each the units with most nats first, units in none last."""
    alone = community == structure.NO_COMMUNITY
    order = np.lexsort((-nats, community, alone))
    return Side(layer, order, community[order])


def _cells(between: Links, rows: Side, columns: Side) -> Float[np.ndarray, "row column"]:
    """Nats of the links in order; of more units than fit, the largest in size of neighbouring links."""
    if max(between.shape) <= MOST_CELLS:
        return between.nats[np.ix_(rows.order, columns.order)]
    sides = [min(size, MOST_CELLS) for size in between.shape]
    row, column = (
        (np.argsort(side.order) * cells // len(side.order))[units]
        for side, cells, units in zip((rows, columns), sides, between.units(), strict=True)
    )
    most, least = np.zeros((2, sides[0] * sides[1]))
    np.maximum.at(most, row * sides[1] + column, between.values("nats"))
    np.minimum.at(least, row * sides[1] + column, between.values("nats"))
    return np.where(most >= -least, most, least).reshape(sides)


def _draw(ax: Axes, nats: Float[np.ndarray, "row column"], shape: tuple[int, ...], unit: str) -> None:
    from matplotlib.colors import TwoSlopeNorm

    most, least = max(float(nats.max()), 1e-9), min(float(nats.min()), 0.0)
    # Below zero has as much of the scale as it has of the nats, and zero is white.
    scale = TwoSlopeNorm(0.0, min(least, -1e-9), most)
    extent = (-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5)
    image = ax.imshow(
        nats, aspect="auto", cmap=_colours(least, most), norm=scale, interpolation="nearest", extent=extent
    )
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02)
    bar.ax.set_yscale("linear")
    if least == 0:
        bar.ax.set_ylim(0, most)
    bar.set_label(unit, fontsize=SMALL + 0.5, color=SOFT)
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.outline.set_visible(False)


def _colours(least: float, most: float) -> Colormap:
    """White at 0, blue up to `most`, orange down to `least` and as faint as that is small beside `most`."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

    reach = min(1.0, -least / most)
    red, green, blue = (1 - reach * (1 - part) for part in to_rgb(BELOW_ZERO))
    least_colour = to_hex((red, green, blue))
    steps = [(0.0, least_colour), (0.5, ZERO), *zip((0.65, 0.85, 1.0), ABOVE_ZERO, strict=True)]
    return LinearSegmentedColormap.from_list("nats", steps, N=257)  # odd, so that one of them is for 0


def _name(ax: Axes, rows: Side, columns: Side) -> None:
    """Names of the units where they can be read, and of the layers."""
    width, height = points(ax)
    down = text_size(height / len(rows.order), TEXT - 1)
    if ax.figure.get_layout_engine() is not None:  # which makes room for the names of rows
        width = max(width - max(map(len, rows.names())) * down * LETTER, 0.4 * width)
    across = text_size(width / len(columns.order), TEXT - 1)
    upright = max(map(len, columns.names())) * across * LETTER < 0.9 * width / len(columns.order)
    for axis, side, size, turned in ((ax.xaxis, columns, across, not upright), (ax.yaxis, rows, down, False)):
        names = side.names() if size else []
        axis.set_ticks(
            range(len(names)), names, fontsize=size or None, rotation=90 * turned, parse_math=False
        )
        text = f"{short(side.layer.name)} · {len(side.order):,} units by community"
        axis.set_label_text(text, fontsize=SMALL + 0.5, color=SOFT, parse_math=False)
    ax.tick_params(length=0, colors=INK, pad=2)
    ax.spines[:].set_visible(False)


def _strips(ax: Axes, rows: Side, columns: Side) -> None:
    """The colours of the communities, above the map and to its right."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    thick = STRIP / points(ax)
    over = [Rectangle((unit - 0.5, 1 + 0.3 * thick[1]), 1, thick[1]) for unit in range(len(columns.order))]
    beside = [Rectangle((-1.3 * thick[0], unit - 0.5), thick[0], 1) for unit in range(len(rows.order))]
    for patches, side, where in (
        (over, columns, ax.get_xaxis_transform()),
        (beside, rows, ax.get_yaxis_transform()),
    ):
        strip = PatchCollection(
            patches, facecolors=colours(side.community.tolist()), clip_on=False, transform=where, linewidths=0
        )
        ax.add_collection(strip, autolim=False)
    ax.tick_params(axis="y", pad=STRIP + 5)
    if not len(ax.get_yticks()):
        ax.yaxis.labelpad = STRIP + 5  # without names the strip is all there is between
    ax.set_title(" ", fontsize=STRIP, pad=STRIP)  # keeps the room of the upper strip
