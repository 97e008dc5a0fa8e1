"""Information between communities from layer to layer, as bands (Sankey diagram)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nif.core.arguments import checked_arguments
from nif.flow.paths import clipped, signed, throughput
from nif.plots.axes import (
    INK,
    LETTER,
    SMALL,
    SMALLEST,
    SOFT,
    WIDEST,
    headings,
    legend_columns,
    new_axes,
    points,
    short,
    write,
)
from nif.plots.palette import AGAINST, COMMUNITIES, colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    from nif.flow.flow import Flow

GROUPS = len(COMMUNITIES) + 1
"""The largest communities have a band each; all smaller ones and units in none share the last."""

GAP = 0.03
"""Between the blocks of a column, as a share of the whole flow."""

BLOCK = 0.09
"""Half the width of a block, in layers."""

ABOVE, BELOW, ROW = 22.0, 24.0, 13.0
"""Points above the highest block and below the lowest, and for each row of the legend."""

FAINTEST = 1e-4
"""Bands thinner than this share are not drawn."""


@dataclass(frozen=True, eq=False)
class Bands:
    """The flow between communities, as shares of the whole.

    Attributes:
        through: Share that passes through each community of each layer; of currents the sum of the bands in
            or out, whichever is larger, without their sign.
        units: The number of its units there.
        between: For each pair of connected layers, the share from community to community; of currents it may
            be negative.
    """

    through: Float[np.ndarray, "layer group"]
    units: Int[np.ndarray, "layer group"]
    between: dict[tuple[int, int], Float[np.ndarray, "group group"]]


@checked_arguments()
def communities(flow: Flow, *, ax: Axes | None = None) -> Axes:
    r"""Draw the share of the whole attribution that passes through communities, layer by layer.

    .. math:: \text{share}(u \to v) = \frac{F_u \, w_{uv} \, B_v}{\sum_{ij} A_{ij}}

    F sums the paths from all features to unit u, B those from unit v to all classes: the shares into a block
    and out of it are equal, so bands neither begin nor end between the first layer and the last. Of currents,
    a band is the sum of the currents of its links as a share of the total; hatched ones are against the
    decision.

    Args:
        flow: The measured flow.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: matplotlib is not installed.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = communities(example())
        >>> [text.get_text() for text in ax.texts][-3:]
        ['input', 'hidden', 'output']
    """
    count = len(flow.layers)
    ax = new_axes(min(WIDEST, 2.0 + 1.3 * count), 4.2, (0.01, 0.01, 0.98, 0.98)) if ax is None else ax
    bands = bands_of(flow)
    ax.set_axis_off()
    used = np.flatnonzero(bands.through.any(axis=0)).tolist()
    top = _tops(bands.through, used)
    ax.set_xlim(-0.6, count - 0.4)
    patches = _patches(bands, used)
    rows = math.ceil(len(patches) / legend_columns(ax, [str(patch.get_label()) for patch in patches]))
    highest, below, height = _highest(bands.through, used), BELOW + ROW * rows, points(ax)[1]
    scale = highest / max(height - ABOVE - below, height / 4)
    ax.set_ylim(-below * scale, highest + ABOVE * scale)
    _draw_bands(ax, bands, top)
    _draw_blocks(ax, bands, top)
    _titles(ax, flow)
    _legend(ax, patches, _meaning(flow, bands))
    return ax


def bands_of(flow: Flow) -> Bands:
    """The drawn bands, as numbers."""
    dag = flow.graph
    label = flow.communities.label
    group = np.where((label < 0) | (label >= GROUPS - 1), GROUPS - 1, label)
    member = [np.eye(GROUPS)[part] for part in flow.by_unit.split(group)]
    units = np.stack([groups.sum(axis=0) for groups in member]).astype(np.int64)
    if flow.currents is not None:
        return _bands_of_currents(flow, flow.currents.total.nats, member, units)
    before = dag.forward_sums(clipped, np.ones((1, dag.feature_count)))
    after = dag.backward_sums(clipped, np.ones((dag.sizes[-1], 1)))
    total = max(float(before[-1].sum()), np.finfo(float).tiny)
    between = {}
    for links in flow.links:
        begun = member[links.source].T * (before[links.source][0] / total)
        between[links.source, links.target] = begun @ (
            clipped(links) @ (after[links.target] * member[links.target])
        )
    through = [share @ groups for share, groups in zip(throughput(dag), member, strict=True)]
    return Bands(np.stack(through), units, between)


def _bands_of_currents(flow: Flow, total: float, member: Sequence[np.ndarray], units: np.ndarray) -> Bands:
    """Sums of currents over communities."""
    scale = 1 / total if total else 0.0
    between = {
        (links.source, links.target): member[links.source].T @ (signed(links) @ member[links.target]) * scale
        for links in flow.links
    }
    into, out = np.zeros((2, len(member), GROUPS))
    for (source, target), shares in between.items():
        out[source] += np.abs(shares).sum(axis=1)
        into[target] += np.abs(shares).sum(axis=0)
    return Bands(np.maximum(into, out), units, between)


def _highest(through: Float[np.ndarray, "layer group"], used: Sequence[int]) -> float:
    """Height of the highest column with its gaps."""
    return max(1.0, float(through.sum(axis=1).max())) + GAP * max(len(used) - 1, 0)


def _tops(through: Float[np.ndarray, "layer group"], used: Sequence[int]) -> Float[np.ndarray, "layer group"]:
    """Upper end of each block: one under the other in one order everywhere, columns in the middle."""
    tops = np.zeros_like(through)
    most = _highest(through, used)
    for layer, shares in enumerate(through):
        there = [group for group in used if shares[group] > 0]
        height = shares[there].sum() + GAP * max(len(there) - 1, 0)
        y = (most + height) / 2
        for group in there:
            tops[layer, group] = y
            y -= shares[group] + GAP
    return tops


def _draw_bands(ax: Axes, bands: Bands, top: Float[np.ndarray, "layer group"]) -> None:
    from matplotlib.collections import PolyCollection

    outlines = list(_shapes(bands, top))
    for below in (False, True):
        some = [(shape, group) for shape, group, negative in outlines if negative == below]
        shapes, shades = [shape for shape, _ in some], colours([group for _, group in some])
        drawn = PolyCollection(shapes, facecolors=shades, alpha=0.38, linewidths=0, zorder=1)
        if below:
            drawn.set(hatch="////", edgecolor=AGAINST)
        ax.add_collection(drawn, autolim=False)


def _shapes(bands: Bands, top: Float[np.ndarray, "layer group"]) -> Iterator[tuple[np.ndarray, int, bool]]:
    """Outline of each band, the community it comes from, and whether it is negative.

    Bands leave and reach a block in order.
    """
    leave, reach = top.copy(), top.copy()
    for (source, target), shares in sorted(bands.between.items()):
        for first, second in np.argwhere(shares != 0).tolist():
            share = abs(shares[first, second])
            y0, y1 = leave[source, first], reach[target, second]
            leave[source, first] -= share
            reach[target, second] -= share
            if share > FAINTEST:
                yield _band(source + BLOCK, target - BLOCK, y0, y1, share), first, shares[first, second] < 0


def _band(x0: float, x1: float, y0: float, y1: float, thick: float) -> Float[np.ndarray, "point 2"]:
    along = np.linspace(0, 1, 32)
    upper = y0 + (y1 - y0) * along**2 * (3 - 2 * along)
    x = x0 + (x1 - x0) * along
    return np.concatenate([np.stack([x, upper], 1), np.stack([x, upper - thick], 1)[::-1]])


def _draw_blocks(ax: Axes, bands: Bands, top: Float[np.ndarray, "layer group"]) -> None:
    low, high = ax.get_ylim()
    point = (high - low) / points(ax)[1]
    width = points(ax)[0] * 2 * BLOCK / len(bands.through)
    for layer, group in np.argwhere(bands.through > 0).tolist():
        colour = colours([group])[0]
        share = bands.through[layer, group]
        # A community that carries little is still there: no block is thinner than a line.
        thick = max(share, point)
        middle = top[layer, group] - share / 2
        ax.bar(layer, thick, 2 * BLOCK, bottom=middle - thick / 2, color=colour, zorder=2)
        size = min(SMALL, width / (LETTER * 3))
        if share > 10 * point and size >= SMALLEST - 1:
            style = {"color": _ink_on(colour), "weight": "bold", "zorder": 3}
            write(ax, f"{bands.units[layer, group]}", (layer, middle), (0, 0), size, **style)


def _titles(ax: Axes, flow: Flow) -> None:
    width = points(ax)[0] / len(flow.layers)
    above = headings(len(flow.layers), width, max(len(layer.name) for layer in flow.layers))
    for index in above.shown:
        name, edge = short(flow.layers[index].name, above.letters), ax.get_xaxis_transform()
        style = {"va": "top", "color": INK, "weight": "bold"}
        write(ax, name, (index, 1), (0, -6), above.size, xycoords=edge, **style)


def _meaning(flow: Flow, bands: Bands) -> str:
    """What is drawn."""
    if not bands.through.any():
        return "no path from a feature to a class carries information"
    height = "share of the whole attribution" if flow.currents is None else "share of the total current"
    hatched = any((shares < -FAINTEST).any() for shares in bands.between.values())
    against = " · hatched: against the decision" if hatched else ""
    return f"community (units) · height: {height}{against} · numbers: units there"


def _legend(ax: Axes, patches: Sequence[Patch], meaning: str) -> None:
    legend = ax.legend(
        handles=patches,
        title=meaning,
        title_fontsize=min(SMALL, points(ax)[0] / (0.57 * len(meaning))),
        loc="lower center",
        borderaxespad=0,
        ncols=legend_columns(ax, [str(patch.get_label()) for patch in patches]),
        frameon=False,
        fontsize=SMALL,
        handlelength=1,
        columnspacing=1.2,
    )
    legend.get_title().set_color(SOFT)
    legend.set_in_layout(False)  # the bands have made room for it


def _patches(bands: Bands, used: Sequence[int]) -> list[Patch]:
    """The entries of the legend, one for each community."""
    from matplotlib.patches import Patch

    names = [str(group) if group < GROUPS - 1 else "smaller ones" for group in used]
    return [
        Patch(color=colours([group])[0], label=f"{name} ({bands.units[:, group].sum():,})")
        for name, group in zip(names, used, strict=True)
    ]


def _ink_on(colour: str) -> str:
    """Black on light colours and white on dark ones, by their luminance (ITU-R BT.709)."""
    from matplotlib.colors import to_rgb

    return INK if np.dot((0.21, 0.72, 0.07), to_rgb(colour)) > 130 / 255 else "#FFFFFF"
