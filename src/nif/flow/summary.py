"""A flow at a glance, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nif.core.html import short, table

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_LAYERS, MOST_FEATURES = 24, 5
"""Rows that are shown; layers in the middle of a deeper network are left out."""


def html_table(flow: Flow) -> str:
    """One row for each layer, the features with most information, and how it was measured."""
    cells, bars = _layers(flow)
    left_out = max(0, len(cells) - MOST_LAYERS)
    if left_out:
        half = MOST_LAYERS // 2
        gap = pd.DataFrame([[f"… {left_out} layers …"]], columns=cells.columns[:1])
        cells, bars = (
            pd.concat([rows[:half], middle, rows[-half:]], ignore_index=True)
            for rows, middle in ((cells, gap), (bars, pd.DataFrame(index=[0])))
        )
    sizes = list(map(str, flow.graph.sizes))
    widths = "-".join(sizes if len(sizes) <= 8 else [*sizes[:4], "…", *sizes[-3:]])
    silent = flow.by_unit.silent().sum()
    title = f"Information flow of {widths} units, {flow.count:,} links, {silent:,} units silent"
    below = [_features(flow), *flow.notes()]
    return table(cells.fillna(""), title=title, below=below, names=2, bars=bars.to_dict("list"))


def _layers(flow: Flow) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells as text, and the fractions that are filled of those of some columns."""
    rows = flow.by_unit.by_layer()
    into, out = rows["inflow"], rows["outflow"]
    most = max(into.max(), out.max(), 1e-300)
    cells = {
        "layer": rows["layer"].map(short),
        "kind": [short(layer.kind) for layer in flow.layers],
        "units": rows["units"].map("{:,}".format),
        "silent": rows["silent"].map("{:,}".format),
        "nats in": into.map("{:.3f}".format),
        "nats out": out.map("{:.3f}".format),
    }
    bars = {"silent": rows["silent"] / rows["units"], "nats in": into / most, "nats out": out / most}
    return pd.DataFrame(cells), pd.DataFrame(bars)


def _features(flow: Flow) -> str:
    """The features with the largest share of the attribution to all classes."""
    shares = flow.shares()["share"]
    if not shares.any():
        return "No path from a feature to an output carries information."
    best = shares.sort_values(ascending=False, kind="stable")[:MOST_FEATURES]
    listed = ", ".join(f"{short(str(name), 24)} {share:.1%}" for name, share in best.items())
    return f"Most attribution: {listed}"
