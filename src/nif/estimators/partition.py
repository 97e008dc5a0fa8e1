"""The compiled loop behind `Binned`: a table of counts for each pair, averaged over all ways to cut it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from nif.estimators.halving import SHALLOWEST, Halved

PENALTY = 1.6
"""Nats times samples that a degree of freedom must gain to be as likely as not; chance alone gives 1/2."""

FEWEST = 4
"""Samples in a bin that may be cut."""

COARSE = 1 << SHALLOWEST
"""Cells a side in the table of the test of independence."""

GAIN, SQUARE, FREEDOM, EVIDENCE = range(4)
"""What is known of a bin and all that it is cut into: the sum over its samples of the log density ratio
against the bin uncut, of its square, the degrees of freedom of the cuts, and the log odds of cutting."""


class Partition(NamedTuple):
    """What one set of samples says of each pair.

    Attributes:
        nats: Information of the bins, freed of what chance adds.
        variance: Of the log density ratio over the samples.
        freedom: Degrees of freedom of the cuts, each weighed by its probability.
        coarse: Counts in 8 x 8 cells.
    """

    nats: Float[np.ndarray, " pair"]
    variance: Float[np.ndarray, " pair"]
    freedom: Float[np.ndarray, " pair"]
    coarse: Int[np.ndarray, "pair row cell"]


class Side(NamedTuple):
    """One side of all pairs, as the compiled loop takes it."""

    cells: np.ndarray
    log_shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, halved: Halved) -> Side:
        """Logarithms and reciprocals, computed once for a column and not once for a pair."""
        return cls(halved.cells, halved.log_shares, halved.weights)


def partitions(
    x: Side, y: Side, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]
) -> Partition:
    """The information of column a of x with column b of y, for each pair (a, b)."""
    samples = x.cells.shape[1]
    found, coarse = np.empty((len(a), 3)), np.empty((len(a), COARSE, COARSE), dtype=np.int32)
    logarithms = np.log(np.maximum(np.arange(samples + 1), 1))
    _each(x, y, a, b, logarithms, found, coarse)
    nats = found[:, GAIN] / samples
    freedom = found[:, FREEDOM]
    return Partition(nats - freedom / (2 * samples), found[:, SQUARE] / samples - nats**2, freedom, coarse)


@njit(nogil=True, cache=True)
def _each(x, y, a, b, logarithms, found, coarse):  # type: ignore[no-untyped-def]
    cells = x.weights.shape[1]
    counts = np.empty((cells, cells), np.int32)
    bins = np.zeros((cells // 2, cells // 2, 4))
    for pair in range(a.size):
        i, j = a[pair], b[pair]
        _count(x.cells[i], y.cells[j], counts)
        _fold(counts, bins, x.log_shares[i], y.log_shares[j], x.weights[i], y.weights[j], logarithms, coarse[pair])
        for column in range(3):
            found[pair, column] = bins[0, 0, column]


@njit(nogil=True, cache=True)
def _count(left, right, counts):  # type: ignore[no-untyped-def]
    counts[:] = 0
    for sample in range(left.size):
        counts[left[sample], right[sample]] += 1


@njit(nogil=True, cache=True)
def _fold(counts, bins, log_x, log_y, weight_x, weight_y, logarithms, coarse):  # type: ignore[no-untyped-def]
    """Join bins by four, level by level, in place: the parts of bin (i, j) are read before it is written."""
    side, finest = counts.shape[0] // 2, True
    while side > 0:
        if 2 * side == COARSE:
            coarse[:] = counts[:COARSE, :COARSE]
        for i in range(side):
            for j in range(side):
                n = counts[2 * i, 2 * j] + counts[2 * i, 2 * j + 1]
                n += counts[2 * i + 1, 2 * j] + counts[2 * i + 1, 2 * j + 1]
                if n >= FEWEST:
                    across, down = weight_x[side + i], weight_y[side + j]
                    ways = (1 + (across > 0)) * (1 + (down > 0))
                    # Less than 3: the margins of the two strips that the bin lies in are known.
                    freedom = ways - 1 - n * (across + down)
                    evidence = -PENALTY * freedom
                    gain, square = 0.0, 0.0
                    for k in range(4):
                        p, q = k // 2, k % 2
                        part = counts[2 * i + p, 2 * j + q]
                        if part == 0:
                            continue
                        ratio = logarithms[part] - logarithms[n]
                        ratio -= log_x[2 * (side + i) + p] + log_y[2 * (side + j) + q]
                        gain += part * ratio
                        square += part * ratio * ratio
                        evidence += part * ratio
                        if not finest and part >= FEWEST:
                            within = bins[2 * i + p, 2 * j + q, GAIN]
                            gain += within
                            square += bins[2 * i + p, 2 * j + q, SQUARE] + 2 * ratio * within
                            freedom += bins[2 * i + p, 2 * j + q, FREEDOM]
                            evidence += bins[2 * i + p, 2 * j + q, EVIDENCE]
                    chance = _probability(evidence) if ways > 1 else 0.0
                    bins[i, j, GAIN] = chance * gain
                    bins[i, j, SQUARE] = chance * square
                    bins[i, j, FREEDOM] = chance * freedom
                    bins[i, j, EVIDENCE] = _log_sum(evidence) if ways > 1 else 0.0
                counts[i, j] = n
        side, finest = side // 2, False


@njit(nogil=True, cache=True)
def _probability(log_odds):  # type: ignore[no-untyped-def]
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -30 else 0.0


@njit(nogil=True, cache=True)
def _log_sum(log_odds):  # type: ignore[no-untyped-def]
    return log_odds if log_odds > 30 else math.log1p(math.exp(log_odds))
