r"""Mutual information of all pairs of columns from adaptive bins.

Every column is replaced by its ranks, cut into 128 cells of equal mass; equal values are ordered at random,
which adds noise that knows nothing of the other column and so changes no information. Each pair then has a
128 x 128 table of counts. Starting from one bin, a bin is cut into four as long as its counts are not those
of independent columns (chi-square), and

.. math:: \hat I = \sum_{\text{bins}} p_{xy} \log \frac{p_{xy}}{p_x p_y}.

That is the Donsker–Varadhan bound (eq. 1) at its supremum over critics that are constant on these bins. What
the bins miss shrinks with more samples, so the value is extrapolated from all samples and from both halves.

References:
    Darbellay & Vajda (1999), Estimation of the information by an adaptive partitioning of the observation
    space, IEEE Transactions on Information Theory 45(4).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.stats import chi2

from nif.contracts import Advance, Estimate, InputError, Outcome, ignore
from nif.estimators.partition import CELLS, partitions

PAIRS_AT_ONCE = 4096
"""Pairs that one thread takes at a time."""

MOST_COARSE_CELLS = 8
"""Cells a side in the test of independence."""


@dataclass(frozen=True)
class Binned:
    """Adaptive bins on the ranks: a few tens of microseconds a pair, in any number of pairs.

    It sees any dependence between two numbers, smooth or not, and ReLU zeros or discrete values as they are.
    Bins can not follow a very sharp ridge with few samples: values above 1 nat come out low at N = 1,000.

    Args:
        threads: Threads that share the pairs; None is one for each core. The result does not depend on it.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1, 4000, 1))
        >>> found = Binned().estimate(x, x + np.random.default_rng(1).normal(size=(1, 4000, 1)))
        >>> bool(abs(found.nats[0] - 0.347) < 0.04)
        True
    """

    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads is {self.threads}; expected 1 or more, or None for one for each core.")

    def __repr__(self) -> str:
        return "Binned()"

    def estimate(
        self,
        x: Float[np.ndarray, "pair sample dim_x"],
        y: Float[np.ndarray, "pair sample dim_y"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X; Y) of each pair of numbers; see `nif.contracts.Estimator`.

        Raises:
            InputError: A side has more than one component.
        """
        if x.shape[2] != 1 or y.shape[2] != 1:
            raise InputError(
                f"Binned takes pairs of numbers and was given sides of {x.shape[2]} and {y.shape[2]} "
                "components; use nif.Mine() or nif.Ksg() for vectors."
            )
        each = np.arange(len(x))
        return self._listed(x[:, :, 0].T, y[:, :, 0].T, (each, each), seed, advance)

    def pairwise(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X_a; Y_b) of all pairs; half of the work where x is y."""
        if x is y:
            return self._within(x, seed, advance)
        a, b = np.indices((x.shape[1], y.shape[1])).reshape(2, -1)
        return self._listed(x, y, (a, b), seed, advance).map(lambda v: v.reshape(x.shape[1], y.shape[1]))

    def _within(self, x: np.ndarray, seed: int, advance: Advance) -> Estimate:
        width = x.shape[1]
        a, b = np.triu_indices(width)

        def square(values: np.ndarray) -> np.ndarray:
            full = np.empty((width, width), dtype=values.dtype)
            full[a, b] = full[b, a] = values
            return full

        return self._listed(x, x, (a, b), seed, advance).map(square)

    def _listed(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        pairs: tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]],
        seed: int,
        advance: Advance,
    ) -> Estimate:
        (a, b), samples = pairs, len(x)
        left, right = rank_cells(x, seed), rank_cells(y, seed + 1)
        coarse = int(np.clip(np.sqrt(samples / 10), 2, MOST_COARSE_CELLS))

        def work(start: int) -> Float[np.ndarray, "pair 3"]:
            block = slice(start, start + PAIRS_AT_ONCE)
            return partitions(left, right, a[block], b[block], coarse)

        found = np.empty((len(a), 3))
        with ThreadPoolExecutor(self.threads or os.cpu_count()) as pool:
            starts = range(0, len(a), PAIRS_AT_ONCE)
            for start, part in zip(starts, pool.map(work, starts), strict=True):
                found[start : start + len(part)] = part
                advance(len(part))
        most = np.minimum(_entropies(x)[a], _entropies(y)[b])
        return self._finished(found, most, samples, coarse)

    def _finished(
        self, found: Float[np.ndarray, "pair 3"], most: Float[np.ndarray, " pair"], samples: int, coarse: int
    ) -> Estimate:
        """p-values; no more than the entropy of a side; nothing from a constant side."""
        degenerate = most == 0
        p_value = chi2.sf(found[:, 2] * (samples - 1) / samples, (coarse - 1) ** 2)
        return Estimate.of(
            np.where(degenerate, 0.0, np.minimum(found[:, 0], most)),
            stderr=np.where(degenerate, 0.0, found[:, 1]),
            p_value=np.where(degenerate, 1.0, p_value),
            outcome=np.where(degenerate, Outcome.DEGENERATE, Outcome.CONVERGED),
            samples=samples,
            estimator=repr(self),
        )


def rank_cells(columns: Float[np.ndarray, "sample column"], seed: int) -> UInt8[np.ndarray, "column sample"]:
    """The cell of equal mass that each sample falls into, samples in an order drawn once for all columns.

    Example:
        >>> rank_cells(np.arange(256.0)[:, None], seed=0).max()
        np.uint8(127)
    """
    samples, width = columns.shape
    order = np.random.default_rng(0).permutation(samples)
    cells = np.empty((width, samples), dtype=np.uint8)
    for index in range(width):
        ties = np.random.default_rng((seed, index)).permutation(samples)
        ranks = np.empty(samples, dtype=np.int64)
        ranks[np.lexsort((ties, columns[:, index]))] = np.arange(samples)
        cells[index] = (ranks * CELLS // samples)[order]
    return cells


def _entropies(columns: Float[np.ndarray, "sample column"]) -> Float[np.ndarray, " column"]:
    """Entropy in nats of the values seen in each column."""
    found = np.empty(columns.shape[1])
    for index, column in enumerate(columns.T):
        counts = np.unique(column, return_counts=True)[1]
        found[index] = (
            -(counts * np.log(counts / len(column))).sum() / len(column) if len(counts) > 1 else 0.0
        )
    return found
