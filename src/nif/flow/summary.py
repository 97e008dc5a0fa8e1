"""A flow at a glance, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool

from nif.core.html import short, table
from nif.flow.communities import inflow, outflow
from nif.flow.paths import attribution

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_LAYERS, MOST_FEATURES = 24, 5
"""Rows that are shown; layers in the middle of a deeper network are left out."""


def html_table(flow: Flow, silent: Bool[np.ndarray, " unit"]) -> str:
    """One row for each layer, the features with most information, and how it was measured."""
    cells, bars = _layers(flow, silent)
    left_out = max(0, len(cells) - MOST_LAYERS)
    if left_out:
        half = MOST_LAYERS // 2
        gap = pd.DataFrame([[f"… {left_out} layers …"]], columns=cells.columns[:1])
        cells, bars = (
            pd.concat([rows[:half], middle, rows[-half:]], ignore_index=True)
            for rows, middle in ((cells, gap), (bars, pd.DataFrame(index=[0])))
        )
    links, sizes = flow.count, _sizes(flow.graph.sizes)
    title = f"Information flow of {sizes} units, {links:,} links, {silent.sum():,} units silent"
    below = [_features(flow), *flow.notes()]
    return table(cells.fillna(""), title=title, below=below, names=2, bars=bars.to_dict("list"))


def _layers(flow: Flow, silent: Bool[np.ndarray, " unit"]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells as text, and the fractions that are filled of those of some columns."""
    sizes = flow.graph.sizes
    first = np.cumsum([0, *sizes[:-1]])
    quiet, into, out = (
        np.add.reduceat(values, first)
        for values in (silent.astype(int), inflow(sizes, flow.links), outflow(sizes, flow.links))
    )
    most = max(into.max(), out.max(), 1e-300)
    cells = {
        "layer": [short(layer.name) for layer in flow.layers],
        "kind": [short(layer.kind) for layer in flow.layers],
        "units": [f"{size:,}" for size in sizes],
        "silent": [f"{count:,}" for count in quiet],
        "nats in": [f"{nats:.3f}" for nats in into],
        "nats out": [f"{nats:.3f}" for nats in out],
    }
    bars = {"silent": quiet / np.array(sizes), "nats in": into / most, "nats out": out / most}
    return pd.DataFrame(cells), pd.DataFrame(bars)


def _sizes(sizes: Sequence[int]) -> str:
    shown = [*map(str, sizes)]
    return "-".join(shown if len(shown) <= 8 else [*shown[:4], "…", *shown[-3:]])


def _features(flow: Flow) -> str:
    """The features with the largest share of the attribution to all classes."""
    dag = flow.graph
    total = attribution(dag, of=np.ones((dag.sizes[-1], 1)))[:, 0]
    if total.sum() == 0:
        return "No path from a feature to an output carries information."
    names = [unit for layer in dag.features for unit in flow.layers[layer].units]
    best = np.argsort(-total, kind="stable")[:MOST_FEATURES]
    shares = ", ".join(f"{short(names[index], 24)} {total[index] / total.sum():.1%}" for index in best)
    return f"Most attribution: {shares}"
