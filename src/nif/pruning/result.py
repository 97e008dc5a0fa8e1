"""A pruned network: removed units, scores and sizes."""

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

KEY = "told"
"""In the header of the file."""


REMOVED, PUT_BACK = ["layer", "unit", "index", "how"], ["layer", "unit", "index", "reason"]


@dataclass(frozen=True, eq=False)
class PruningRecord:
    """What `nif.Pruned` says, read from its file; the attributes are those of `nif.Pruned`."""

    removed: pd.DataFrame
    put_back: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...]


def as_text(pruned: Pruned) -> str:
    """The header entry that `read_record` reads."""
    return json.dumps(
        {
            "removed": pruned.removed[REMOVED].to_numpy().tolist(),
            "put_back": pruned.put_back[PUT_BACK].to_numpy().tolist(),
            "score": [pruned.score, float(pruned.score_before), float(pruned.score_after)],
            "sizes": [asdict(pruned.size_before), asdict(pruned.size_after)],
            "notes": pruned.notes,
        }
    )


def read_record(path: str | os.PathLike[str]) -> PruningRecord:
    """Read what a file of `Pruned.save` tells: units, scores, sizes. The weights stay where they are.

    Raises:
        InputError: The file can not be read, or no pruning is told of in it.

    Example:
        >>> read_record("nowhere.safetensors")
        Traceback (most recent call last):
        nif.InputError: nowhere.safetensors can not be read (No such file or directory: ...
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{Path(path)} can not be read ({error}); expected a file that Pruned.save wrote."
        ) from error
    if KEY not in header:
        raise InputError(
            f"{Path(path)} does not say what was pruned; expected a file that Pruned.save of this nif wrote."
        )
    try:
        return _told(json.loads(header[KEY]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{Path(path)} does not tell the whole of what was pruned ({error}); prune the network again."
        ) from error


def _told(found: Mapping[str, Any]) -> PruningRecord:
    score, before, after = found["score"]
    return PruningRecord(
        removed=pd.DataFrame(found["removed"], columns=REMOVED),
        put_back=pd.DataFrame(found["put_back"], columns=PUT_BACK),
        score_before=before,
        score_after=after,
        score=score,
        size_before=Size(**found["sizes"][0]),
        size_after=Size(**found["sizes"][1]),
        notes=tuple(found["notes"]),
    )


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


@dataclass(frozen=True, eq=False)
class Pruned:
    """A network made smaller, what went, and what it cost.

    Attributes:
        model: The pruned network, a torch module in the mode of the one passed in, which is as it was.
        removed: One row for each removed unit: layer, unit, index, and how (``"cut"`` or ``"zeroed"``).
        put_back: One row for each unit that was to go and stayed: layer, unit, index, reason.
        score_before: Score of the network passed in, on the data given.
        score_after: Score of the pruned network on the same data.
        score: What the score is: ``"accuracy"``, or ``"largest change of output"``.
        size_before: Parameters, operations, bytes and time of the network passed in.
        size_after: Those of the pruned network.
        notes: What there is to say, for example why units were zeroed and not cut out.
        kept: For each tensor that became smaller, the indices kept along its axes.
        original: Shape of every tensor before.
    """

    model: nn.Module
    removed: pd.DataFrame
    put_back: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    size_before: Size
    size_after: Size
    notes: tuple[str, ...] = ()
    kept: Kept = field(default_factory=dict, repr=False)
    original: Shapes = field(default_factory=dict, repr=False)

    def table(self) -> pd.DataFrame:
        """Score and size of the network before and after, one row each."""
        columns = {
            "before": {self.score: self.score_before, **asdict(self.size_before)},
            "after": {self.score: self.score_after, **asdict(self.size_after)},
        }
        return pd.DataFrame(columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, kept indices and what was done as one safetensors file; no class is pickled.

        `nif.shrink` reads the weights, ``nif report --pruned`` what was done.

        Raises:
            InputError: The path can not be written.
        """
        save_pruned(path, self.model, self.kept, self.original, {KEY: as_text(self)})

    def __repr__(self) -> str:
        zeroed = int((self.removed["how"] == "zeroed").sum())
        how = f" ({zeroed} of them zeroed)" if zeroed else ""
        before, after = self.size_before, self.size_after
        lines = [
            f"Pruned: {len(self.removed)} units removed{how}, {len(self.put_back)} put back",
            f"  {self.score} {self.score_before:.4g} -> {self.score_after:.4g}",
            f"  parameters {before.parameters:,} -> {after.parameters:,}, "
            f"operations a row {before.flops:,} -> {after.flops:,}",
            f"  file {before.bytes:,} -> {after.bytes:,} bytes, "
            f"batch {before.milliseconds:.3g} -> {after.milliseconds:.3g} ms",
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return html_table(self)
