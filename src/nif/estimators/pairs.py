"""Every column with every column, by whatever way an estimator has, in blocks and in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from joblib import Parallel, delayed

from nif.contracts import Advance, AllPairs, Estimate, Estimator, Outcome, ignore
from nif.estimators.memory import DEFAULT, Limits, columns_at_once, pairs_at_once

Place = tuple[Any, Any]
"""Rows and columns of a block's results: slices for a rectangle, or two lists of indices for single pairs."""

Task = tuple[Place, Callable[..., Estimate]]
"""A block of pairs: the place of its results, and how to get them."""


@dataclass(frozen=True)
class AllColumns:
    """An estimator with the way its work is shared out.

    Args:
        estimator: Does the estimation.
        seed: Seeds it; a pair's result does not depend on the block or the job it falls into.
        limits: Memory of a block of pairs, and processes.
        advance: Told of the pairs that are done.
    """

    estimator: Estimator
    seed: int = 0
    limits: Limits = DEFAULT
    advance: Advance = ignore

    def between(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        wanted: Bool[np.ndarray, "a b"] | None = None,
    ) -> Estimate:
        """I(X_a; Y_b) of every column of x with every column of y, ``[a, b]``.

        Args:
            x: Columns.
            y: Columns.
            wanted: Pairs to estimate; all if None. The others have 0 nats and p-value 1, or are estimated too
                where all at once takes less time.
        """
        shape = x.shape[1], y.shape[1]
        wanted = np.ones(shape, dtype=bool) if wanted is None else wanted
        # With fewer pairs than columns, to prepare the columns is what takes time.
        if isinstance(self.estimator, AllPairs) and wanted.sum() > sum(shape):
            return self._gathered(self._rectangles(self.estimator, x, y), self._nothing(shape, len(x)))
        self.advance(int((~wanted).sum()))
        return self._gathered(self._runs(x, y, *np.nonzero(wanted)), self._nothing(shape, len(x)))

    def within(self, x: Float[np.ndarray, "sample a"]) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``.

        The diagonal is the entropy of the values seen (`entropy`): what a column tells of itself.
        """
        whole = self._nothing((x.shape[1], x.shape[1]), len(x))
        if isinstance(self.estimator, AllPairs):
            tasks = self._rectangles(self.estimator, x, None)
        else:
            tasks = self._runs(x, x, *np.triu_indices(x.shape[1], k=1))
        self._gathered(tasks, whole, symmetric=True)
        set_entropy(whole, x)
        return whole

    def _nothing(self, shape: tuple[int, int], samples: int) -> Estimate:
        """Room for the results, filled in block by block."""
        return Estimate.of(
            np.zeros(shape), stderr=0, p_value=1, samples=samples, estimator=repr(self.estimator)
        )

    def _runs(
        self, x: np.ndarray, y: np.ndarray, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]
    ) -> Iterator[Task]:
        """The pairs (a, b) of columns, so many side by side as memory allows."""
        step = pairs_at_once(self.limits.memory, len(x))
        for start in range(0, len(a), step):
            rows, columns = a[start : start + step], b[start : start + step]
            sides = x.T[rows, :, None], y.T[columns, :, None]
            yield (rows, columns), partial(self.estimator.estimate, *sides, seed=self.seed)

    def _rectangles(self, estimator: AllPairs, x: np.ndarray, y: np.ndarray | None) -> Iterator[Task]:
        """Blocks of columns of x and of y; of x alone where there is no y, on and above the diagonal only."""
        step = columns_at_once(self.limits.memory, len(x))
        blocks_x, blocks_y = (_column_blocks(side, step) for side in (x, x if y is None else y))
        for i, (rows, left) in enumerate(blocks_x):
            for columns, right in blocks_y[i:] if y is None else blocks_y:
                other = left if y is None and rows == columns else right
                yield (rows, columns), partial(estimator.pairwise, left, other, seed=self.seed)

    def _gathered(self, tasks: Iterable[Task], whole: Estimate, symmetric: bool = False) -> Estimate:
        """The results of all tasks in their places; nothing else is kept."""
        for (rows, columns), part in self._done(tasks):
            for name in ("nats", "stderr", "p_value", "outcome"):
                values, found = getattr(whole, name), getattr(part, name)
                if symmetric:
                    values[columns, rows] = found.T
                values[rows, columns] = found
        return whole

    def _done(self, tasks: Iterable[Task]) -> Iterator[tuple[Place, Estimate]]:
        if self.limits.n_jobs is None:
            for place, work in tasks:
                yield place, work(advance=self.advance)
            return
        jobs = (delayed(_placed)(place, work) for place, work in tasks)
        for place, part in Parallel(n_jobs=self.limits.n_jobs, return_as="generator")(jobs):
            self.advance(part.nats.size)
            yield place, part


def _column_blocks(table: np.ndarray, step: int) -> list[tuple[slice, np.ndarray]]:
    starts = range(0, table.shape[1], step)
    return [(slice(start, start + step), table[:, start : start + step]) for start in starts]


def _placed(place: Place, work: Callable[..., Estimate]) -> tuple[Place, Estimate]:
    return place, work(advance=ignore)


def entropy(column: Float[np.ndarray, " sample"]) -> tuple[float, float]:
    r"""Entropy of the values of a column as they were seen, in nats, and its standard error.

    .. math:: \hat H = -\sum_v \hat p_v \log \hat p_v

    It is ln(samples) when all values differ: the most that so many samples can show. The information that a
    continuous column has of itself is infinite.

    Example:
        >>> round(entropy(np.array([0.0, 1.0] * 30))[0], 4)
        0.6931
    """
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    surprise = -np.log(counts / len(column))[inverse]
    return float(surprise.mean()), float(surprise.std() / np.sqrt(len(column)))


def set_entropy(square: Estimate, x: Float[np.ndarray, "sample a"]) -> None:
    """Write the entropy of each column into the diagonal."""
    own = np.array([entropy(column) for column in x.T]).reshape(-1, 2)
    constant = np.ptp(x, axis=0) == 0
    np.fill_diagonal(square.nats, own[:, 0])
    np.fill_diagonal(square.stderr, own[:, 1])
    np.fill_diagonal(square.p_value, np.where(constant, 1.0, 0.0))
    np.fill_diagonal(square.outcome, np.where(constant, Outcome.DEGENERATE, Outcome.CONVERGED))
