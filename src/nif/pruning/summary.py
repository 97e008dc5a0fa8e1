"""A pruned network at a glance, for notebooks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nif.notebook.markup import Cell, Row, short, table

if TYPE_CHECKING:
    from nif.pruning.pruned import Pruned

MOST_LAYERS = 8


def html_table(pruned: Pruned) -> str:
    """Score and size before and after, where units went, and what there is to say."""
    before, after = pruned.size_before, pruned.size_after
    rows: list[Row] = [
        [
            pruned.score,
            f"{pruned.score_before:.4g}",
            Cell(f"{pruned.score_after:.4g}", strong=True),
            f"{pruned.score_after - pruned.score_before:+.2g}",
        ]
    ]
    for name, shown in _SIZES.items():
        old, new = float(getattr(before, name)), float(getattr(after, name))
        digits = ",.3g" if name == "milliseconds" else ",.0f"
        left = new / old if old else 1.0
        rows.append([shown, f"{old:{digits}}", Cell(f"{new:{digits}}", filled=left), f"{left - 1:+.0%}"])
    return table(["", "before", "after", "change"], rows, title=_title(pruned), below=_below(pruned))


def _title(pruned: Pruned) -> str:
    zeroed = int((pruned.removed["how"] == "zeroed").sum())
    how = f" ({zeroed:,} of them zeroed)" if zeroed else ""
    return f"Pruned: {len(pruned.removed):,} units removed{how}, {len(pruned.put_back):,} put back"


def _below(pruned: Pruned) -> list[str]:
    gone = Counter(pruned.removed["layer"])
    parts = [f"{short(str(layer), 24)} {count:,}" for layer, count in gone.most_common(MOST_LAYERS)]
    more = [f"and {len(gone) - MOST_LAYERS} layers more"] if len(gone) > MOST_LAYERS else []
    return ([f"Removed from {', '.join([*parts, *more])}"] if parts else []) + list(pruned.notes)


_SIZES = {
    "parameters": "parameters",
    "flops": "operations a row",
    "bytes": "file, bytes",
    "milliseconds": "time of a batch, ms",
}
