"""An estimate of mutual information as a table: one number, a list, or a heat map of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nif.notebook.markup import Cell, Row, probability, table

if TYPE_CHECKING:
    from nif.contracts import Estimate

MOST_ROWS, MOST_COLUMNS = 12, 12
"""Of a batch or a matrix that are shown; how many there are is said."""


def estimate_html(found: Estimate) -> str:
    """The table for the shape that the estimate has."""
    if found.nats.ndim == 2 and found.nats.size:
        return _matrix(found)
    return _list(found)


def _list(found: Estimate) -> str:
    """A row for each pair, the first ones of many."""
    low, high = (np.atleast_1d(end).ravel() for end in found.interval())
    flat = [np.atleast_1d(values).ravel() for values in (found.nats, found.stderr, found.bits, found.p_value)]
    outcome = np.atleast_1d(found.outcome).ravel()
    most = max(float(flat[0].max(initial=0.0)), 1e-300)
    single = found.nats.ndim == 0
    rows: list[Row] = [
        [
            *([] if single else [str(index)]),
            Cell(f"{nats:.4f}", strong=single, filled=0.0 if single else nats / most),
            f"± {stderr:.4f}",
            f"{low[index]:.3f} – {high[index]:.3f}",
            f"{bits:.3f}",
            probability(p_value),
            _OUTCOMES[int(outcome[index])],
        ]
        for index, (nats, stderr, bits, p_value) in enumerate(zip(*flat, strict=True))
        if index < MOST_ROWS
    ]
    head = ["nats", "error", "95% interval", "bits", "p", "outcome"]
    total = outcome.size
    rest = f"the first {MOST_ROWS} of {total:,} pairs; " if total > MOST_ROWS else ""
    return table(
        head if single else ["pair", *head],
        rows,
        title="Mutual information",
        below=[rest + _how(found)],
        names=0 if single else 1,
    )


def _matrix(found: Estimate) -> str:
    """Nats of the first pairs, shaded by their size; what a column tells of itself is not shaded."""
    count, across = found.nats.shape
    nats = found.nats[:MOST_ROWS, :MOST_COLUMNS]
    own = np.eye(count, across, dtype=bool) & _of_one_table(found)
    others = found.nats[~own]
    most = max(float(others.max()), 1e-300)
    rows: list[Row] = [
        [str(index), *(Cell(f"{value:.3f}", shade=0 if itself else value / most) for value, itself in cells)]
        for index, cells in enumerate(map(zip, nats, own))
    ]
    below = [f"mean {others.mean():.4f} nats; {_how(found)}"]
    if own.any():
        below.insert(0, "on the diagonal: the entropy of each column, not in the mean")
    if nats.size < found.nats.size:
        below.insert(0, f"the first {nats.shape[0]} x {nats.shape[1]} of {count:,} x {across:,} pairs")
    heading = f"Mutual information of {count:,} x {across:,} pairs, nats"
    return table(["", *map(str, range(nats.shape[1]))], rows, title=heading, below=below)


def _of_one_table(found: Estimate) -> bool:
    """Whether these are the columns of one table with one another, so that the diagonal is their entropy."""
    return found.nats.size > 1 and np.array_equal(found.nats, found.nats.T)


def _how(found: Estimate) -> str:
    failed = int((found.outcome == 1).sum())
    missed = f"; {failed} not converged" if failed and found.nats.ndim else ""
    return f"{found.samples:,} samples; {found.estimator}{missed}"


_OUTCOMES = ("converged", "not converged: likely too low", "one side is constant")
