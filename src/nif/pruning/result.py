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
from torch import nn

from nif.core import schema
from nif.core.errors import InputError
from nif.core.html import short, table
from nif.core.schema import items, number, read_json, real, record, row, whole
from nif.core.text import visible
from nif.pruning.file import Shapes, opened, save_pruned
from nif.pruning.removal import Kept
from nif.pruning.size import Size

KEY, OLD_KEY = "record", "told"
"""Of the record in the header of the file; the old one is that of nif 0.1."""

REMOVED, RESTORED = ["layer", "unit", "index", "how"], ["layer", "unit", "index", "reason"]

_UNITS = items(row(schema.text, schema.text, whole(), schema.text))

SIZE = {"parameters": whole(), "flops": whole(), "bytes": whole(), "milliseconds": real(0)}

RECORD = record(
    {
        "removed": _UNITS,
        "score": row(schema.text, number, number),
        "sizes": row(record(SIZE), record(SIZE)),
        "notes": items(schema.text),
    },
    {"restored": _UNITS, "put_back": _UNITS},
)
"""The form of the record in the header; `put_back` is the name of `restored` in nif 0.1."""

MOST_LAYERS = 8

_SIZES = (
    ("parameters", ",.0f"),
    ("operations per row", ",.0f"),
    ("file, bytes", ",.0f"),
    ("time per batch, ms", ",.3g"),
)
"""The fields of `Size` and their format."""


@dataclass(frozen=True, eq=False, repr=False)
class PruningRecord:
    """The record of a pruning, without the network; the attributes are those of `nif.Pruned`."""

    removed: pd.DataFrame
    restored: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...] = ()

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

    def _as_text(self) -> str:
        """The header entry that `read_record` reads."""
        return json.dumps(
            {
                "removed": self.removed[REMOVED].to_numpy().tolist(),
                "restored": self.restored[RESTORED].to_numpy().tolist(),
                "score": [self.score, float(self.score_before), float(self.score_after)],
                "sizes": [asdict(self.size_before), asdict(self.size_after)],
                "notes": self.notes,
            }
        )

    def __repr__(self) -> str:
        before, after = self.size_before, self.size_after
        lines = [
            self._title(),
            f"{self.score} {self.score_before:.4g} -> {self.score_after:.4g}",
            f"parameters {before.parameters:,} -> {after.parameters:,}, "
            f"operations per row {before.flops:,} -> {after.flops:,}",
            f"file {before.bytes:,} -> {after.bytes:,} bytes, "
            f"batch {before.milliseconds:.3g} -> {after.milliseconds:.3g} ms",
        ]
        return "\n  ".join(map(visible, [*lines, *self.notes]))

    def _repr_html_(self) -> str:
        change = f"{self.score_after - self.score_before:+.2g}"
        rows = [[self.score, f"{self.score_before:.4g}", f"{self.score_after:.4g}", change]]
        fractions = [0.0]
        for (label, digits), (before, after) in zip(_SIZES, self.table().to_numpy()[1:], strict=True):
            fractions.append(after / before if before else 1.0)
            rows.append([label, f"{before:{digits}}", f"{after:{digits}}", f"{fractions[-1] - 1:+.0%}"])
        cells = pd.DataFrame(rows, columns=["", "before", "after", "change"])
        return table(cells, title=self._title(), below=self._below(), bars={"after": fractions})

    def _title(self) -> str:
        zeroed = int((self.removed["how"] == "zeroed").sum())
        how = f" ({zeroed:,} of them zeroed)" if zeroed else ""
        units = f"{len(self.removed):,} unit{'' if len(self.removed) == 1 else 's'}"
        return f"Pruned: {units} removed{how}, {len(self.restored):,} restored"

    def _below(self) -> list[str]:
        removed = Counter(self.removed["layer"])
        parts = [f"{short(str(layer), 24)} {count:,}" for layer, count in removed.most_common(MOST_LAYERS)]
        more = [f"and {len(removed) - MOST_LAYERS} more layers"] if len(removed) > MOST_LAYERS else []
        return ([f"Removed from {', '.join([*parts, *more])}"] if parts else []) + list(self.notes)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Pruned(PruningRecord):
    """A pruned network, the units removed from it, and the cost of their removal.

    Attributes:
        model: The pruned network, a torch module in the mode of the one passed in, which is unchanged.
        removed: One row for each removed unit: layer, unit, index, and how (``"cut"`` or ``"zeroed"``).
        restored: One row for each selected unit that was restored: layer, unit, index, reason.
        score_before: The criterion for the network passed in, on these data.
        score_after: The criterion for the pruned network on the same data.
        score: Name of the criterion, such as ``"accuracy"`` or ``"largest change of output"``.
        size_before: Parameters, operations, bytes and time of the network passed in.
        size_after: Those of the pruned network.
        notes: Remarks, for example why units were zeroed and not cut out.
        kept: For each tensor that became smaller, the indices kept along its axes.
        original: Shape of every tensor before.
    """

    model: nn.Module
    kept: Kept = field(default_factory=dict)
    original: Shapes = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, kept indices and the record as one safetensors file; no class is pickled.

        `nif.shrink` reads the weights, ``nif report --pruned`` and `read_record` the record.

        Raises:
            InputError: The path cannot be written.
        """
        save_pruned(path, self.model, self.kept, self.original, {KEY: self._as_text()})


def read_record(path: str | os.PathLike[str]) -> PruningRecord:
    """Read the record of a pruning from a file of `Pruned.save`: units, criterion and sizes, no weights.

    Raises:
        InputError: The file cannot be read, or contains no complete record.

    Example:
        >>> read_record("nowhere.safetensors")
        Traceback (most recent call last):
        nif.InputError: Cannot read nowhere.safetensors (No such file or directory: ...
    """
    with opened(path) as file:
        header = file.metadata() or {}
    text = header.get(KEY, header.get(OLD_KEY))
    if text is None:
        raise InputError(
            f"{Path(path)} has no pruning record; expected a file written by Pruned.save of nif 0.1 or later."
        )
    try:
        return _record(read_json(text, RECORD, "record"))
    except InputError as error:
        raise InputError(
            f"The pruning record of {Path(path)} is incomplete ({error}); prune the network again and "
            "save it."
        ) from error


def _record(entries: Mapping[str, Any]) -> PruningRecord:
    score, before, after = entries["score"]
    restored = entries["restored"] if "restored" in entries else entries.get("put_back", ())
    return PruningRecord(
        removed=pd.DataFrame(entries["removed"], columns=REMOVED),
        restored=pd.DataFrame(restored, columns=RESTORED),
        score_before=before,
        score_after=after,
        score=score,
        size_before=Size(**{name: entries["sizes"][0][name] for name in SIZE}),
        size_after=Size(**{name: entries["sizes"][1][name] for name in SIZE}),
        notes=entries["notes"],
    )
