"""Accuracy against the fraction of neurons removed, one curve for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.plots.axes import INK, SMALL, SOFT, TEXT, as_text, new_axes, plain, short
from nif.plots.palette import COMMUNITIES, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("rule", "removed", "score")

MARKERS = "osD^vPX*"
"""Curves differ by marker as well as by colour, for print in grey."""


@checked_arguments()
def pruning(results: pd.DataFrame, *, before: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the score of pruned networks against the fraction of hidden neurons removed.

    Several rows of one rule and fraction, such as seeds, are averaged, with lines of one standard error.

    Args:
        results: One row for each pruned network: ``rule``, its name; ``removed``, between 0 and 1; ``score``.
        before: Score of the network before pruning; a dashed line.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: A column is missing or not numeric, there are no rows, or matplotlib is not installed.

    Example:
        >>> rows = [("redundancy", 0.5, 0.97), ("redundancy", 0.9, 0.91), ("random", 0.5, 0.80)]
        >>> ax = pruning(pd.DataFrame(rows, columns=["rule", "removed", "score"]), before=0.975)
        >>> [line.get_label() for line in ax.containers]
        ['redundancy', 'random']
    """
    _check(results)
    ax = new_axes(5.2, 3.6) if ax is None else ax
    plain(ax, grid="y")
    for index, (rule, rows) in enumerate(results.groupby("rule", sort=False)):
        seeds = rows.groupby("removed")["score"]
        ax.errorbar(
            seeds.mean().index.to_numpy(dtype=float),
            seeds.mean().to_numpy(dtype=float),
            yerr=seeds.sem().fillna(0.0).to_numpy(dtype=float),
            label=short(str(rule)),
            color=COMMUNITIES[index] if index < len(COMMUNITIES) else OTHER,
            marker=MARKERS[index % len(MARKERS)],
            markersize=4.5,
            linewidth=1.5,
            elinewidth=1,
            capsize=2,
        )
    if before is not None:
        ax.axhline(before, color=SOFT, linewidth=1, linestyle="--", zorder=1, label="whole network")
    ax.xaxis.set_major_formatter(lambda fraction, _: f"{fraction:.0%}")
    ax.set_xlabel("hidden neurons removed", fontsize=TEXT, color=INK)
    ax.set_ylabel("score", fontsize=TEXT, color=INK)
    as_text(ax.legend(frameon=False, fontsize=SMALL + 0.5))
    return ax


def _check(results: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in results]
    if missing or not len(results):
        lack = f"no column {missing[0]!r}" if missing else "no rows"
        raise InputError(
            f"The results have {lack}; expected one row for each pruned network, with columns "
            f"{', '.join(COLUMNS)}."
        )
    for name in COLUMNS[1:]:
        values = pd.to_numeric(results[name], errors="coerce").to_numpy(dtype=float)
        if not np.isfinite(values).all():
            raise InputError(f"Column {name!r} of the results is not a finite number in every row.")
