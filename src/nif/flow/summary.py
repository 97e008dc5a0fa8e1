"""A flow at a glance, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nif.core.html import short, table
from nif.flow.headline import AGAINST
from nif.flow.neurons import ALPHA

if TYPE_CHECKING:
    from nif.flow.flow import Flow

INFORMATION = "I(X; Y)"
"""What a total is, if nothing else is said."""

MOST_LAYERS, MOST_FEATURES = 24, 5
"""Rows that are shown; layers in the middle of a deeper network are left out."""


def first_line(flow: Flow) -> str:
    """Sizes, links and silent units."""
    sizes, silent = flow.graph.sizes, flow.by_unit.silent().sum()
    widths = "-".join(map(str, sizes))
    kind = "Flow" if flow.currents is None else "Currents"
    return f"{kind} of {widths} units: {flow.count} links, {silent} of {sum(sizes)} units silent at {ALPHA}"


def of_currents(flow: Flow) -> list[str]:
    """The total, the decision and the backgrounds; nothing of association."""
    if flow.currents is None:
        return []
    options, name = flow.measurement.options, flow.measurement.options.get("total_is", INFORMATION)
    total = f"{flow.currents.total} about {options['decision']}"
    kind = "" if name == INFORMATION else f": {name}"
    backgrounds = f"; {options['backgrounds']} backgrounds a row" if "backgrounds" in options else ""
    return [total + kind + backgrounds]


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
    kind = "Information flow" if flow.currents is None else "Currents"
    title = f"{kind} of {widths} units, {flow.count:,} links, {silent:,} units silent"
    below = [_features(flow), *flow.notes()]
    return table(cells.fillna(""), title=title, below=below, names=2, bars=bars.to_dict("list"))


def _layers(flow: Flow) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cells as text, and the fractions that are filled of those of some columns."""
    rows = flow.by_unit.by_layer()
    sums = {"nats in": rows["inflow"], "nats out": rows["outflow"]}
    if flow.currents is not None:
        above, below = flow.by_unit.by_sign()
        sums = {"nats for": pd.Series(above), "against": pd.Series(below)}
    most = max(*(float(nats.abs().max()) for nats in sums.values()), 1e-300)
    cells = {
        "layer": rows["layer"].map(short),
        "kind": [short(layer.kind) for layer in flow.layers],
        "units": rows["units"].map("{:,}".format),
        "silent": rows["silent"].map("{:,}".format),
        **{name: nats.map("{:.3f}".format) for name, nats in sums.items()},
    }
    bars = {"silent": rows["silent"] / rows["units"]} | {
        name: nats.abs() / most for name, nats in sums.items()
    }
    return pd.DataFrame(cells), pd.DataFrame(bars)


def _features(flow: Flow) -> str:
    """The features with the largest share of the attribution to all classes, or of the total."""
    shares = flow.shares()["share"]
    if not shares.any():
        return "No path from a feature to an output carries information."
    best = shares.loc[shares.abs().sort_values(ascending=False, kind="stable").index[:MOST_FEATURES]]
    listed = ", ".join(f"{short(str(name), 24)} {share:.1%}" for name, share in best.items())
    against = f". {AGAINST}" if (best < 0).any() else ""
    return f"{'Most attribution' if flow.currents is None else 'Largest currents'}: {listed}{against}"
