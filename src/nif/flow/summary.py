"""A flow at a glance, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from nif.core.html import Cell, Row, short, table
from nif.core.types import Layer
from nif.flow.communities import inflow, outflow
from nif.flow.paths import Dag, attribution

if TYPE_CHECKING:
    from nif.flow.flow import Flow

HEAD = ("layer", "kind", "units", "silent", "nats in", "nats out")


MOST_LAYERS, MOST_FEATURES = 24, 5
"""Rows that are shown; layers in the middle of a deeper network are left out."""


def html_table(flow: Flow, silent: Bool[np.ndarray, " unit"]) -> str:
    """One row for each layer, the features with most information, and how it was measured."""
    layers, dag = flow.layers, flow.graph
    rows = _rows(layers, dag, silent)
    left_out = max(0, len(rows) - MOST_LAYERS)
    if left_out:
        half = MOST_LAYERS // 2
        gap: Row = [f"… {left_out} layers …", *[""] * (len(HEAD) - 1)]
        rows = [*rows[:half], gap, *rows[-half:]]
    sizes = _sizes(dag.sizes)
    title = f"Information flow of {sizes} units, {flow.count:,} links, {silent.sum():,} units silent"
    return table(HEAD, rows, title=title, below=[*_features(layers, dag), *flow.notes()], names=2)


def _rows(layers: Sequence[Layer], dag: Dag, silent: Bool[np.ndarray, " unit"]) -> list[Row]:
    ends = np.cumsum(dag.sizes)[:-1]
    quiet, into, out = (
        [float(part.sum()) for part in np.split(values, ends)]
        for values in (silent, inflow(dag.sizes, dag.links), outflow(dag.sizes, dag.links))
    )
    most = max(*into, *out, 1e-300)
    return [
        [
            short(layer.name),
            short(layer.kind),
            f"{len(layer):,}",
            Cell(f"{quiet[index]:,.0f}", filled=quiet[index] / max(len(layer), 1)),
            Cell(f"{into[index]:.3f}", filled=into[index] / most),
            Cell(f"{out[index]:.3f}", filled=out[index] / most),
        ]
        for index, layer in enumerate(layers)
    ]


def _sizes(sizes: Sequence[int]) -> str:
    shown = [*map(str, sizes)]
    return "-".join(shown if len(shown) <= 8 else [*shown[:4], "…", *shown[-3:]])


def _features(layers: Sequence[Layer], dag: Dag) -> list[str]:
    """The features with the largest share of the attribution to all classes."""
    found: Float[np.ndarray, " feature"] = attribution(dag, of=np.ones((dag.sizes[-1], 1)))[:, 0]
    if found.sum() == 0:
        return ["No path from a feature to an output carries information."]
    names = [unit for layer in dag.features for unit in layers[layer].units]
    best = np.argsort(-found, kind="stable")[:MOST_FEATURES]
    shares = ", ".join(f"{short(names[index], 24)} {found[index] / found.sum():.1%}" for index in best)
    return [f"Most attribution: {shares}"]
