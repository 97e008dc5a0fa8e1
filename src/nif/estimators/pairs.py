"""What the caller allows for a block of pairs, and how many pairs or columns fit into it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from joblib import Parallel, delayed

from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.estimators.entropy import set_entropy
from nif.estimators.estimate import Estimate, Estimator, PairwiseEstimator

GIGABYTE = 2**30

PAIRS_AT_ONCE = 256
"""Pairs side by side beyond which an estimator is no faster."""

COLUMNS_AT_ONCE = 512
"""The same for columns of a side."""

BYTES_OF_A_SAMPLE = 128
"""Of one pair in an estimator: both sides as they came, as normal scores, in folds, sorted; measured."""

BYTES_OF_A_RESULT = 64
"""Of one pair of columns: nats, standard error, p-value, outcome, and what they are computed from."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Resources:
    """How much of the machine may be used.

    Args:
        memory: Bytes that a block of pairs may take in each process, on top of data and results.
        n_jobs: Processes, through joblib, so that the backend the caller has chosen is used. None works in
            this process, where an estimator may use threads of its own.
    """

    memory: int = GIGABYTE
    n_jobs: int | None = None


DEFAULT = Resources()


def bytes_of(memory: Any) -> int:
    """The number of bytes that a user means.

    Raises:
        InputError: Not a size.

    Example:
        >>> bytes_of("1.5GB"), bytes_of(1000)
        (1610612736, 1000)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?)I?B?\s*", str(memory).upper())
    if isinstance(memory, bool) or found is None:
        raise InputError(f"memory is {memory!r}; expected a number of bytes or a size such as '1GB'.")
    return int(float(found[1]) * UNITS[found[2]])


def pairs_at_once(memory: int, samples: int) -> int:
    """Pairs of columns side by side.

    Example:
        >>> pairs_at_once(GIGABYTE, 100_000)
        83
    """
    return min(PAIRS_AT_ONCE, _at_least_one(memory // (BYTES_OF_A_SAMPLE * samples), memory, samples))


def columns_at_once(memory: int, samples: int) -> int:
    r"""Columns of each side of a table of pairs: the largest c with :math:`c N s + c^2 r` bytes in memory.

    Example:
        >>> columns_at_once(GIGABYTE, 1_000), columns_at_once(GIGABYTE, 1_000_000)
        (512, 8)
    """
    of_column = BYTES_OF_A_SAMPLE * samples
    most = (math.sqrt(of_column**2 + 4 * BYTES_OF_A_RESULT * memory) - of_column) / (2 * BYTES_OF_A_RESULT)
    return min(COLUMNS_AT_ONCE, _at_least_one(int(most), memory, samples))


def _at_least_one(count: int, memory: int, samples: int) -> int:
    if count < 1:
        least = (BYTES_OF_A_SAMPLE * samples + BYTES_OF_A_RESULT) / 2**20
        raise InputError(
            f"memory of {memory / 2**20:.3g} MB is too small for one pair of {samples} samples, which takes "
            f"{least:.2g} MB. Allow more, or give fewer samples."
        )
    return count


def checked_jobs(n_jobs: int | None) -> int | None:
    """Refuse a number of processes that joblib would not understand."""
    if n_jobs == 0:
        raise InputError(f"n_jobs is {n_jobs!r}; expected None, a number of processes, or -1 for all cores.")
    return n_jobs


Place = tuple[Any, Any]
"""Rows and columns of a block's results: slices for a rectangle, or two lists of indices for single pairs."""

Task = tuple[Place, Callable[..., Estimate]]
"""A block of pairs: the place of its results, and how to get them."""


@dataclass(frozen=True)
class PairwiseRunner:
    """An estimator with the way its work is shared out.

    Args:
        estimator: Does the estimation.
        seed: Seeds it; a pair's result does not depend on the block or the job it falls into.
        limits: Memory of a block of pairs, and processes.
        advance: PruningRecord of the pairs that are done.
    """

    estimator: Estimator
    seed: int = 0
    limits: Resources = DEFAULT
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
        if isinstance(self.estimator, PairwiseEstimator) and wanted.sum() > sum(shape):
            return self._gathered(self._rectangles(self.estimator, x, y), self._nothing(shape, len(x)))
        self.advance(int((~wanted).sum()))
        return self._gathered(self._runs(x, y, *np.nonzero(wanted)), self._nothing(shape, len(x)))

    def within(self, x: Float[np.ndarray, "sample a"]) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``.

        The diagonal is the entropy of the values seen (`entropy`): what a column tells of itself.
        """
        whole = self._nothing((x.shape[1], x.shape[1]), len(x))
        if isinstance(self.estimator, PairwiseEstimator):
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

    def _rectangles(
        self, estimator: PairwiseEstimator, x: np.ndarray, y: np.ndarray | None
    ) -> Iterator[Task]:
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
