"""Paired differences between methods over networks, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

KEY = ["data", "hidden", "seed"]
"""Columns that name a network."""


def differences(rows: pd.DataFrame, figures: Sequence[str], method: str = "currents") -> pd.DataFrame:
    """One method minus each other: the mean over networks, and 95 % intervals.

    The first interval is over networks, in parentheses; the second, in brackets, over the means of data sets,
    which are fewer and independent. Both use Student's t.
    """
    wide = rows.set_index([*KEY, "of"])[list(figures)].unstack("of")
    found = []
    for other in rows["of"].drop_duplicates():
        if other == method:
            continue
        row: dict[str, object] = {"minus": other}
        for figure in figures:
            difference = (wide[figure][method] - wide[figure][other]).dropna()
            of_data = difference.groupby("data").mean()
            row[figure] = (
                f"{difference.mean():+.3f} ({_interval(difference, difference.mean())}) "
                f"[{_interval(of_data, difference.mean())}]"
            )
        found.append(row)
    return pd.DataFrame(found).set_index("minus")


def _interval(values: pd.Series, centre: float) -> str:
    """Around a mean, from the spread of values."""
    if len(values) < 2:
        return "one only"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{centre - half:+.3f} {centre + half:+.3f}"
