"""The pruning of a network, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from nif.core.errors import InputError
from nif.core.types import Layer

if TYPE_CHECKING:
    from nif.pruning.result import Pruned, PruningRecord

    Removal: TypeAlias = Pruned | PruningRecord


def pruning_content(pruned: Removal, layers: Sequence[Layer]) -> dict[str, Any]:
    """Rows of sizes and scores, and the indices, over all layers, of units that were removed or restored.

    Raises:
        InputError: A unit is not in this flow: the pruning belongs to another network.
    """
    return {
        "cost": _size_rows(pruned),
        "removed": _units(pruned.removed, layers),
        "how": [str(how) for how in pruned.removed["how"]],
        "restored": _units(pruned.restored, layers),
        "reasons": [str(reason) for reason in pruned.restored["reason"]],
        "notes": list(pruned.notes),
    }


def _size_rows(pruned: Removal) -> list[list[str]]:
    """Name, before, after, change, as text: of the criterion, also on rows held out, and of sizes."""
    from nif.pruning.result import SIZE, timed  # which loads torch, as the pruning has

    before, after = pruned.size_before, pruned.size_after
    scores = pruned.table().drop(index=list(SIZE)).astype(float)
    sizes = [
        ("parameters", before.parameters, after.parameters, ","),
        ("operations per row", before.flops, after.flops, ","),
        ("bytes of the file", before.bytes, after.bytes, ","),
    ]
    rows_timed = f" of {before.batch:,} rows" if before.batch else ""
    time = [f"milliseconds per batch{rows_timed}", timed(before), timed(after)]
    rows = ([name, f"{old:{form}}", f"{new:{form}}", _share(old, new)] for name, old, new, form in sizes)
    change = _share(before.milliseconds, after.milliseconds)
    spread = before.spread + after.spread
    if spread and abs(after.milliseconds - before.milliseconds) <= spread:
        change = "within the spread"
    return [*(_score_row(str(name), *row) for name, row in scores.iterrows()), *rows, [*time, change]]


def _score_row(name: str, before: float, after: float) -> list[str]:
    """
    Example:
        >>> _score_row("accuracy", 0.97, 0.95)
        ['accuracy', '0.97', '0.95', '\u22120.02']
    """
    return [name, f"{before:.4g}", f"{after:.4g}", _signed(f"{after - before:+.2g}")]


def _share(before: float, after: float) -> str:
    """
    Example:
        >>> _share(200, 150), _share(8, 8), _share(0, 0)
        ('\u221225 %', '0 %', '')
    """
    change = round(100 * (after / before - 1)) if before else 0
    return _signed(f"{change:+d} %") if before else ""


def _signed(text: str) -> str:
    """With a minus as wide as the plus, and no sign for 0."""
    return text.removeprefix("+") if text in ("+0", "+0 %") else text.replace("-", "\N{MINUS SIGN}", 1)


def _units(rows: pd.DataFrame, layers: Sequence[Layer]) -> list[int]:
    sizes = np.cumsum([0, *map(len, layers)]).tolist()
    first = dict(zip((layer.name for layer in layers), sizes, strict=False))
    names = {layer.name: layer.units for layer in layers}
    units = []
    for layer, unit, index in zip(rows["layer"], rows["unit"], rows["index"], strict=True):
        if layer not in names or not 0 <= index < len(names[layer]) or names[layer][index] != unit:
            raise InputError(
                f"The pruning lists unit {unit!r} of layer {layer!r}, which this flow does not have; pass "
                "the result of pruning the network that this flow was measured on."
            )
        units.append(first[layer] + int(index))
    return units
