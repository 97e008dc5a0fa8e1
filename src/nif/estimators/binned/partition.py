r"""The compiled loop of `Binned`: count each pair in a table, and find the best partition of it into bins.

The whole table is a bin; a bin can be cut into four, and each of those again, down to single cells. A cut is
made where the samples in a bin are not distributed as those of independent columns would be. It gains

.. math:: G = \sum_{c} n_c \log \frac{n_c}{n \, f_c}

for n samples in the bin, n_c in its parts, and f_c the fraction expected in a part from the margins alone.
Chance gains half a nat for each degree of freedom :math:`\nu` of the cut, so a cut pays a penalty; its net
gain is

.. math:: W = s\Big(G - c - \lambda \nu + \sum_c W_c\Big), \qquad s(u) = \max(0, u)

with W_c of its parts: one pass from the smallest bins upwards finds the best of all partitions. A cut without
a gain is made if the cuts below it gain enough.

The net gain itself is uncertain by a few nats. So the corner of s is rounded, :math:`s(u) = (u + h)^2 / 4 h`
for :math:`|u| < h`, and a bin counts as cut by the fraction :math:`s'(u)`, from 0 to 1: a small change of the
data then changes the value little.

Donoho (1997) searches in the same way; Darbellay & Vajda (1999) cut from the top, by a chi-square test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nif.estimators.binned.quantile_cells import COARSE, QuantileCells
from nif.estimators.jit import compiled, inlined

PRICE = 1.0
"""c, nats times samples that any cut must gain; otherwise cuts of few degrees of freedom would always be half
made."""

PENALTY = 1.3
"""lambda, nats times samples for each degree of freedom, more than twice the gain of chance."""

ROUNDED = 3.0
"""h, in nats times samples."""

MOST_LOGARITHMS = 2**17
"""Counts whose logarithm is read from a table."""

FEWEST = 4
"""Samples in a bin that may be cut."""

GAIN, SQUARE, FREEDOM, NET_GAIN = range(4)
"""Sums for a bin and all bins that it is cut into: of the log density ratio against the uncut bin over its
samples, and of its square; degrees of freedom; W."""


class Side(NamedTuple):
    """The columns of one side of all pairs.

    Attributes:
        cells: The cell of each sample.
        logs: Logarithm of the fraction of the samples of a part's parent that lie in the part.
        weights: 1 / samples of each part that was cut.
    """

    cells: UInt8[np.ndarray, "column sample"]
    logs: Float[np.ndarray, "column part"]
    weights: Float[np.ndarray, "column part"]

    @classmethod
    def of(cls, columns: QuantileCells) -> Side:
        """Compute logarithms and reciprocals once for a column, not for each of its pairs."""
        return cls(columns.cells, columns.log_fractions, columns.weights)


class Partition(NamedTuple):
    """The best partition of each pair for one set of samples.

    Attributes:
        nats: Information in the bins, less the part due to chance, half a nat for each degree of freedom.
        variance: Of the log density ratio over the samples.
        freedom: Degrees of freedom of the cuts, each times the fraction to which it is made.
        coarse: Samples in 8 x 8 cells.
    """

    nats: Float[np.ndarray, " pair"]
    variance: Float[np.ndarray, " pair"]
    freedom: Float[np.ndarray, " pair"]
    coarse: Int[np.ndarray, "pair row cell"]


def partitions(x: Side, y: Side, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]) -> Partition:
    """The information of column a of x with column b of y, for each pair (a, b).

    Example:
        >>> from nif.estimators.binned.quantile_cells import quantile_cells
        >>> coin = Side.of(quantile_cells(np.repeat([[0.0], [1.0]], 50, axis=0), depth=3))
        >>> pair = np.zeros(1, dtype=int)
        >>> partitions(coin, coin, pair, pair).nats.round(4)  # ln 2 - 1 / 200
        array([0.6881])
    """
    samples = x.cells.shape[1]
    bins, coarse = np.empty((len(a), 4)), np.empty((len(a), COARSE, COARSE), dtype=np.int32)
    cells = x.weights.shape[1]
    # Small integers where they suffice: less memory to clear and to read, 10 to 20 % of the time.
    counts = np.empty((cells, cells), dtype=np.int16 if samples < 2**15 else np.int32)
    logarithms = np.log(np.maximum(np.arange(min(samples, MOST_LOGARITHMS) + 1), 1))  # of all common counts
    _partition_pairs(x, y, a, b, logarithms, counts, bins, coarse)
    nats, freedom = bins[:, GAIN] / samples, bins[:, FREEDOM]
    return Partition(nats - freedom / (2 * samples), bins[:, SQUARE] / samples - nats**2, freedom, coarse)


@compiled
def _partition_pairs(x, y, a, b, logarithms, counts, results, coarse):  # type: ignore[no-untyped-def]
    bins = np.zeros((len(counts) // 2, len(counts) // 2, 4))
    for pair in range(a.size):
        i, j = a[pair], b[pair]
        _count(x.cells[i], y.cells[j], counts)
        logs, weights = (x.logs[i], y.logs[j]), (x.weights[i], y.weights[j])
        _fold(counts, bins, logs, weights, logarithms, coarse[pair])
        for value in range(4):
            results[pair, value] = bins[0, 0, value]


@inlined
def _count(left, right, counts):  # type: ignore[no-untyped-def]
    counts[:] = 0
    for sample in range(left.size):
        counts[left[sample], right[sample]] += 1


@inlined
def _fold(counts, bins, logs, weights, logarithms, coarse):  # type: ignore[no-untyped-def]
    """Merge bins by four, level by level, in place: the parts of bin (i, j) are read before it is written."""
    (log_x, log_y), (weight_x, weight_y) = logs, weights
    side, finest = counts.shape[0] // 2, True
    strip, merged = np.empty(2 * side, counts.dtype), np.empty(side, counts.dtype)
    while side > 0:
        if 2 * side == COARSE:
            for i in range(COARSE):  # an array's assignment takes two seconds longer to compile
                for j in range(COARSE):
                    coarse[i, j] = counts[i, j]
        for i in range(side):
            for j in range(2 * side):  # two loops without a branch, which the compiler vectorises
                strip[j] = counts[2 * i, j] + counts[2 * i + 1, j]
            most = 0  # few strips of small samples have a bin that may be cut
            for j in range(side):
                merged[j] = strip[2 * j] + strip[2 * j + 1]
                most = max(most, merged[j])
            for j in range(side if most >= FEWEST else 0):
                n = merged[j]
                if n < FEWEST:
                    continue
                across, down = weight_x[side + i], weight_y[side + j]
                ways = (1 + (across > 0)) * (1 + (down > 0))
                # The margins are known: a bin has n / samples of the freedom of each strip it lies in.
                freedom = ways - 1 - n * (across + down)
                net = -PRICE - PENALTY * freedom
                gain, square, log_n = 0.0, 0.0, _log(logarithms, n)
                for k in range(4):
                    p, q = 2 * i + k // 2, 2 * j + k % 2
                    part = counts[p, q]
                    ratio = _log(logarithms, part) - log_n - log_x[2 * side + p] - log_y[2 * side + q]
                    own = part * ratio
                    gain += own
                    square += own * ratio
                    net += own
                    if not finest:
                        cut = 1.0 if part >= FEWEST else 0.0  # what is not may be left of another pair
                        within = cut * bins[p, q, GAIN]
                        gain += within
                        square += cut * bins[p, q, SQUARE] + 2 * ratio * within
                        freedom += cut * bins[p, q, FREEDOM]
                        net += cut * bins[p, q, NET_GAIN]
                fraction, rounded = _cut(net) if ways > 1 else (0.0, 0.0)
                bins[i, j, GAIN] = fraction * gain
                bins[i, j, SQUARE] = fraction * square
                bins[i, j, FREEDOM] = fraction * freedom
                bins[i, j, NET_GAIN] = rounded
            for j in range(side):
                counts[i, j] = merged[j]
        side, finest = side // 2, False


@inlined
def _log(logarithms, count):  # type: ignore[no-untyped-def]
    return logarithms[count] if count < logarithms.size else np.log(count)


@compiled
def _cut(net):  # type: ignore[no-untyped-def]
    """The fraction s' to which a cut is made, and s."""
    near = min(max(net, -ROUNDED), ROUNDED) + ROUNDED
    return near / (2 * ROUNDED), max(near * near / (4 * ROUNDED), net)
