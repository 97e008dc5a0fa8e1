"""Information into and out of every layer, or its currents, and its silent neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from nif.core.arguments import checked_arguments
from nif.core.types import Total
from nif.flow.communities import layer_stderr
from nif.plots.axes import (
    FAINT,
    INK,
    LETTER,
    SMALL,
    SMALLEST,
    SOFT,
    TEXT,
    WIDEST,
    above,
    new_axes,
    plain,
    points,
    short,
    whiskers,
)
from nif.plots.palette import AGAINST, COMMUNITIES, FOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nif.flow.flow import Flow

IN, OUT, SILENT = COMMUNITIES[0], COMMUNITIES[1], "#4A4F58"

MOST_PARTS = 20
"""Units of a layer that have a part of its bar each."""

TRACK = 0.045, 0.03
"""Height of the strip of silent neurons and its distance below the axis, as fractions of the axes' height."""


@checked_arguments()
def profile(flow: Flow, *, level: float = 0.95, ax: Axes | None = None) -> Axes:
    """Draw, for each layer, the nats of all links into it and out of it, and its fraction of silent neurons.

    A layer's sum grows with its width, so compare the two bars of one layer before those of two layers. Of
    currents, which sum to the total in every layer, the bars are units one on another, the largest nearest to
    0 and, paler, the weakest together; what speaks against the decision is below 0. A line is the total.

    Args:
        flow: The measured flow.
        level: Level of the intervals.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: matplotlib is not installed.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = profile(example())
        >>> [bar.get_height().round(3).tolist() for bar in ax.containers[0]]  # nats in
        [0.0, 0.8, 0.2]
    """
    ax = new_axes(float(np.clip(2.2 + 0.75 * len(flow.layers), 5.4, WIDEST)), 3.6) if ax is None else ax
    layers = flow.by_unit.by_layer()
    if flow.total is None:
        _in_and_out(ax, flow, level)
    else:
        _for_and_against(ax, flow, flow.total, level)
    _silent(ax, (layers["silent"] / layers["units"]).to_numpy())
    _name(ax, flow, layers["silent"].to_numpy())
    return ax


def _in_and_out(ax: Axes, flow: Flow, level: float) -> None:
    layers = flow.by_unit.by_layer()
    into, out = layer_stderr(flow.graph.sizes, flow.links, flow.errors)
    for name, place, colour, stderr in (("in", -0.2, IN, into), ("out", 0.2, OUT, out)):
        nats, half = layers[f"{name}flow"].to_numpy(), flow.by_unit.deviations(level) * stderr
        x = np.arange(len(nats)) + place
        ax.bar(x, nats, 0.36, color=colour, label=f"nats {name}")
        whiskers(ax, x, nats, half, "y")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("nats, sum over links", fontsize=SMALL + 0.5, color=SOFT)


def _for_and_against(ax: Axes, flow: Flow, total: Total, level: float) -> None:
    """Currents of units above and below 0, one on another, and the total with its interval."""
    above_0, below_0 = flow.by_unit.by_sign()
    nats = flow.neurons()["current"].to_numpy()
    for layer, units in enumerate(flow.by_unit.split(nats)):
        for part, colour in ((units[units > 0], FOR), (units[units < 0], AGAINST)):
            _stack(ax, layer, part[np.argsort(-np.abs(part), kind="stable")], colour)
    ax.bar(0, 0, color=FOR, label="units for the decision")
    ax.bar(0, 0, color=AGAINST, label="units against it")
    half = flow.by_unit.deviations(level) * total.stderr
    ax.axhspan(total.nats - half, total.nats + half, color=INK, alpha=0.12, linewidth=0)
    ax.axhline(total.nats, color=INK, linewidth=1.2, label=f"total, {level:.0%} interval")
    low, high = min(float(below_0.min()), total.nats, 0.0), max(float(above_0.max()), total.nats + half, 0.0)
    room = 0.06 * max(high - low, 1e-9)
    ax.set_ylim(low - room if low < 0 else 0.0, high + room)
    ax.axhline(0.0, color=SOFT, linewidth=0.8)
    ax.set_ylabel("current (nats)", fontsize=SMALL + 0.5, color=SOFT)


def _stack(ax: Axes, layer: int, nats: Float[np.ndarray, " unit"], colour: str) -> None:
    """The largest units by themselves, from 0 on, and all others together."""
    if len(nats) == 0:
        return
    parts = nats[:MOST_PARTS]
    ends = np.cumsum(parts)
    ax.bar(layer, parts, 0.56, bottom=ends - parts, color=colour, edgecolor="white", linewidth=0.7)
    if len(nats) > MOST_PARTS:
        ax.bar(layer, nats[MOST_PARTS:].sum(), 0.56, bottom=ends[-1], color=colour, alpha=0.5)


def _silent(ax: Axes, share: Float[np.ndarray, " layer"]) -> None:
    """A track below each layer, filled as far as its neurons are silent."""
    height, away = TRACK
    for layer, filled in enumerate(share):
        for width, colour in ((0.76, FAINT), (0.76 * filled, SILENT)):
            ax.barh(
                -away - height / 2,
                width,
                height,
                left=layer - 0.38,
                color=colour,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                label="share of silent neurons" if (layer, colour) == (0, SILENT) else None,
            )


def _name(ax: Axes, flow: Flow, silent: np.ndarray) -> None:
    plain(ax, grid="y")
    ax.set_xlim(-0.6, len(flow.layers) - 0.4)
    labels = [
        f"{short(layer.name, 16)}\n{len(layer):,}" + (f", {quiet:,} silent" if quiet else "")
        for layer, quiet in zip(flow.layers, silent, strict=True)
    ]
    width, height = points(ax)
    column = width / (len(labels) + 0.2)
    longest = max(len(line) for label in labels for line in label.split("\n"))
    size = min(TEXT - 1, 0.95 * column / (LETTER * longest))
    lying = size >= SMALLEST + 1
    ax.set_xticks(
        range(len(labels)),
        labels if lying else [label.replace("\n", " · ") for label in labels],
        fontsize=size if lying else min(SMALL, 0.8 * column),
        rotation=0 if lying else 90,
        parse_math=False,
    )
    ax.tick_params(axis="x", length=0, pad=3 + sum(TRACK) * height)
    above(ax)
