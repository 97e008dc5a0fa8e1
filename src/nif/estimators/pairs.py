"""Pairwise estimates in blocks, optionally in parallel."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from joblib import delayed

from nif.core.arguments import shown
from nif.core.checkpoint import Checkpoint, Stage
from nif.core.errors import InputError
from nif.core.parallel import in_parallel
from nif.core.shared import Shared
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
        checkpoint: Where finished blocks are kept; None for nowhere.
    """

    memory: int = GIGABYTE
    n_jobs: int | None = None
    checkpoint: Checkpoint | None = None


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


@dataclass(frozen=True, eq=False)
class Tables:
    """The columns whose pairs are estimated, and how.

    Attributes:
        estimator: Estimates each block.
        seed: Random seed.
        x: Columns.
        y: Columns of the other side; those of x if None.
    """

    estimator: Estimator
    seed: int
    x: ColumnsX
    y: ColumnsY | None

    def estimate(self, index: Index, advance: Advance = ignore) -> Estimate:
        """Of the pairs of a block."""
        rows, columns = index
        y = self.x if self.y is None else self.y
        if not isinstance(rows, slice):
            sides = self.x.T[rows, :, None], y.T[columns, :, None]
            return self.estimator.estimate(*sides, seed=self.seed, advance=advance)
        assert isinstance(self.estimator, PairwiseEstimator)
        left = self.x[:, rows]
        right = left if self.y is None and rows == columns else y[:, columns]
        return self.estimator.pairwise(left, right, seed=self.seed, advance=advance)


@dataclass(frozen=True)
class PairwiseRunner:
    """Estimates all pairs of columns, block by block.

    Args:
        estimator: Estimates each block.
        seed: Random seed; a pair's result depends neither on its block nor on the job.
        limits: Memory of a block of pairs, processes, and where finished blocks are kept.
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
        tables = Tables(self.estimator, self.seed, x, y)
        # With fewer pairs than columns, most of the time is spent on preparing the columns.
        if isinstance(self.estimator, PairwiseEstimator) and wanted.sum() > sum(shape):
            return self._collect(tables, self._rectangles(tables), self._empty(shape, len(x)))
        self.advance(int((~wanted).sum()))
        blocks = self._lists(*np.nonzero(wanted), samples=len(x))
        return self._collect(tables, blocks, self._empty(shape, len(x)))

    def within(self, x: ColumnsX) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``; the diagonal holds the entropy of each column.

        See `entropy_and_stderr` for the entropy.
        """
        result = self._empty((x.shape[1], x.shape[1]), len(x))
        tables = Tables(self.estimator, self.seed, x, None)
        if isinstance(self.estimator, PairwiseEstimator):
            blocks = self._rectangles(tables)
        else:
            blocks = self._lists(*np.triu_indices(x.shape[1], k=1), samples=len(x))
        self._collect(tables, blocks, result, symmetric=True)
        set_entropy(result, x)
        return result

    def _empty(self, shape: tuple[int, int], samples: int) -> Estimate:
        """The result before any block is filled in."""
        return Estimate.of(
            np.zeros(shape), stderr=0, p_value=1, samples=samples, estimator=repr(self.estimator)
        )

    def _lists(
        self, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"], *, samples: int
    ) -> Iterator[Index]:
        """The pairs (a, b) of columns, in blocks that fit into memory."""
        step = pairs_at_once(self.limits.memory, samples)
        for start in range(0, len(a), step):
            yield a[start : start + step], b[start : start + step]

    def _rectangles(self, tables: Tables) -> Iterator[Index]:
        """Blocks of columns of x and of y; of x alone, on and above the diagonal only."""
        step = columns_at_once(self.limits.memory, len(tables.x))
        of_x, of_y = (
            [slice(start, start + step) for start in range(0, side.shape[1], step)]
            for side in (tables.x, tables.x if tables.y is None else tables.y)
        )
        for place, rows in enumerate(of_x):
            for columns in of_y[place:] if tables.y is None else of_y:
                yield rows, columns

    def _collect(
        self, tables: Tables, blocks: Iterable[Index], result: Estimate, *, symmetric: bool = False
    ) -> Estimate:
        """Write the results of all blocks into their places; nothing else is kept."""
        checkpoint, known, count = self.limits.checkpoint, np.zeros(result.nats.shape, dtype=bool), 0
        stage = None if checkpoint is None else checkpoint.stage("pairs")
        for index, arrays in () if stage is None else _stored(stage):
            _write(result, index, arrays, symmetric=symmetric)
            known[index] = True
            count += 1
            self.advance(arrays["nats"].size)
        # Those of a run with another limit of memory may be in part among these.
        left = (index for index in blocks if not known[index].all())
        for number, (index, block) in enumerate(self._computed(tables, left), count):
            arrays = {name: getattr(block, name) for name in RESULTS}
            _write(result, index, arrays, symmetric=symmetric)
            if stage is not None:
                _store(stage, number, index, arrays)
        return result

    def _computed(self, tables: Tables, blocks: Iterable[Index]) -> Iterator[tuple[Index, Estimate]]:
        if self.limits.n_jobs is None:
            for index in blocks:
                yield index, tables.estimate(index, self.advance)
            return
        shared = Shared(tables)
        tasks = (delayed(_with_index)(shared, index) for index in blocks)
        for index, block in in_parallel(self.limits.n_jobs, tasks):
            self.advance(block.nats.size)
            yield index, block


RESULTS = ("nats", "stderr", "p_value", "outcome")
"""Arrays of an estimate."""


def _with_index(shared: Shared[Tables], index: Index) -> tuple[Index, Estimate]:
    return index, shared.value.estimate(index)


def _write(result: Estimate, index: Index, arrays: Mapping[str, np.ndarray], *, symmetric: bool) -> None:
    rows, columns = index
    for name in RESULTS:
        if symmetric:
            getattr(result, name)[columns, rows] = arrays[name].T
        getattr(result, name)[rows, columns] = arrays[name]


def _store(stage: Stage, number: int, index: Index, arrays: Mapping[str, np.ndarray]) -> None:
    """Append a finished block to the checkpoint."""
    rectangle = isinstance(index[0], slice)
    sides = [np.array([one.start, one.stop]) for one in index] if rectangle else index
    of_pairs = dict(zip(SIDES, sides, strict=True))
    stage.put(str(number), {**arrays, **of_pairs}, {"rectangle": rectangle})


def _stored(stage: Stage) -> Iterator[tuple[Index, dict[str, np.ndarray]]]:
    """The blocks of the checkpoint."""
    for name in stage.names():
        arrays, facts = stage.get(name)
        rows, columns = (arrays.pop(side) for side in SIDES)
        if facts["rectangle"]:
            yield (slice(*rows.tolist()), slice(*columns.tolist())), arrays
        else:
            yield (rows, columns), arrays


SIDES = ("rows", "columns")
