"""The numbers of the Sankey diagram of the page: those of `nif.plots.sankey`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nif.plots.sankey_layout import MOST_UNITS, sankey_layout

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_BARS = 120
"""Of all layers together, about: a deep network has fewer of each."""

FEWEST_UNITS = 4

DIGITS = 5
"""Of heights: a hundredth of a pixel."""


def ribbons(flow: Flow) -> dict[str, Any]:
    """Bars and ribbons with their nats and errors (None if unknown), and their places from 0 to 1.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        >>> found = ribbons(nif.measure(net, torch.randn(100, 3), progress=False))
        >>> len(found["bars"]), found["columns"]
        (8, ['input', '1', 'output'])
    """
    most = int(np.clip(MOST_BARS // len(flow.layers), FEWEST_UNITS, MOST_UNITS))
    layout = sankey_layout(flow, most=most)
    bars = [
        {
            "layer": bar.layer,
            "unit": bar.units[0] if len(bar.units) == 1 else None,
            "name": bar.name,
            "column": bar.column,
            "base": round(bar.base, DIGITS),
            "top": round(bar.base + bar.nats * layout.scale, DIGITS),
            "span": _rounded(bar.span),
            "nats": bar.nats,
            "stderr": _known(bar.stderr),
            "sums": [*bar.into, *bar.out],
        }
        for bar in layout.bars
    ]
    links = [
        {
            "source": ribbon.source,
            "target": ribbon.target,
            "nats": ribbon.nats,
            "stderr": _known(ribbon.stderr),
            "spans": [_rounded(span) for span in ribbon.spans],
        }
        for ribbon in layout.ribbons
    ]
    columns = [" · ".join(flow.layers[layer].name for layer in column) for column in layout.columns]
    return {"bars": bars, "ribbons": links, "columns": columns}


def _rounded(span: tuple[float, float]) -> list[float]:
    return [round(end, DIGITS) for end in span]


def _known(stderr: float) -> float | None:
    return float(stderr) if np.isfinite(stderr) else None
