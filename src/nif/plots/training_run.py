"""A training run as a picture: information, silent neurons and communities over the epochs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from nif.core.errors import InputError, optional_import
from nif.core.types import Layer
from nif.flow.epochs import CurrentsOfRun, check_measured, match_communities
from nif.flow.flow import Flow
from nif.plots.axes import INK, SMALL, SMALLEST, SOFT, TEXT, plain, points, short, write
from nif.plots.palette import COMMUNITIES, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SILENT = "#FFFFFF"
"""Of silent neurons among the colours of communities: they are left white."""

LONGEST = 22
"""Letters of a name beside a panel."""

OF_ASSOCIATION = {"nats into each layer": 2.2, "silent neurons": 1.3, "communities": 3.0}
OF_CURRENTS = {"total": 1.7, "features": 2.0, "silent neurons": 1.2, "communities": 2.6}
"""Panels, one below another, and their heights. Features have a scale of their own: beside the total,
each of many is flat."""


def draw(flows: dict[int, Flow], axes: Sequence[Axes] | None) -> list[Axes]:
    """Draw the run into three axes, or into a new figure."""
    check_measured(flows)
    epochs, seen = list(flows), list(flows.values())
    of_currents = seen[-1].total is not None
    heights = OF_CURRENTS if of_currents else OF_ASSOCIATION
    if axes is None:
        with optional_import("A plot", "plot"):
            from matplotlib import pyplot
        figure = pyplot.figure(figsize=(6.8, 1.17 * sum(heights.values())), layout="constrained")
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()))
    panels = list(axes) if isinstance(axes, Iterable) else [axes]
    if len(panels) != len(heights):
        raise InputError(
            f"Axes passed: {len(panels)}; expected {len(heights)}, one below another: {', '.join(heights)}."
        )
    named = (_currents if of_currents else _information)(panels[:-2], epochs, seen)
    _silent(panels[-2], epochs, seen, named)
    _communities(panels[-1], epochs, seen)
    edges = _edges(epochs)
    for ax in panels:  # epochs are aligned, in axes that were passed too
        ax.set_xlim(edges[0], edges[-1])
    panels[-1].set_xlabel("epoch", fontsize=TEXT, color=INK)
    return panels


_NOTE: dict[str, Any] = {"fontsize": SMALL, "color": SOFT, "loc": "left"}


def _shades(layers: int) -> list[tuple[float, float, float, float]]:
    """One for each layer, from dark to light with depth; readable with any colour vision."""
    from matplotlib import colormaps

    return [colormaps["viridis"](share) for share in np.linspace(0.0, 0.85, layers)]


def _information(axes: Sequence[Axes], epochs: Sequence[int], seen: Sequence[Flow]) -> list[int]:
    """Nats into each layer, with its name at the end of its line; returns the layers drawn."""
    (ax,) = axes
    into = np.stack([flow.by_unit.by_layer()["inflow"] for flow in seen])
    layers = seen[-1].layers
    shades = _shades(len(layers))
    plain(ax, grid="y")
    shown = [index for index in range(len(layers)) if into[:, index].any()]
    for index in shown:
        ax.plot(epochs, into[:, index], color=shades[index], linewidth=1.5, marker="o", markersize=3)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("nats into the layer", fontsize=SMALL + 0.5, color=SOFT)
    _line_names(ax, {index: into[-1, index] for index in shown}, layers)
    return shown


def _currents(axes: Sequence[Axes], epochs: Sequence[int], seen: Sequence[Flow]) -> list[int]:
    """The total, and below it the features of the largest currents at the end; names no layer."""
    total, half, features = CurrentsOfRun.of(seen)
    above, below = axes
    for ax in axes:
        ax.axhline(0.0, color=SOFT, linewidth=0.8)
    _curve(above, epochs, total, half, INK)
    above.set_ylabel("total (nats)", fontsize=SMALL + 0.5, color=SOFT)
    above.set_title("information about the decision; bands: 95% intervals", **_NOTE)
    _names(above, [("total", float(total[-1]), INK)])
    below.set_title("features with the largest currents at the end, on a scale of their own", **_NOTE)
    ends = []
    for (name, nats, around), colour in zip(features, COMMUNITIES, strict=False):
        _curve(below, epochs, nats, around, colour)
        ends.append((name, float(nats[-1]), colour))
    below.set_ylabel("current (nats)", fontsize=SMALL + 0.5, color=SOFT)
    _names(below, ends)
    return []


def _curve(
    ax: Axes,
    epochs: Sequence[int],
    nats: Float[np.ndarray, " epoch"],
    half: Float[np.ndarray, " epoch"],
    colour: str,
) -> None:
    """A line over the epochs, with a band."""
    plain(ax, grid="y")
    ax.fill_between(epochs, nats - half, nats + half, color=colour, alpha=0.12, linewidth=0)
    ax.plot(epochs, nats, color=colour, linewidth=1.5, marker="o", markersize=3)


def _line_names(ax: Axes, ends: dict[int, float], layers: Sequence[Layer]) -> None:
    """Names of layers where their lines end, in the same colours."""
    shades = _shades(len(layers))
    _names(ax, [(layers[index].name, height, shades[index]) for index, height in ends.items()])


def _names(ax: Axes, ends: Sequence[tuple[str, float, Any]]) -> None:
    """Names at the heights where lines end, in their colours, moved apart."""
    room = points(ax)[1]
    size = max(SMALLEST, min(SMALL + 0.5, 0.8 * room / max(len(ends), 1)))
    low, high = ax.get_ylim()
    at = (np.array([height for _, height, _ in ends], dtype=float) - low) / (high - low) * room
    for (name, _, colour), place in zip(ends, apart(at, 1.2 * size, room), strict=True):
        style = {"ha": "left", "color": colour, "xycoords": "axes fraction", "annotation_clip": False}
        write(ax, short(name, LONGEST), (1, place / room), (4, 0), size, **style)


def apart(places: Float[np.ndarray, " name"], step: float, room: float) -> Float[np.ndarray, " name"]:
    """Places moved as little as it takes for neighbours to be `step` apart, between 0 and `room` if they fit.

    Example:
        >>> apart(np.array([5.0, 5.0, 50.0]), 10.0, 100.0).tolist()
        [0.0, 10.0, 50.0]
    """
    order = np.argsort(places, kind="stable")
    steps = step * np.arange(len(places))
    free = places[order] - steps
    level = isotonic_regression(free).x if len(free) else free  # the nearest non-decreasing sequence
    moved = np.empty_like(places)
    last = max(room - step * max(len(places) - 1, 0), 0.0)
    moved[order] = np.clip(level, 0.0, last) + steps
    return moved


def _silent(ax: Axes, epochs: Sequence[int], seen: Sequence[Flow], named: Sequence[int]) -> None:
    """Fraction of silent neurons of each layer, in the colours of the first panel, which names `named`."""
    rows = [flow.by_unit.by_layer() for flow in seen]
    share = np.stack([layers["silent"] / layers["units"] for layers in rows])
    plain(ax, grid="y")
    for index, shade in enumerate(_shades(share.shape[1])):
        ax.plot(epochs, share[:, index], color=shade, linewidth=1.5, marker="o", markersize=3)
    ax.set_ylim(-0.03, max(0.2, 1.08 * share.max()))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_ylabel("silent neurons", fontsize=SMALL + 0.5, color=SOFT)
    others = [index for index in range(share.shape[1]) if index not in named]
    _line_names(ax, {index: share[-1, index] for index in others}, seen[-1].layers)


def _communities(ax: Axes, epochs: Sequence[int], seen: Sequence[Flow]) -> None:
    """A row for each unit: the colour of its community at each epoch, white while it is silent."""
    from matplotlib.colors import ListedColormap

    label = np.stack(match_communities([flow.communities.label for flow in seen]))
    silent = np.stack([flow.by_unit.silent() for flow in seen])
    groups, units = np.unique(label[label >= 0], return_counts=True)  # over all epochs
    largest = groups[np.argsort(-units, kind="stable")][: len(COMMUNITIES)]
    code = np.full(label.shape, len(COMMUNITIES) + 1)
    for number, group in enumerate(largest):
        code[label == group] = number + 1
    code[silent] = 0
    first = [*seen[-1].by_unit.first, label.shape[1]]
    rows = np.concatenate(
        [
            begin + np.lexsort((label[-1, begin:end], silent[-1, begin:end]))
            for begin, end in itertools.pairwise(first)
        ]
    )
    ax.pcolormesh(
        _edges(epochs),
        np.arange(len(rows) + 1),
        code[:, rows].T,
        cmap=ListedColormap([SILENT, *COMMUNITIES, OTHER]),
        vmin=-0.5,
        vmax=len(COMMUNITIES) + 1.5,
        rasterized=True,
    )
    _layer_names(ax, seen[-1], first)


def _edges(epochs: Sequence[int]) -> Float[np.ndarray, " edge"]:
    """Borders half way between the epochs."""
    middle = (np.array(epochs[1:]) + np.array(epochs[:-1])) / 2
    first = middle[0] if len(middle) else epochs[0] + 0.5
    last = middle[-1] if len(middle) else epochs[0] - 0.5
    return np.concatenate([[2 * epochs[0] - first], middle, [2 * epochs[-1] - last]]).astype(float)


def _layer_names(ax: Axes, last: Flow, first: Sequence[int]) -> None:
    plain(ax)
    ax.spines[:].set_visible(False)
    ax.set_ylim(first[-1], 0)
    for begin in first[1:-1]:
        ax.axhline(begin, color=INK, linewidth=0.8)
    room = points(ax)[1]
    middles = (np.array(first[1:]) + np.array(first[:-1])) / 2
    size = max(SMALLEST - 0.5, min(SMALL + 0.5, 0.8 * room / len(middles)))
    places = apart(middles / first[-1] * room, 1.15 * size, room)
    names = [short(layer.name, 14) for layer in last.layers]
    ax.set_yticks(places / room * first[-1], names, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_title("a row for each neuron: colour its community, white while silent", **_NOTE)
