"""Pairwise estimates in blocks, optionally in parallel."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from joblib import delayed

from nif.core.arguments import shown
from nif.core.errors import InputError
from nif.core.parallel import in_parallel
from nif.core.types import Advance, ignore
from nif.estimators.entropy import set_entropy
from nif.estimators.estimate import ColumnsX, ColumnsY, Estimate, Estimator, PairwiseEstimator

GIGABYTE = 2**30

PAIRS_AT_ONCE = 256
"""Pairs in a block beyond which an estimator is no faster."""

COLUMNS_AT_ONCE = 512
"""The same for columns of a side."""

BYTES_OF_A_SAMPLE = 128
"""Of one pair in an estimator: both sides as passed, as normal scores, in folds, sorted; measured."""

BYTES_OF_A_RESULT = 64
"""Of one pair of columns: nats, standard error, p-value, outcome, and intermediate results."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Resources:
    """Limits on memory and processes.

    Args:
        memory: Bytes for a block of pairs in each process, on top of data and results.
        n_jobs: Processes, through joblib, which uses the backend chosen by the caller. None computes in this
            process, where an estimator may use threads.
    """

    memory: int = GIGABYTE
    n_jobs: int | None = None


DEFAULT = Resources()


LEAST_MEMORY = 1_000
"""Bytes; what is less was meant in another unit."""


def bytes_of(memory: Any) -> int:
    """Parse a size.

    Raises:
        InputError: Not a size.

    Example:
        >>> bytes_of("1.5GB"), bytes_of(1000)
        (1610612736, 1000)
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?)I?B?\s*", str(memory).upper())
    size = 0 if isinstance(memory, bool) or match is None else int(float(match[1]) * UNITS[match[2]])
    if size < LEAST_MEMORY:
        raise InputError(f"memory is {shown(memory)}; expected a number of bytes or a size such as '1GB'.")
    return size


def pairs_at_once(memory: int, samples: int) -> int:
    """Pairs of columns in a block.

    Example:
        >>> pairs_at_once(GIGABYTE, 100_000)
        83
    """
    return min(PAIRS_AT_ONCE, _at_least_one(memory // (BYTES_OF_A_SAMPLE * samples), memory, samples))


def columns_at_once(memory: int, samples: int) -> int:
    r"""Columns of each side of a block: the largest c with :math:`c N s + c^2 r` bytes in memory.

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
            f"{least:.2g} MB. Allow more memory, or pass fewer samples."
        )
    return count


Index = tuple[Any, Any]
"""Rows and columns of a block's results: two slices for a rectangle, two arrays for a list of pairs."""

Task = tuple[Index, Callable[..., Estimate]]
"""A block of pairs: the index of its results, and the call that computes them."""


@dataclass(frozen=True)
class PairwiseRunner:
    """Estimates all pairs of columns, block by block.

    Args:
        estimator: Estimates each block.
        seed: Random seed; a pair's result depends neither on its block nor on the job.
        limits: Memory of a block of pairs, and processes.
        advance: Called with the number of pairs done since the last call.
    """

    estimator: Estimator
    seed: int = 0
    limits: Resources = DEFAULT
    advance: Advance = ignore

    def between(self, x: ColumnsX, y: ColumnsY, wanted: Bool[np.ndarray, "a b"] | None = None) -> Estimate:
        """I(X_a; Y_b) of every column of x with every column of y, ``[a, b]``.

        Args:
            x: Columns.
            y: Columns.
            wanted: Pairs to estimate; all if None. The others have 0 nats and p-value 1, or are estimated too
                where estimating all is faster.
        """
        shape = x.shape[1], y.shape[1]
        wanted = np.ones(shape, dtype=bool) if wanted is None else wanted
        # With fewer pairs than columns, most of the time is spent on preparing the columns.
        if isinstance(self.estimator, PairwiseEstimator) and wanted.sum() > sum(shape):
            return self._collect(self._rectangles(self.estimator, x, y), self._empty(shape, len(x)))
        self.advance(int((~wanted).sum()))
        return self._collect(self._lists(x, y, *np.nonzero(wanted)), self._empty(shape, len(x)))

    def within(self, x: ColumnsX) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``; the diagonal holds the entropy of each column.

        See `entropy_and_stderr` for the entropy.
        """
        result = self._empty((x.shape[1], x.shape[1]), len(x))
        if isinstance(self.estimator, PairwiseEstimator):
            tasks = self._rectangles(self.estimator, x, None)
        else:
            tasks = self._lists(x, x, *np.triu_indices(x.shape[1], k=1))
        self._collect(tasks, result, symmetric=True)
        set_entropy(result, x)
        return result

    def _empty(self, shape: tuple[int, int], samples: int) -> Estimate:
        """The result before any block is filled in."""
        return Estimate.of(
            np.zeros(shape), stderr=0, p_value=1, samples=samples, estimator=repr(self.estimator)
        )

    def _lists(
        self, x: np.ndarray, y: np.ndarray, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]
    ) -> Iterator[Task]:
        """The pairs (a, b) of columns, in blocks that fit into memory."""
        step = pairs_at_once(self.limits.memory, len(x))
        for start in range(0, len(a), step):
            rows, columns = a[start : start + step], b[start : start + step]
            sides = x.T[rows, :, None], y.T[columns, :, None]
            yield (rows, columns), partial(self.estimator.estimate, *sides, seed=self.seed)

    def _rectangles(
        self, estimator: PairwiseEstimator, x: np.ndarray, y: np.ndarray | None
    ) -> Iterator[Task]:
        """Blocks of columns of x and of y; if y is None, of x alone, on and above the diagonal only."""
        step = columns_at_once(self.limits.memory, len(x))
        blocks_x, blocks_y = (_column_blocks(side, step) for side in (x, x if y is None else y))
        for i, (rows, left) in enumerate(blocks_x):
            for columns, right in blocks_y[i:] if y is None else blocks_y:
                other = left if y is None and rows == columns else right
                yield (rows, columns), partial(estimator.pairwise, left, other, seed=self.seed)

    def _collect(self, tasks: Iterable[Task], result: Estimate, symmetric: bool = False) -> Estimate:
        """Write the results of all tasks into their places; nothing else is kept."""
        for (rows, columns), block in self._computed(tasks):
            for name in ("nats", "stderr", "p_value", "outcome"):
                array, values = getattr(result, name), getattr(block, name)
                if symmetric:
                    array[columns, rows] = values.T
                array[rows, columns] = values
        return result

    def _computed(self, tasks: Iterable[Task]) -> Iterator[tuple[Index, Estimate]]:
        if self.limits.n_jobs is None:
            for index, work in tasks:
                yield index, work(advance=self.advance)
            return
        jobs = (delayed(_with_index)(index, work) for index, work in tasks)
        for index, block in in_parallel(self.limits.n_jobs, jobs):
            self.advance(block.nats.size)
            yield index, block


def _column_blocks(table: np.ndarray, step: int) -> list[tuple[slice, np.ndarray]]:
    starts = range(0, table.shape[1], step)
    return [(slice(start, start + step), table[:, start : start + step]) for start in starts]


def _with_index(index: Index, work: Callable[..., Estimate]) -> tuple[Index, Estimate]:
    return index, work(advance=ignore)
