"""A training run at a glance, for notebooks."""

from __future__ import annotations

from nif.notebook.markup import Cell, Row, short, table
from nif.watch.snapshot import Snapshot

MOST_LAYERS = 24


def html_table(title: str, seen: dict[int, Snapshot]) -> str:
    """What the layers were at the first epoch measured and are at the last."""
    if not seen:
        return table([], [], title=title)
    first, last = (seen[epoch].table() for epoch in (min(seen), max(seen)))
    most = max(float(last["inflow"].max()), 1e-300)
    rows: list[Row] = [
        [
            short(str(name)),
            f"{units:,}",
            f"{before:.3f}",
            Cell(f"{after:.3f}", filled=after / most),
            f"{awake:,}",
            Cell(f"{quiet:,}", filled=quiet / units),
        ]
        for name, units, before, after, awake, quiet in zip(
            last["layer"],
            last["units"],
            first["inflow"],
            last["inflow"],
            first["silent"],
            last["silent"],
            strict=True,
        )
    ]
    left_out = len(rows) - MOST_LAYERS
    below = [f"{left_out:,} more layers are in table()"] if left_out > 0 else []
    head = ["layer", "units"]
    head += [f"{what}, epoch {epoch}" for what in ("nats in", "silent") for epoch in (min(seen), max(seen))]
    below += [f"Modularity {seen[min(seen)].modularity:.3f}, then {seen[max(seen)].modularity:.3f}"]
    return table(head, rows[:MOST_LAYERS], title=title, below=below)
