"""What a pruning did, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from nif.core.errors import InputError
from nif.core.types import Layer


@runtime_checkable
class Cost(Protocol):
    """Size and speed of a network; see `nif.pruning.size.Size`."""

    @property
    def parameters(self) -> int: ...
    @property
    def flops(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def milliseconds(self) -> float: ...


@runtime_checkable
class Removal(Protocol):
    """The record that `nif.Pruned` has of its removal, and `nif.pruning.PruningRecord` of a saved one."""

    @property
    def removed(self) -> pd.DataFrame: ...
    @property
    def put_back(self) -> pd.DataFrame: ...
    @property
    def score(self) -> str: ...
    @property
    def score_before(self) -> float: ...
    @property
    def score_after(self) -> float: ...
    @property
    def size_before(self) -> Cost: ...
    @property
    def size_after(self) -> Cost: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


def told(pruned: Removal, layers: Sequence[Layer]) -> dict[str, Any]:
    """Rows of what it costs, and the numbers of the units, through all layers, that went or were put back.

    Raises:
        InputError: A unit is not in this flow: the pruning belongs to another network.
    """
    return {
        "cost": _cost(pruned),
        "removed": _units(pruned.removed, layers),
        "how": [str(how) for how in pruned.removed["how"]],
        "put_back": _units(pruned.put_back, layers),
        "reasons": [str(reason) for reason in pruned.put_back["reason"]],
        "notes": list(pruned.notes),
    }


def _cost(pruned: Removal) -> list[list[str]]:
    """What, before, after, change; as text."""
    before, after = pruned.size_before, pruned.size_after
    change = pruned.score_after - pruned.score_before
    scores = [f"{pruned.score_before:.4g}", f"{pruned.score_after:.4g}", _signed(f"{change:+.2g}")]
    sizes = [
        ("parameters", before.parameters, after.parameters),
        ("operations a row", before.flops, after.flops),
        ("bytes of the file", before.bytes, after.bytes),
    ]
    return [
        [pruned.score, *scores],
        *([name, f"{old:,}", f"{new:,}", _share(old, new)] for name, old, new in sizes),
        [
            "milliseconds a batch",
            f"{before.milliseconds:.3g}",
            f"{after.milliseconds:.3g}",
            _share(before.milliseconds, after.milliseconds),
        ],
    ]


def _share(before: float, after: float) -> str:
    """
    Example:
        >>> _share(200, 150), _share(8, 8), _share(0, 0)
        ('\u221225 %', '0 %', '')
    """
    change = round(100 * (after / before - 1)) if before else 0
    return _signed(f"{change:+d} %") if before else ""


def _signed(text: str) -> str:
    """With a minus as wide as the plus, and no sign of nothing."""
    return text.removeprefix("+") if text in ("+0", "+0 %") else text.replace("-", "\N{MINUS SIGN}", 1)


def _units(rows: pd.DataFrame, layers: Sequence[Layer]) -> list[int]:
    first = dict(
        zip((each.name for each in layers), np.cumsum([0, *map(len, layers)]).tolist(), strict=False)
    )
    names = {each.name: each.units for each in layers}
    found = []
    for layer, unit, index in zip(rows["layer"], rows["unit"], rows["index"], strict=True):
        if layer not in names or not 0 <= index < len(names[layer]) or names[layer][index] != unit:
            raise InputError(
                f"The pruning tells of {unit!r} in layer {layer!r}, which this flow does not have; give the "
                "result of pruning the network that this flow was measured on."
            )
        found.append(first[layer] + int(index))
    return found
