"""The contract of an estimator, and the estimate it returns. All information is in nats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Int8
from scipy.special import ndtri

from nif.core.arguments import checked_arguments
from nif.core.html import probability, table
from nif.core.types import Advance, Values, ignore

SidesX = Float[np.ndarray, "pair sample dim_x"]
SidesY = Float[np.ndarray, "pair sample dim_y"]
"""The two sides of a batch of pairs."""

ColumnsX = Float[np.ndarray, "sample a"]
ColumnsY = Float[np.ndarray, "sample b"]
"""Columns of numbers; all pairs of them are estimated."""

Pairs = Int[np.ndarray, " pair"]
"""The column of one side of each pair."""

TableColumns = Float[np.ndarray, "sample _"]
"""Columns of one of several tables."""


class Outcome(IntEnum):
    """How the estimate of one pair ended; reported, never printed as a warning."""

    CONVERGED = 0
    """The estimator finished normally."""
    NOT_CONVERGED = 1
    """The budget ran out while the bound was still rising: the value is likely too low."""
    DEGENERATE = 2
    """One side is constant: exactly 0 nats, p-value 1, and nothing was trained."""
    DETERMINED = 3
    """One side determines the other: the entropy of its observed values, for continuous sides ln(samples), a
    lower limit."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mutual information of one pair or several, with its uncertainty.

    The arrays have one shape: ``()`` for one pair, ``[pair]`` for a batch, ``[a, b]`` for all pairs.

    Attributes:
        nats: The estimate, not clipped at 0: an unbiased estimate of 0 is negative half the time.
        stderr: Standard error of `nats` from the sampling of the data, in nats.
        p_value: Probability of a value this large if the two sides were independent.
        outcome: An `Outcome` for each pair.
        samples: Number of rows that each value is estimated from.
        estimator: The estimator and its options, as text.

    Example:
        >>> estimate = Estimate.of(0.4, stderr=0.02, p_value=0.001, samples=500, estimator="GaussianCopula()")
        >>> estimate
        Estimate(0.4000 ± 0.0200 nats, p = 0.001, 500 samples, GaussianCopula())
        >>> round(float(estimate.bits), 3)
        0.577
    """

    nats: Values
    stderr: Values
    p_value: Values
    outcome: Int8[Any, "..."]
    samples: int
    estimator: str

    @classmethod
    def of(
        cls,
        nats: Any,
        *,
        stderr: Any,
        p_value: Any,
        samples: int,
        estimator: str,
        outcome: Any = Outcome.CONVERGED,
    ) -> Estimate:
        """Build an estimate from anything that broadcasts to the shape of `nats`."""
        values = np.asarray(nats, dtype=np.float64)

        def like_nats(array: Any, dtype: type) -> np.ndarray:
            return np.broadcast_to(np.asarray(array, dtype=dtype), values.shape).copy()

        errors, p_values = like_nats(stderr, np.float64), like_nats(p_value, np.float64)
        return cls(values, errors, p_values, like_nats(outcome, np.int8), samples, estimator)

    @property
    def bits(self) -> Values:
        """The estimate in bits (nats / ln 2), for display."""
        return self.nats / math.log(2)

    @property
    def not_converged(self) -> int:
        """Number of pairs whose optimisation ran out of steps."""
        return int((self.outcome == Outcome.NOT_CONVERGED).sum())

    @property
    def determined(self) -> int:
        """Number of pairs of which one side determines the other on all rows."""
        return int((self.outcome == Outcome.DETERMINED).sum())

    @checked_arguments()
    def interval(self, level: float = 0.95) -> tuple[Values, Values]:
        """Confidence interval in nats from the normal approximation; the lower end is not below 0.

        Raises:
            InputError: `level` is not between 0 and 1.

        Example:
            >>> estimate = Estimate.of(0.4, stderr=0.02, p_value=0.001, samples=500, estimator="Ksg()")
            >>> [round(float(end), 3) for end in estimate.interval()]
            [0.361, 0.439]
        """
        half = ndtri(0.5 + level / 2) * self.stderr
        return np.maximum(self.nats - half, 0.0), np.maximum(self.nats + half, 0.0)

    def map(self, rearrange: Callable[[np.ndarray], Any]) -> Estimate:
        """Apply a function to every array, for example ``estimate.map(np.transpose)``."""
        arrays = self.nats, self.stderr, self.p_value, self.outcome
        nats, stderr, p_value, outcome = map(rearrange, arrays)
        return Estimate(nats, stderr, p_value, outcome, self.samples, self.estimator)

    def __repr__(self) -> str:
        if self.nats.ndim == 0:
            size = f"{self.nats:.4f} ± {self.stderr:.4f} nats, p = {self.p_value:.3g}"
            size += f" ({DETERMINED})" if self.determined else ""
        else:
            failed = self.not_converged
            size = f"{'x'.join(map(str, self.nats.shape))} pairs, mean {self.nats.mean():.4f} nats"
            size += f", {failed} not converged" if failed else ""
            size += f", {self.determined} of sides that determine each other" if self.determined else ""
        return f"Estimate({size}, {self.samples} samples, {self.estimator})"

    def _repr_html_(self) -> str:
        return _matrix(self) if self.nats.ndim == 2 and self.nats.size else _list(self)


@runtime_checkable
class Estimator(Protocol):
    """A method that estimates mutual information for a batch of pairs.

    An estimator is a frozen dataclass of options, so that its `repr` states the method. It

    - returns exactly 0 nats, p-value 1 and `Outcome.DEGENERATE` where a side is constant;
    - returns the same bits for the same data and seed, and touches no global random state;
    - never clips at 0, never returns NaN or infinity for finite data;
    - expects checked arrays (see `nif.estimators.inputs`).
    """

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X; Y) of each pair; arrays of the result have shape ``[pair]``."""
        ...


@runtime_checkable
class PairwiseEstimator(Protocol):
    """An estimator with a faster method for all pairs of columns."""

    def pairwise(self, x: ColumnsX, y: ColumnsY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs; arrays of the result have shape ``[a, b]``."""
        ...


@runtime_checkable
class PreparingEstimator(Protocol):
    """An estimator that does part of the work once for a column, not for each of its pairs."""

    def bytes_prepared(self, samples: int) -> int:
        """Bytes that a prepared column takes."""
        ...

    def prepared(self, columns: ColumnsX, *, seed: int = 0) -> Any:
        """Columns that `of_prepared` takes; the seed is that of all columns."""
        ...

    def of_prepared(
        self,
        x: Any,
        y: Any,
        a: Int[np.ndarray, " pair"],
        b: Int[np.ndarray, " pair"],
        *,
        advance: Advance = ignore,
    ) -> Estimate:
        """Of columns a of x and b of y, ``[pair]``, with the bits of the other methods."""
        ...


def of_rectangle(
    of_pairs: Callable[[Pairs, Pairs], Estimate],
    rows: range,
    columns: range,
    *,
    symmetric: bool,
) -> Estimate:
    """Estimates ``[a, b]`` of all pairs of rows and columns; where they are the same, each pair once."""
    shape = len(rows), len(columns)
    if not symmetric:
        a, b = np.indices(shape).reshape(2, -1)
        return of_pairs(a + rows.start, b + columns.start).map(lambda values: values.reshape(shape))
    a, b = np.triu_indices(len(rows))

    def square(values: np.ndarray) -> np.ndarray:
        full = np.empty(shape, dtype=values.dtype)
        full[a, b] = full[b, a] = values
        return full

    return of_pairs(a + rows.start, b + columns.start).map(square)


BELOW_0 = "Mutual information is at least 0; where it is 0, about half of all estimates are below it."
"""Said wherever a negative estimate is shown beside an interval that begins at 0."""

MOST_SHOWN = 12
"""Rows and columns of pairs that a notebook shows; how many there are is said."""

DETERMINED = "one side determines the other: the entropy of its values"
_OUTCOMES = ("converged", "not converged: likely too low", "one side is constant", DETERMINED)


def _list(estimate: Estimate) -> str:
    """A row for each pair, the first ones of many."""
    columns = estimate.nats, estimate.stderr, estimate.bits, estimate.p_value, estimate.outcome
    low, high, nats, stderr, bits, p_value, outcome = (
        np.atleast_1d(values).ravel()[:MOST_SHOWN] for values in (*estimate.interval(), *columns)
    )
    cells = pd.DataFrame(
        {
            "pair": [str(pair) for pair in range(len(nats))],
            "nats": [f"{value:.4f}" for value in nats],
            "error": [f"± {value:.4f}" for value in stderr],
            "95% interval": [f"{begin:.3f} – {end:.3f}" for begin, end in zip(low, high, strict=True)],
            "bits": [f"{value:.3f}" for value in bits],
            "p": list(map(probability, p_value)),
            "outcome": [_OUTCOMES[int(code)] for code in outcome],
        }
    )
    title, how = "Mutual information", _how(estimate)
    below_0 = [BELOW_0] if (nats < 0).any() else []
    if estimate.nats.ndim == 0:
        return table(cells.drop(columns="pair"), title=title, below=[how, *below_0], names=0)
    total = estimate.nats.size
    rest = f"the first {MOST_SHOWN} of {total:,} pairs; " if total > MOST_SHOWN else ""
    bars = {"nats": nats / max(float(estimate.nats.max(initial=0.0)), 1e-300)}
    return table(cells, title=title, below=[rest + how, *below_0], bars=bars)


def _matrix(estimate: Estimate) -> str:
    """Nats of the first pairs, shaded by their size; the entropy of a column is not shaded."""
    count, across = estimate.nats.shape
    # Of the columns of one table with one another, the diagonal is their entropy.
    of_one_table = estimate.nats.size > 1 and np.array_equal(estimate.nats, estimate.nats.T)
    own = np.eye(count, across, dtype=bool) & of_one_table
    others = estimate.nats[~own]
    nats, own = estimate.nats[:MOST_SHOWN, :MOST_SHOWN], own[:MOST_SHOWN, :MOST_SHOWN]
    columns = [str(column) for column in range(nats.shape[1])]
    cells = pd.DataFrame(nats, columns=columns).map("{:.3f}".format)
    cells.insert(0, "", [str(row) for row in range(len(nats))])
    shades = dict(zip(columns, np.where(own, 0, nats / max(float(others.max()), 1e-300)).T, strict=True))
    below = [f"mean {others.mean():.4f} nats; {_how(estimate)}"]
    if own.any():
        below.insert(0, "on the diagonal: the entropy of each column, not in the mean")
    if nats.size < estimate.nats.size:
        below.insert(0, f"the first {nats.shape[0]} x {nats.shape[1]} of {count:,} x {across:,} pairs")
    heading = f"Mutual information of {count:,} x {across:,} pairs, nats"
    return table(cells, title=heading, below=below, shades=shades)


def _how(estimate: Estimate) -> str:
    failed = estimate.not_converged
    missed = f"; {failed} not converged" if failed and estimate.nats.ndim else ""
    return f"{estimate.samples:,} samples; {estimate.estimator}{missed}"
