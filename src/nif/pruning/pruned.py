"""The result of pruning."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field

import pandas as pd
from torch import nn

from nif.pruning.removal import Kept
from nif.pruning.size import Size
from nif.pruning.storage import Shapes, save_pruned
from nif.pruning.summary import html_table
from nif.pruning.told import KEY, as_text


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
