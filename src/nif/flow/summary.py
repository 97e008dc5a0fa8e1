"""A flow at a glance, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from nif.contracts import Layer, Links
from nif.flow.measurement import Measurement
from nif.structure import inflow, outflow

HEAD = ("layer", "kind", "units", "silent", "nats in", "nats out")


def html_table(
    layers: Sequence[Layer],
    links: Sequence[Links],
    silent: Bool[np.ndarray, " unit"],
    measurement: Measurement,
) -> str:
    """One row for each layer, and how it was measured; names are shown as text, whatever they hold."""
    sizes = tuple(map(len, layers))
    ends = np.cumsum(sizes)[:-1]
    sums = [
        [float(part.sum()) for part in np.split(values, ends)]
        for values in (silent, inflow(sizes, links), outflow(sizes, links))
    ]
    rows = [
        _row("td", [layer.name, layer.kind, str(len(layer)), f"{quiet:.0f}", f"{into:.3f}", f"{out:.3f}"])
        for layer, quiet, into, out in zip(layers, *sums, strict=True)
    ]
    caption = "<br>".join(map(html.escape, measurement.lines()))
    return (
        f"<table><caption style='text-align:left;caption-side:bottom'>{caption}</caption>"
        f"<thead>{_row('th', HEAD)}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(cell: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in texts) + "</tr>"
