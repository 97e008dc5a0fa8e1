"""The result of a pruning: removed units, criterion and sizes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open
from torch import nn

from nif.core.errors import InputError
from nif.core.html import short, table
from nif.pruning.file import Shapes, save_pruned
from nif.pruning.removal import Kept
from nif.pruning.size import Size

KEY, OLD_KEY = "record", "told"
"""Of the record in the header of the file; the old one is that of nif 0.1."""

REMOVED, RESTORED = ["layer", "unit", "index", "how"], ["layer", "unit", "index", "reason"]


@dataclass(frozen=True, eq=False)
class PruningRecord:
    """The record of a pruning, read from its file; the attributes are those of `nif.Pruned`."""

    removed: pd.DataFrame
    restored: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...]

    @property
    def put_back(self) -> pd.DataFrame:
        """The name of `restored` in nif 0.1; it will be removed."""
        return self.restored


def as_text(pruned: Pruned) -> str:
    """The header entry that `read_record` reads."""
    return json.dumps(
        {
            "removed": pruned.removed[REMOVED].to_numpy().tolist(),
            "restored": pruned.restored[RESTORED].to_numpy().tolist(),
            "score": [pruned.score, float(pruned.score_before), float(pruned.score_after)],
            "sizes": [asdict(pruned.size_before), asdict(pruned.size_after)],
            "notes": pruned.notes,
        }
    )


def read_record(path: str | os.PathLike[str]) -> PruningRecord:
    """Read the record of a pruning from a file of `Pruned.save`: units, criterion and sizes, no weights.

    Raises:
        InputError: The file cannot be read, or contains no complete record.

    Example:
        >>> read_record("nowhere.safetensors")
        Traceback (most recent call last):
        nif.InputError: Cannot read nowhere.safetensors (No such file or directory: ...
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"Cannot read {Path(path)} ({error}); expected a file written by Pruned.save."
        ) from error
    text = header.get(KEY, header.get(OLD_KEY))
    if text is None:
        raise InputError(
            f"{Path(path)} has no pruning record; expected a file written by Pruned.save of nif 0.1 or later."
        )
    try:
        return _record(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"The pruning record of {Path(path)} is incomplete ({error}); prune the network again and "
            "save it."
        ) from error


def _record(entries: Mapping[str, Any]) -> PruningRecord:
    score, before, after = entries["score"]
    return PruningRecord(
        removed=pd.DataFrame(entries["removed"], columns=REMOVED),
        restored=pd.DataFrame(_restored(entries), columns=RESTORED),
        score_before=before,
        score_after=after,
        score=score,
        size_before=Size(**entries["sizes"][0]),
        size_after=Size(**entries["sizes"][1]),
        notes=tuple(entries["notes"]),
    )


def _restored(entries: Mapping[str, Any]) -> list[list[Any]]:
    return entries["restored"] if "restored" in entries else entries["put_back"]


MOST_LAYERS = 8


def html_table(pruned: Pruned) -> str:
    """Criterion and size before and after, the layers of removed units, and the notes."""
    before, after = asdict(pruned.size_before), asdict(pruned.size_after)
    left = {name: after[name] / before[name] if before[name] else 1.0 for name in _SIZES}
    digits = {name: ",.3g" if name == "milliseconds" else ",.0f" for name in _SIZES}
    change = f"{pruned.score_after - pruned.score_before:+.2g}"
    cells = {
        "": [pruned.score, *_SIZES.values()],
        "before": [f"{pruned.score_before:.4g}", *(f"{before[name]:{digits[name]}}" for name in _SIZES)],
        "after": [f"{pruned.score_after:.4g}", *(f"{after[name]:{digits[name]}}" for name in _SIZES)],
        "change": [change, *(f"{left[name] - 1:+.0%}" for name in _SIZES)],
    }
    bars = {"after": [0.0, *left.values()]}
    return table(pd.DataFrame(cells), title=_title(pruned), below=_below(pruned), bars=bars)


def _title(pruned: Pruned) -> str:
    zeroed = int((pruned.removed["how"] == "zeroed").sum())
    how = f" ({zeroed:,} of them zeroed)" if zeroed else ""
    return f"Pruned: {_units(len(pruned.removed))} removed{how}, {len(pruned.restored):,} restored"


def _units(number: int) -> str:
    return f"{number:,} unit{'' if number == 1 else 's'}"


def _below(pruned: Pruned) -> list[str]:
    removed = Counter(pruned.removed["layer"])
    parts = [f"{short(str(layer), 24)} {count:,}" for layer, count in removed.most_common(MOST_LAYERS)]
    more = [f"and {len(removed) - MOST_LAYERS} more layers"] if len(removed) > MOST_LAYERS else []
    return ([f"Removed from {', '.join([*parts, *more])}"] if parts else []) + list(pruned.notes)


_SIZES = {
    "parameters": "parameters",
    "flops": "operations per row",
    "bytes": "file, bytes",
    "milliseconds": "time per batch, ms",
}


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned network, the units removed from it, and the cost of their removal.

    Attributes:
        model: The pruned network, a torch module in the mode of the one passed in, which is unchanged.
        removed: One row for each removed unit: layer, unit, index, and how (``"cut"`` or ``"zeroed"``).
        restored: One row for each selected unit that was restored: layer, unit, index, reason.
        score_before: The criterion for the network passed in, on these data.
        score_after: The criterion for the pruned network on the same data.
        score: Name of the criterion: ``"accuracy"`` or ``"largest change of output"``.
        size_before: Parameters, operations, bytes and time of the network passed in.
        size_after: Those of the pruned network.
        notes: Remarks, for example why units were zeroed and not cut out.
        kept: For each tensor that became smaller, the indices kept along its axes.
        original: Shape of every tensor before.
    """

    model: nn.Module
    removed: pd.DataFrame
    restored: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...] = ()
    kept: Kept = field(default_factory=dict, repr=False)
    original: Shapes = field(default_factory=dict, repr=False)

    @property
    def put_back(self) -> pd.DataFrame:
        """The name of `restored` in nif 0.1; it will be removed."""
        return self.restored

    def table(self) -> pd.DataFrame:
        """Criterion and size of the network before and after, one row each."""
        columns = {
            "before": {self.score: self.score_before, **asdict(self.size_before)},
            "after": {self.score: self.score_after, **asdict(self.size_after)},
        }
        return pd.DataFrame(columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, kept indices and the record as one safetensors file; no class is pickled.

        `nif.shrink` reads the weights, ``nif report --pruned`` and `read_record` the record.

        Raises:
            InputError: The path cannot be written.
        """
        save_pruned(path, self.model, self.kept, self.original, {KEY: as_text(self)})

    def __repr__(self) -> str:
        zeroed = int((self.removed["how"] == "zeroed").sum())
        how = f" ({zeroed} of them zeroed)" if zeroed else ""
        before, after = self.size_before, self.size_after
        lines = [
            f"Pruned: {_units(len(self.removed))} removed{how}, {len(self.restored)} restored",
            f"  {self.score} {self.score_before:.4g} -> {self.score_after:.4g}",
            f"  parameters {before.parameters:,} -> {after.parameters:,}, "
            f"operations per row {before.flops:,} -> {after.flops:,}",
            f"  file {before.bytes:,} -> {after.bytes:,} bytes, "
            f"batch {before.milliseconds:.3g} -> {after.milliseconds:.3g} ms",
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_table(self)
