"""Whether the rows of a column follow each other, as in a time series."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.estimators.ranks import mean_ranks

WINDOW, FEWEST_WINDOWS = 10, 6
"""Rows that follow each other, in which neighbours are compared; and how many such windows are needed."""

SMALLEST_CORRELATION, DEVIATIONS = 0.2, 4.5
"""Of neighbouring rows, above which they follow each other: in size, and in standard deviations."""

RARE = 0.1
"""Part of the rows of a feature that have another than its most common value, for it to be looked at."""

FEW_VALUES = 10
"""Distinct values below which a feature has few: tables of a design list them in a regular order."""


def follow(column: Float[np.ndarray, " row"]) -> bool:
    """Whether neighbours are alike, by the median of their rank correlation within windows of ten rows.

    So rows that are sorted by class do not count.

    Example:
        >>> steps = np.random.default_rng(0).normal(size=600)
        >>> follow(steps), follow(steps.cumsum())
        (False, True)
    """
    column = column[: len(column) // WINDOW * WINDOW]
    counts = np.unique(column, return_counts=True)[1]
    if len(counts) < FEW_VALUES or counts.max() > (1 - RARE) * len(column):
        return False
    ranks = mean_ranks(column).reshape(-1, WINDOW)
    ranks = ranks - ranks.mean(1, keepdims=True)
    squares = np.square(ranks).sum(1)
    moving = squares > 0
    if moving.sum() < FEWEST_WINDOWS:
        return False
    correlations = (ranks[:, 1:] * ranks[:, :-1]).sum(1)[moving] / squares[moving]
    # Of independent rows it has the mean -1 / WINDOW and a deviation of about 1 / sqrt(WINDOW).
    error = 1.25 / np.sqrt(WINDOW * len(correlations))
    return bool(np.median(correlations) > max(SMALLEST_CORRELATION, DEVIATIONS * error - 1 / WINDOW))
