"""What units tell of the decision against what of it the decision uses, with the outliers named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from nif.core.arguments import checked_arguments
from nif.flow.known_and_used import IGNORED, SYNERGY
from nif.flow.known_and_used import known_and_used as table_of
from nif.plots.axes import (
    FAINT,
    INK,
    LETTER,
    SMALL,
    SOFT,
    TEXT,
    Point,
    above,
    new_axes,
    plain,
    points,
    short,
    write,
)
from nif.plots.palette import AGAINST, COMMUNITIES, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nif.flow.flow import Flow

MARKERS = "os^DvPX*"
"""Of the layers, in turn."""

RINGS = {IGNORED: AGAINST, SYNERGY: INK}
"""Colour around an outlier of either kind."""

MOST_LAYERS = len(COMMUNITIES) - 1
"""Layers with an entry in the legend."""


@checked_arguments()
def known_and_used(
    association: Flow, currents: Flow, *, level: float = 0.95, most: int = 12, ax: Axes | None = None
) -> Axes:
    """Draw each unit at what it tells of the decision and what of it the decision uses, both in nats.

    To the right is a unit's mutual information with the decision, upwards its current; lines are intervals.
    On the dashed line a unit is used for as much as it tells. Far below are units that share what they tell
    with others, or that the network ignores; above are units that count together with others. Those of which
    the errors of both measures leave no doubt have a ring, orange if they are ignored and black if there is
    synergy: `nif.known_and_used` states the criterion, and returns the table of what is drawn. They are
    named, and so are the features if they are few.

    Args:
        association: A flow of `nif.DecisionInformation`: what each unit tells of the decision.
        currents: A flow of currents of the same units.
        level: Level of the intervals; 1 less it is the false discovery rate of outliers.
        most: The number of units to name, outliers of the largest nats first; the figure says how many
            outliers are not named for want of room.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: The flows are not of these measures or not of the same units and decision, or matplotlib
            is not installed.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
        >>> x = torch.randn(60, 2)
        >>> known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
        >>> used = nif.measure(net, x, progress=False)
        >>> ax = known_and_used(known, used)
        >>> len(ax.collections[0].get_offsets()), ax.get_ylabel()
        (2, 'used: its current (nats)')
    """
    table = table_of(association, currents, alpha=1 - level)
    ax = new_axes(6.4, 4.6) if ax is None else ax
    plain(ax)
    ax.grid(color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    _scatter(ax, table)
    half = association.by_unit.deviations(level), currents.by_unit.deviations(level)
    _intervals(ax, table, *half)
    _limits(ax, table, *half)
    above(ax)
    _explain(ax, level, int((table["outlier"] != "").sum()))  # keeps room for the longest explanation
    _explain(ax, level, _name(ax, table, _to_name(table, most)))
    return ax


def _to_name(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Outliers, and the units of the first layer if they are few; those of the largest nats first."""
    first = table.index.get_level_values("layer") == table.index[0][0]
    outlier = (table["outlier"] != "").to_numpy()
    order = np.lexsort((-table[["known", "used"]].abs().max(axis=1), ~outlier))
    wanted = outlier | (first & (first.sum() <= most))
    return table.iloc[order[wanted[order]][:most]]


def _scatter(ax: Axes, table: pd.DataFrame) -> None:
    """The units, a colour and marker for each layer, and rings around outliers."""
    size = float(np.clip(2400 / len(table), 6, 34))
    for number, (layer, units) in enumerate(table.groupby(level="layer", sort=False)):
        colour = COMMUNITIES[number] if number < MOST_LAYERS else OTHER
        label = short(str(layer), 16) if number < MOST_LAYERS else None
        marker = MARKERS[number % len(MARKERS)]
        place = units["known"], units["used"]
        ax.scatter(*place, size, color=colour, marker=marker, linewidths=0, label=label, zorder=3)
    for kind, colour in RINGS.items():
        units = table[table["outlier"] == kind]
        if len(units):
            style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.2}
            ax.scatter(units["known"], units["used"], 2.6 * size, label=kind, zorder=4, **style)


def _intervals(ax: Axes, table: pd.DataFrame, known: float, used: float) -> None:
    """Half as wide as a number of standard errors of each measure."""
    wide = np.minimum(known * table["known_stderr"], table["known"]), known * table["known_stderr"]
    ax.errorbar(
        table["known"],
        table["used"],
        xerr=np.stack(wide),
        yerr=used * table["used_stderr"],
        fmt="none",
        ecolor=SOFT,
        elinewidth=0.6,
        alpha=0.6 if len(table) <= 60 else 0.3,
    )


def _limits(ax: Axes, table: pd.DataFrame, known: float, used: float) -> None:
    """Room for intervals of these half widths, for names, the line of equal nats, and that of 0."""
    half = used * table["used_stderr"]
    low, high = min(float((table["used"] - half).min()), 0.0), max(float((table["used"] + half).max()), 1e-9)
    widest = max(float((table["known"] + known * table["known_stderr"]).max()), 1e-9)
    ax.set_xlim(-0.03 * widest, 1.08 * widest)
    ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    ax.axhline(0.0, color=SOFT, linewidth=0.8, zorder=1)
    end = 2 * max(widest, high)
    ax.plot(
        [0, end], [0, end], color=SOFT, linewidth=1, linestyle=(0, (5, 3)), label="used = known", zorder=1
    )


def _settle(ax: Axes) -> None:
    """Give the axes their place in the figure, among all texts that are there by now."""
    ax.figure.canvas.figure.draw_without_rendering()


def _explain(ax: Axes, level: float, unnamed: int) -> None:
    _settle(ax)
    room = points(ax)
    more = f"\n{unnamed} more outlier{'s' * (unnamed > 1)} not named" if unnamed else ""
    texts = (
        ("known: what the unit alone tells of the decision (nats)", f" · lines: {level:.0%} intervals{more}"),
        ("used: its current (nats)", ""),
    )
    for axis, length, (text, note) in zip((ax.xaxis, ax.yaxis), room, texts, strict=True):
        whole = f"{text}{note}"
        if length < SMALL * LETTER * len(whole.split("\n", maxsplit=1)[0]):
            whole = f"{text}\n{note.removeprefix(' · ')}".rstrip()
        longest = max(map(len, whole.split("\n")))
        axis.set_label_text(
            whole, color=SOFT, fontsize=float(np.clip(length / (LETTER * longest), 6.0, TEXT))
        )


def _name(ax: Axes, table: pd.DataFrame, named: pd.DataFrame) -> int:
    """Write the names of units where they hide no others; returns the number of outliers without a name."""
    _settle(ax)
    room, at = points(ax), _in_points(ax, table)
    low, high = at - 3.0, at + 3.0  # ends of the boxes that are taken
    missing = int((table["outlier"] != "").sum())
    names = named.index.get_level_values("unit")
    for point, unit, (_, row) in zip(_in_points(ax, named), names, named.iterrows(), strict=True):
        name = short(str(unit), 20)
        size = np.array([1.05 * LETTER * SMALL * len(name), 1.25 * SMALL])
        for offset in _offsets(size):
            begin, end = point + offset - size / 2, point + offset + size / 2
            hides = ((low < end) & (begin < high)).all(axis=1).any()
            if not hides and (begin >= 0).all() and (end <= room).all():
                colour = RINGS[row["outlier"]] if row["outlier"] else SOFT
                _write_beside(ax, name, (row["known"], row["used"]), offset, size, colour)
                low, high = np.vstack([low, begin]), np.vstack([high, end])
                missing -= bool(row["outlier"])
                break
    return missing


def _write_beside(
    ax: Axes, name: str, at: Point, offset: Point, size: Float[np.ndarray, "2"], colour: str
) -> None:
    """A name of some size, its middle some points away from its unit, and a line between the two."""
    edge = np.clip(0.0, np.array(offset) - size / 2, np.array(offset) + size / 2)
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 4}
    style: dict[str, Any] = {"textcoords": "offset points", "in_layout": False, "zorder": 2}
    ax.annotate("", at, xytext=(float(edge[0]), float(edge[1])), arrowprops=line, **style)
    write(ax, name, at, offset, SMALL, color=colour, in_layout=False)


def _in_points(ax: Axes, table: pd.DataFrame) -> Float[np.ndarray, "unit 2"]:
    """Where the units are drawn, from the lower left corner of the axes."""
    corner = ax.transAxes.transform((0, 0))
    places: np.ndarray = ax.transData.transform(table[["known", "used"]].to_numpy()) - corner
    return places * 72 / ax.figure.dpi


def _offsets(size: Float[np.ndarray, "2"]) -> list[tuple[float, float]]:
    """Where the middle of a name may be, in points from its unit: the nearest first, beside the intervals."""
    found = []
    for away in (5.0, 10.0, 18.0):
        x, y = size[0] / 2 + away, size[1] / 2 + away
        found += [(x, y), (x, -y), (-x, y), (-x, -y), (x, 0.0), (-x, 0.0), (0.0, y), (0.0, -y)]
    return found
