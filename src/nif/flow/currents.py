"""The tables of a flow of currents: what units and features carry of the total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import stdtrit

from nif.core.errors import InputError
from nif.core.types import CurrentTables
from nif.flow.significance import p_values

CARRIES_NOTHING = 1e-3
"""Part of the total below which the absolute current of a unit counts as none."""


@dataclass(frozen=True, eq=False)
class UnitTable:
    """The currents of all units, layer after layer."""

    tables: CurrentTables

    def column(self, name: str) -> Float[np.ndarray, " unit"]:
        """One of the arrays of `nif.core.types.UnitCurrents`."""
        return np.concatenate([getattr(units, name) for units in self.tables.units])

    @property
    def share(self) -> Float[np.ndarray, " unit"]:
        """Of the total; may be negative."""
        total = self.tables.total.nats
        return self.column("nats") / total if total != 0 else np.zeros(len(self.column("nats")))

    @property
    def p_values(self) -> Float[np.ndarray, " unit"]:
        """Two-sided, of a mean of 0, by Student's t."""
        return p_values(self.column("nats"), self.column("stderr"), self.tables.degrees)

    def silent(self, alpha: float) -> Bool[np.ndarray, " unit"]:
        """Whether the absolute current is shown to be less than a thousandth of the total.

        A unit that speaks for the decision on some rows and against it on others is not silent, although its
        mean current may be 0.
        """
        if self.tables.degrees < 1:  # no error is known
            return self.column("absolute") == 0
        quantile = stdtrit(self.tables.degrees, 1 - alpha)
        bound = self.column("absolute") + quantile * self.column("absolute_stderr")
        return bound <= CARRIES_NOTHING * abs(self.tables.total.nats)


def of_features(tables: CurrentTables, features: Sequence[int], name: str) -> np.ndarray | None:
    """``"deviations"`` or ``"rows"`` of all features, side by side; None if some are unknown."""
    parts = [getattr(tables.units[layer], name) for layer in features]
    return None if any(part is None for part in parts) else np.concatenate(parts, axis=1)


def shares(tables: CurrentTables, features: int) -> pd.DataFrame:
    """Current of each feature over the total, with the standard error of the current over the total."""
    units = UnitTable(tables)
    nats, stderr = units.column("nats")[:features], units.column("stderr")[:features]
    total = tables.total.nats
    scale = 1 / abs(total) if total != 0 else 0.0
    return pd.DataFrame({"share": nats * np.sign(total) * scale, "stderr": stderr * scale})


def of_rows(tables: CurrentTables | None, part: str, features: int) -> Float[np.ndarray, " feature"]:
    """Mean over rows of the absolute current of each feature, or of the part that speaks for the decision.

    Args:
        tables: None for a flow of association.
        part: ``"absolute"`` or ``"for"``.
        features: How many.

    Raises:
        InputError: The flow is one of association.
    """
    if tables is None:
        raise InputError(
            f"This is a flow of association, whose features are ordered by 'share', not by {part!r}; measure "
            "with nif.Currents()."
        )
    units = UnitTable(tables)
    signed, absolute = units.column("nats")[:features], units.column("absolute")[:features]
    return absolute if part == "absolute" else (signed + absolute) / 2
