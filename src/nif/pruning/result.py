"""The result of a pruning: removed units, criterion and sizes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd
from torch import nn

from nif.core import schema
from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.files import other_ending
from nif.core.guesses import OF_PRUNED, no_attribute
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
TIMING = {"spread": real(0), "batch": whole(), "threads": whole()}

RECORD = record(
    {
        "removed": _UNITS,
        "score": row(schema.text, number, number),
        "sizes": row(record(SIZE, TIMING), record(SIZE, TIMING)),
        "notes": items(schema.text),
    },
    {"restored": _UNITS, "put_back": _UNITS, "held_out": row(number, number)},
)
"""The form of the record in the header; `put_back` is the name of `restored` in nif 0.1."""

MOST_LAYERS = 8

_SIZES = (
    ("parameters", "parameters", ",.0f"),
    ("flops", "operations per row", ",.0f"),
    ("bytes", "file, bytes", ",.0f"),
    ("milliseconds", "time per batch, ms", ",.3g"),
)
"""Fields of `Size`, their names in tables and their format."""


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
    held_out: tuple[float, float] | None = None

    @property
    def put_back(self) -> pd.DataFrame:
        """The name of `restored` in nif 0.1; it will be removed."""
        return self.restored

    def table(self) -> pd.DataFrame:
        """Criterion and size of the network before and after, one row each."""
        scores = dict(self._scores())
        sizes = {name: (getattr(self.size_before, name), getattr(self.size_after, name)) for name in SIZE}
        return pd.DataFrame({**scores, **sizes}, index=["before", "after"]).T

    def _scores(self) -> Iterator[tuple[str, tuple[float, float]]]:
        """The criterion before and after, on the rows of the choice and on those held out."""
        yield self.score, (self.score_before, self.score_after)
        if self.held_out is not None:
            yield f"held-out {self.score}", self.held_out

    def _as_text(self) -> str:
        """The header entry that `read_record` reads."""
        return json.dumps(
            {
                "removed": self.removed[REMOVED].to_numpy().tolist(),
                "restored": self.restored[RESTORED].to_numpy().tolist(),
                "score": [self.score, float(self.score_before), float(self.score_after)],
                "sizes": [asdict(self.size_before), asdict(self.size_after)],
                "notes": self.notes,
                **({} if self.held_out is None else {"held_out": list(map(float, self.held_out))}),
            }
        )

    def __repr__(self) -> str:
        before, after = self.size_before, self.size_after
        lines = [
            self._title(),
            *(f"{name} {old:.4g} -> {new:.4g}" for name, (old, new) in self._scores()),
            f"parameters {before.parameters:,} -> {after.parameters:,}, "
            f"operations per row {before.flops:,} -> {after.flops:,}",
            f"file {before.bytes:,} -> {after.bytes:,} bytes",
            self._times(),
        ]
        return "\n  ".join(map(visible, [*lines, *self.notes]))

    def _times(self) -> str:
        """Time of a batch before and after, with spreads; nothing is claimed where the size is the same."""
        before, after = self.size_before, self.size_after
        rows = f" of {before.batch} rows" if before.batch else ""
        threads = f", {before.threads} thread{'' if before.threads == 1 else 's'}" if before.threads else ""
        same = after == replace(before, bytes=after.bytes)
        times = f"{timed(before)} ms before and after" if same else f"{timed(before)} -> {timed(after)} ms"
        return f"batch{rows}{threads}: {times}"

    def _repr_html_(self) -> str:
        rows = [
            [name, f"{old:.4g}", f"{new:.4g}", f"{new - old:+.2g}"] for name, (old, new) in self._scores()
        ]
        fractions = [0.0] * len(rows)
        for name, label, digits in _SIZES:
            before, after = (float(getattr(size, name)) for size in (self.size_before, self.size_after))
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


def timed(size: Size) -> str:
    """Of a batch, with the spread where it is known.

    Example:
        >>> timed(Size(1, 2, 3, 0.5, 0.021)), timed(Size(1, 2, 3, 0.5))
        ('0.5 ± 0.02', '0.5')
    """
    return f"{size.milliseconds:.3g}" + (f" ± {size.spread:.1g}" if size.spread else "")


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
        held_out: The criterion on the rows held out, before and after; None if none were passed.
        kept: For each tensor that became smaller, the indices kept along its axes.
        original: Shape of every tensor before.
    """

    model: nn.Module
    kept: Kept = field(default_factory=dict)
    original: Shapes = field(default_factory=dict)

    if not TYPE_CHECKING:  # which then knows what a pruned network has

        def __getattr__(self, name: str) -> NoReturn:
            """Say what to write in place of a name that the result of a pruning does not have."""
            no_attribute("A pruning", name, OF_PRUNED, self)

    @checked_arguments()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, kept indices and the record as one safetensors file; no class is pickled.

        `nif.shrink` reads the weights, ``nif report --pruned`` and `read_record` the record.

        Raises:
            InputError: The path cannot be written, or its ending is not .safetensors.
        """
        if ending := other_ending(path):
            raise InputError(
                f"A pruning is written as safetensors, not as {ending}; pass a path such as "
                "'small.safetensors', or save small.model.state_dict() with torch.save."
            )
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
    fields = (*SIZE, *TIMING)
    sizes = [Size(**{name: size[name] for name in fields if name in size}) for size in entries["sizes"]]
    restored = entries["restored"] if "restored" in entries else entries.get("put_back", ())
    return PruningRecord(
        removed=pd.DataFrame(entries["removed"], columns=REMOVED),
        restored=pd.DataFrame(restored, columns=RESTORED),
        score_before=before,
        score_after=after,
        score=score,
        size_before=sizes[0],
        size_after=sizes[1],
        notes=entries["notes"],
        held_out=entries.get("held_out"),
    )
