"""Pairwise estimates in blocks, optionally in parallel."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from joblib import delayed

from nif.core.arguments import shown
from nif.core.checkpoint import Checkpoint, Stage
from nif.core.errors import InputError
from nif.core.executors import unless_stopped
from nif.core.parallel import in_parallel
from nif.core.shared import Shared
from nif.core.types import Advance, ignore
from nif.estimators.entropy import set_entropy
from nif.estimators.estimate import (
    ColumnsX,
    ColumnsY,
    Estimate,
    Estimator,
    PairwiseEstimator,
    PreparingEstimator,
    TableColumns,
    of_rectangle,
)

GIGABYTE = 2**30

PAIRS_AT_ONCE = 256
"""Pairs in a block beyond which an estimator is no faster."""

COLUMNS_AT_ONCE = 512
"""The same for columns of a side."""

PREPARED_AT_ONCE = 128
"""Columns of a side of a block that are prepared already: no block is faster than another then."""

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
        scratch: Folder for what processes share, which all of them see; None has the backend send it.
    """

    memory: int = GIGABYTE
    n_jobs: int | None = None
    checkpoint: Checkpoint | None = None
    scratch: Path | None = None


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


class Asked(NamedTuple):
    """Pairs of columns of two tables.

    Attributes:
        x: Number of a table.
        y: Number of the other one; None for all pairs within x.
        wanted: Pairs to estimate; all if None.
    """

    x: int
    y: int | None = None
    wanted: Bool[np.ndarray, "a b"] | None = None


@dataclass(frozen=True, eq=False)
class Tables:
    """The columns whose pairs are estimated, and how.

    Attributes:
        estimator: Estimates each block.
        seed: Random seed.
        columns: Of each table.
        ready: The columns of each table as the estimator prepares them; None if it does not, or if they take
            too much memory: they are then prepared for each block.
    """

    estimator: Estimator
    seed: int
    columns: tuple[TableColumns, ...]
    ready: tuple[Any, ...] | None = None

    def can_prepare(self, memory: int) -> bool:
        """Whether all columns can be prepared at once, in half of the memory: they are joined from parts."""
        if not isinstance(self.estimator, PreparingEstimator):
            return False
        sizes = (x.shape[1] * self.estimator.bytes_prepared(len(x)) for x in self.columns)
        return 2 * sum(sizes) <= memory

    def prepared(self) -> Tables:
        """The same, with columns that are ready in place of those that are given."""
        assert isinstance(self.estimator, PreparingEstimator)
        ready = (self.estimator.prepared(x, seed=self.seed) for x in self.columns)
        return Tables(self.estimator, self.seed, (), tuple(ready))

    def estimate(self, first: int, second: int | None, index: Index, advance: Advance = ignore) -> Estimate:
        """Of the pairs of a block of two tables, or of one if the second is None."""
        rows, columns = index
        other = first if second is None else second
        if self.ready is not None:
            assert isinstance(self.estimator, PreparingEstimator)
            of_pairs = partial(
                self.estimator.of_prepared, self.ready[first], self.ready[other], advance=advance
            )
            if not isinstance(rows, slice):
                return of_pairs(rows, columns)
            places = range(rows.start, rows.stop), range(columns.start, columns.stop)
            return of_rectangle(of_pairs, *places, symmetric=second is None and rows == columns)
        x, y = self.columns[first], self.columns[other]
        if not isinstance(rows, slice):
            sides = x.T[rows, :, None], y.T[columns, :, None]
            return self.estimator.estimate(*sides, seed=self.seed, advance=advance)
        assert isinstance(self.estimator, PairwiseEstimator)
        left = x[:, rows]
        right = left if second is None and rows == columns else y[:, columns]
        return self.estimator.pairwise(left, right, seed=self.seed, advance=advance)


@dataclass(frozen=True, eq=False)
class Part:
    """What is left to do of what is asked of two tables.

    Attributes:
        asked: Of which tables.
        blocks: To be estimated.
        stage: Of a checkpoint.
        stored: Number of blocks in the checkpoint at the start.
    """

    asked: Asked
    blocks: Iterator[Index]
    stage: Stage | None
    stored: int


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
        return next(self.each((x, y), [Asked(0, 1, wanted)]))

    def within(self, x: ColumnsX) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``; the diagonal holds the entropy of each column.

        See `entropy_and_stderr` for the entropy.
        """
        return next(self.each((x,), [Asked(0)]))

    def each(self, tables: Sequence[TableColumns], asked: Iterable[Asked]) -> Iterator[Estimate]:
        """What is asked of several tables, in its order, each as `between` or `within` returns it.

        The blocks of all are one stream of tasks, so that processes are sent the tables once.
        """
        given = Tables(self.estimator, self.seed, tuple(tables))
        parts, results = list[Part](), deque[Estimate]()  # a result is the caller's alone once it is complete
        for one in asked:
            results.append(self._empty(given, one))
            parts.append(self._part(given, one, results[-1]))
        computed = self._computed(given, parts)
        block = next(computed, None)
        for number, part in enumerate(parts):
            result, count = results.popleft(), part.stored
            while block is not None and block[0] == number:
                arrays = {name: getattr(block[2], name) for name in RESULTS}
                _write(result, block[1], arrays, symmetric=part.asked.y is None)
                if part.stage is not None:
                    _store(part.stage, count, block[1], arrays)
                block, count = next(computed, None), count + 1
            if part.asked.y is None:
                set_entropy(result, given.columns[part.asked.x])
            yield result
            del result

    def _empty(self, tables: Tables, asked: Asked) -> Estimate:
        """The result before any block is filled in."""
        x, y = tables.columns[asked.x], tables.columns[asked.x if asked.y is None else asked.y]
        values = np.zeros((x.shape[1], y.shape[1]))
        return Estimate.of(values, stderr=0, p_value=1, samples=len(x), estimator=repr(self.estimator))

    def _part(self, given: Tables, asked: Asked, result: Estimate) -> Part:
        """What is left to do beside what a checkpoint holds, which is written into the result."""
        shape, samples = result.nats.shape, len(given.columns[asked.x])
        checkpoint, known, count = self.limits.checkpoint, np.zeros(shape, dtype=bool), 0
        stage = None if checkpoint is None else checkpoint.stage("pairs")
        for index, arrays in () if stage is None else _stored(stage):
            _write(result, index, arrays, symmetric=asked.y is None)
            known[index] = True
            count += 1
            self.advance(arrays["nats"].size)
        # Those of a run with another limit of memory may be in part among these.
        step = self._columns_at_once(given, samples)
        left = (index for index in self._blocks(asked, shape, samples, step) if not known[index].all())
        return Part(asked, left, stage, count)

    def _columns_at_once(self, given: Tables, samples: int) -> int:
        if not given.can_prepare(self.limits.memory):
            return columns_at_once(self.limits.memory, samples)
        return max(1, min(PREPARED_AT_ONCE, math.isqrt(self.limits.memory // BYTES_OF_A_RESULT)))

    def _blocks(self, asked: Asked, shape: tuple[int, int], samples: int, step: int) -> Iterator[Index]:
        """Blocks that fit into memory: of columns of both sides, or of a list of pairs."""
        wanted = np.ones(shape, dtype=bool) if asked.wanted is None else asked.wanted
        # With fewer pairs than columns, most of the time is spent on preparing the columns.
        many = asked.y is None or wanted.sum() > sum(shape)
        if isinstance(self.estimator, PairwiseEstimator) and many:
            yield from _rectangles(shape, step, symmetric=asked.y is None)
            return
        self.advance(0 if asked.y is None else int((~wanted).sum()))
        step = pairs_at_once(self.limits.memory, samples)
        a, b = np.nonzero(wanted) if asked.y is not None else np.triu_indices(shape[0], k=1)
        for start in range(0, len(a), step):
            yield a[start : start + step], b[start : start + step]

    def _computed(self, tables: Tables, parts: Sequence[Part]) -> Iterator[tuple[int, Index, Estimate]]:
        """The blocks of all parts, each with the number of its part."""
        tasks = (
            (number, part.asked.x, part.asked.y, index)
            for number, part in enumerate(parts)
            for index in part.blocks
        )
        first = next(tasks, None)
        if first is None:
            return
        whole = chain([first], tasks)
        tables = tables.prepared() if tables.can_prepare(self.limits.memory) else tables
        if self.limits.n_jobs is None:
            for number, x, y, index in whole:
                yield number, index, tables.estimate(x, y, index, self.advance)
            return
        shared = Shared(tables, self.limits.scratch)
        calls = (delayed(_with_index)(shared, *task) for task in whole)
        for number, index, block in in_parallel(self.limits.n_jobs, calls):
            self.advance(block.nats.size)
            yield number, index, block


def _rectangles(shape: tuple[int, int], step: int, *, symmetric: bool) -> Iterator[Index]:
    """Blocks of columns of x and of y; where they are the same, on and above the diagonal only."""
    of_x, of_y = ([slice(start, min(start + step, size)) for start in range(0, size, step)] for size in shape)
    for place, rows in enumerate(of_x):
        for columns in of_y[place:] if symmetric else of_y:
            yield rows, columns


RESULTS = ("nats", "stderr", "p_value", "outcome")
"""Arrays of an estimate."""


def _with_index(
    shared: Shared[Tables], number: int, x: int, y: int | None, index: Index
) -> tuple[int, Index, Estimate]:
    return number, index, shared.value.estimate(x, y, index, unless_stopped)


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
