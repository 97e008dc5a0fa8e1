"""Every column with every column, by whatever way an estimator has, in blocks and in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from joblib import Parallel, delayed

from nif.contracts import Advance, AllPairs, Estimate, Estimator, InputError, Outcome, ignore

PAIRS_AT_ONCE = 256
"""Pairs of columns that are laid out side by side for an estimator that works pair by pair."""


@dataclass(frozen=True)
class AllColumns:
    """An estimator with the way its work is shared out.

    Args:
        estimator: Does the estimation.
        seed: Seeds it; a pair's result does not depend on the block or the job it falls into.
        n_jobs: Processes, through joblib, so that the backend the caller has chosen is used. None works in
            this process, where an estimator may use threads of its own.
        advance: Told of the pairs that are done.
    """

    estimator: Estimator
    seed: int = 0
    n_jobs: int | None = None
    advance: Advance = ignore

    def between(self, x: Float[np.ndarray, "sample a"], y: Float[np.ndarray, "sample b"]) -> Estimate:
        """I(X_a; Y_b) of every column of x with every column of y, ``[a, b]``."""
        if isinstance(self.estimator, AllPairs):
            return self._column_blocks(self.estimator, x, y)
        a, b = np.indices((x.shape[1], y.shape[1])).reshape(2, -1)
        return self._listed(x, y, a, b).map(lambda values: values.reshape(x.shape[1], y.shape[1]))

    def within(self, x: Float[np.ndarray, "sample a"]) -> Estimate:
        """I(X_a; X_b) of all columns of one array, ``[a, a]``.

        The diagonal is the entropy of the values seen (`entropy`): what a column tells of itself.
        """
        if isinstance(self.estimator, AllPairs):
            return with_entropy(self._column_blocks(self.estimator, x, x), x)
        width = x.shape[1]
        a, b = np.triu_indices(width, k=1)
        return with_entropy(self._listed(x, x, a, b).map(lambda values: _symmetric(values, a, b, width)), x)

    def _listed(
        self, x: np.ndarray, y: np.ndarray, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]
    ) -> Estimate:
        """The pairs (a, b) of columns, block by block."""

        def work(advance: Advance, block: slice) -> Estimate:
            return self.estimator.estimate(
                x.T[a[block], :, None], y.T[b[block], :, None], seed=self.seed, advance=advance
            )

        blocks = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(a), PAIRS_AT_ONCE)]
        sizes = [len(a[block]) for block in blocks]
        return joined(list(self._run(work, blocks, sizes)), x.shape[0], repr(self.estimator))

    def _column_blocks(self, estimator: AllPairs, x: np.ndarray, y: np.ndarray) -> Estimate:
        if self.n_jobs is None:
            return estimator.pairwise(x, y, seed=self.seed, advance=self.advance)

        def work(advance: Advance, block: slice) -> Estimate:
            return estimator.pairwise(x[:, block], y, seed=self.seed, advance=advance)

        step = max(1, -(-x.shape[1] // 8))
        blocks = [slice(start, start + step) for start in range(0, x.shape[1], step)]
        sizes = [x[:, block].shape[1] * y.shape[1] for block in blocks]
        return joined(list(self._run(work, blocks, sizes)), x.shape[0], repr(estimator))

    def _run(
        self, work: Callable[[Advance, slice], Estimate], blocks: Sequence[slice], sizes: Sequence[int]
    ) -> Iterator[Estimate]:
        if self.n_jobs is None:
            for block in blocks:
                yield work(self.advance, block)
            return
        jobs = (delayed(work)(ignore, block) for block in blocks)
        for size, result in zip(
            sizes, Parallel(n_jobs=self.n_jobs, return_as="generator")(jobs), strict=True
        ):
            self.advance(size)
            yield result


def joined(parts: Sequence[Estimate], samples: int, estimator: str) -> Estimate:
    """Estimates one after another along their first axis."""

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts]) if parts else np.empty(0)

    return Estimate.of(
        together("nats"),
        stderr=together("stderr"),
        p_value=together("p_value"),
        outcome=together("outcome"),
        samples=samples,
        estimator=estimator,
    )


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


def with_entropy(estimate: Estimate, x: Float[np.ndarray, "sample a"]) -> Estimate:
    """A square estimate with the entropy of each column on its diagonal."""
    own = np.array([entropy(column) for column in x.T]).reshape(-1, 2)
    constant = np.ptp(x, axis=0) == 0
    nats, stderr = estimate.nats.copy(), estimate.stderr.copy()
    p_value, outcome = estimate.p_value.copy(), estimate.outcome.copy()
    np.fill_diagonal(nats, own[:, 0])
    np.fill_diagonal(stderr, own[:, 1])
    np.fill_diagonal(p_value, np.where(constant, 1.0, 0.0))
    np.fill_diagonal(outcome, np.where(constant, Outcome.DEGENERATE, Outcome.CONVERGED))
    return Estimate.of(
        nats,
        stderr=stderr,
        p_value=p_value,
        outcome=outcome,
        samples=estimate.samples,
        estimator=estimate.estimator,
    )


def checked_jobs(n_jobs: int | None) -> int | None:
    """Refuse a number of processes that joblib would not understand."""
    if n_jobs == 0:
        raise InputError(f"n_jobs is {n_jobs!r}; expected None, a number of processes, or -1 for all cores.")
    return n_jobs


def _symmetric(
    values: np.ndarray, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"], width: int
) -> np.ndarray:
    square = np.zeros((width, width), dtype=values.dtype)
    square[a, b] = square[b, a] = values
    return square
