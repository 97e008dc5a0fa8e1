"""What the page needs beside units and links to draw currents as ribbons; see `nif.plots.sankey`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nif.plots.sankey_layout import MOST_UNITS, SankeyLayout, sankey_layout, stderr_together

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_BARS = 120
"""Of all layers together, about: a deep network has fewer of each."""

FEWEST_UNITS = 4


def sankey_content(flow: Flow, left_out: int) -> dict[str, Any]:
    """Columns of layers, units with a bar of their own, and errors of bars of several units.

    Args:
        flow: Of currents.
        left_out: Links that are not in the page. The ribbons of the first picture are then sent, as the page
            cannot add them up from its links.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        >>> found = sankey_content(nif.measure(net, torch.randn(40, 3), progress=False), 0)
        >>> found["columns"], found["alone"], found["ribbons"]
        ([0, 1, 2], [[0, 1, 2], [0, 1, 2, 3], [0]], None)
    """
    assert flow.currents is not None
    most = int(np.clip(MOST_BARS // len(flow.layers), FEWEST_UNITS, MOST_UNITS))
    layout = sankey_layout(flow, most=most)
    alone: list[list[int]] = [[] for _ in flow.layers]
    columns, rest = [0] * len(flow.layers), [0.0] * len(flow.layers)
    for bar in layout.bars:
        columns[bar.layer] = bar.column
        if len(bar.units) == 1:
            alone[bar.layer] += bar.units
        else:
            rest[bar.layer] = bar.stderr
    return {
        "columns": columns,
        "most": most,
        "alone": alone,
        "rest_stderr": [known(stderr) for stderr in rest],
        "community_stderr": _of_communities(flow),
        "ribbons": _ribbons(layout) if left_out else None,
    }


def _of_communities(flow: Flow) -> list[dict[str, float | None]]:
    """Standard error of the current of each community of each layer."""
    assert flow.currents is not None
    labels = flow.by_unit.split(flow.communities.label)
    return [
        {
            str(label): known(stderr_together(units, np.flatnonzero(of_layer == label)))
            for label in np.unique(of_layer).tolist()
        }
        for units, of_layer in zip(flow.currents.units, labels, strict=True)
    ]


def _ribbons(layout: SankeyLayout) -> list[list[float | None]]:
    """Bars at both ends, nats, and the error of a single link."""
    return [[one.source, one.target, one.nats, known(one.stderr)] for one in layout.ribbons]


def known(stderr: float) -> float | None:
    """None where it is not: JSON has no NaN."""
    return float(stderr) if np.isfinite(stderr) else None
