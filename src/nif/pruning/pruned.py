"""The result of pruning."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pandas as pd
from torch import nn


@dataclass(frozen=True, eq=False)
class Pruned:
    """A network made smaller, what went, and what it cost.

    Attributes:
        model: The pruned network, a torch module; the one passed in is as it was.
        removed: One row for each removed unit: layer, unit, index, and how (``"cut"`` or ``"zeroed"``).
        put_back: One row for each unit that was to go and stayed, with the reason.
        score_before: Score of the network passed in, on the data given.
        score_after: Score of the pruned network on the same data.
        score: What the score is: accuracy, or the largest change of output.
        notes: What there is to say, for example why units were zeroed and not cut out.
    """

    model: nn.Module
    removed: pd.DataFrame
    put_back: pd.DataFrame
    score_before: float
    score_after: float
    score: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def lines(self) -> list[str]:
        """What was done, for a reader."""
        zeroed = int((self.removed["how"] == "zeroed").sum())
        said = f"Pruned({len(self.removed)} units removed" + (f", {zeroed} of them zeroed" if zeroed else "")
        said += f", {len(self.put_back)} put back)"
        return [
            said,
            f"{self.score}: {self.score_before:.4g} before, {self.score_after:.4g} after",
            *self.notes,
        ]
