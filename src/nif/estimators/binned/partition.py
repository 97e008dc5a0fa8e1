r"""The compiled loop behind `Binned`: a table of counts for each pair, and how best to cut it into bins.

The whole table is a bin; a bin can be cut into four, and each of those again, down to single cells. A cut
says that the samples in a bin are not spread as those of independent columns would be. It gains

.. math:: G = \sum_{c} n_c \log \frac{n_c}{n \, f_c}

for n samples in the bin, n_c in its parts, and f_c the share that the margins alone give to a part. Chance
gains half a nat for each degree of freedom :math:`\nu` of the cut, so a cut must pay a penalty, and is worth

.. math:: W = s\Big(G - c - \lambda \nu + \sum_c W_c\Big), \qquad s(u) = \max(0, u)

with W_c of its parts: one pass from the smallest bins upwards finds the best of all partitions. A cut that
shows nothing by itself is made where those below it are worth it.

Whether a cut is worth it is itself uncertain by a few nats. So the corner of s is rounded,
:math:`s(u) = (u + h)^2 / 4 h` for :math:`|u| < h`, and a bin counts as cut by the share :math:`s'(u)`, from 0
to 1: a small change of the data then changes the value little.

References:
    Donoho (1997), CART and best-ortho-basis: a connection, Annals of Statistics 25(5): the same search.
    Darbellay & Vajda (1999), Estimation of the information by an adaptive partitioning of the observation
    space, IEEE Transactions on Information Theory 45(4): bins cut from the top, by a chi-square test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nif.estimators.binned.quantile_cells import COARSE, Halved, Parts
from nif.estimators.jit import compiled, inlined

PRICE = 1.0
"""c, nats times samples that any cut must gain; else cuts of little freedom would always be half made."""

PENALTY = 1.3
"""lambda, nats times samples for each degree of freedom, more than twice what chance gives."""

ROUNDED = 3.0
"""h, in nats times samples."""

MOST_LOGARITHMS = 2**17
"""Counts whose logarithm is looked up."""

FEWEST = 4
"""Samples in a bin that may be cut."""

GAIN, SQUARE, FREEDOM, WORTH = range(4)
"""What is known of a bin with all that it is cut into: sums over its samples of the log density ratio against
the bin left whole, and of its square; degrees of freedom; W."""


class Shares(NamedTuple):
    """What is computed of the parts of a column once, and not for each of its pairs."""

    logs: Float[np.ndarray, "column part"]
    weights: Float[np.ndarray, "column part"]

    @classmethod
    def of(cls, parts: Parts) -> Shares:
        """Logarithms and reciprocals of the sizes of all parts."""
        return cls(parts.log_shares, parts.weights)


class Side(NamedTuple):
    """The columns of one side of all pairs."""

    cells: UInt8[np.ndarray, "column sample"]
    shares: Shares

    @classmethod
    def of(cls, halved: Halved) -> Side:
        """Cells, and the shares of the parts that they lie in."""
        return cls(halved.cells, Shares.of(halved.parts))


class Partition(NamedTuple):
    """What one set of samples says of each pair.

    Attributes:
        nats: Information that the bins see, freed of what chance adds, half a nat for each degree of freedom.
        variance: Of the log density ratio over the samples.
        freedom: Degrees of freedom of the cuts, each by its share.
        coarse: Samples in 8 x 8 cells.
    """

    nats: Float[np.ndarray, " pair"]
    variance: Float[np.ndarray, " pair"]
    freedom: Float[np.ndarray, " pair"]
    coarse: Int[np.ndarray, "pair row cell"]


def partitions(x: Side, y: Side, a: Int[np.ndarray, " pair"], b: Int[np.ndarray, " pair"]) -> Partition:
    """The information of column a of x with column b of y, for each pair (a, b).

    Example:
        >>> from nif.estimators.binned.quantile_cells import halved
        >>> coin = Side.of(halved(np.repeat([[0.0], [1.0]], 50, axis=0), depth=3))
        >>> pair = np.zeros(1, dtype=int)
        >>> partitions(coin, coin, pair, pair).nats.round(4)  # ln 2 - 1 / 200
        array([0.6881])
    """
    samples = x.cells.shape[1]
    found, coarse = np.empty((len(a), 4)), np.empty((len(a), COARSE, COARSE), dtype=np.int32)
    cells = x.shares.weights.shape[1]
    # Small numbers where they suffice: less memory to clear and to read, a tenth to a fifth of the time.
    counts = np.empty((cells, cells), dtype=np.int16 if samples < 2**15 else np.int32)
    _each(x, y, a, b, _logarithms(samples), counts, found, coarse)
    return _partition(found, coarse, samples)


def partitions_of_tables(
    tables: Int[np.ndarray, "pair row column"],
    x: Shares,
    y: Shares,
    a: Int[np.ndarray, " pair"],
    b: Int[np.ndarray, " pair"],
    samples: int,
) -> Partition:
    """The same from tables of counts; they are written over.

    Args:
        tables: Samples in each pair of cells of column a of x and column b of y.
        x: Parts of the columns of the rows.
        y: Parts of the columns of the columns.
        a: Which of them.
        b: Which of them.
        samples: In each table.

    Example:
        >>> shares = Shares.of(Parts.of_cells(np.array([[50, 0, 0, 0, 50, 0, 0, 0]])))
        >>> coin, pair = np.zeros((1, 8, 8), dtype=np.int32), np.zeros(1, dtype=int)
        >>> coin[0, 0, 0] = coin[0, 4, 4] = 50
        >>> partitions_of_tables(coin, shares, shares, pair, pair, 100).nats.round(4)
        array([0.6881])
    """
    found, coarse = np.empty((len(a), 4)), np.empty((len(a), COARSE, COARSE), dtype=np.int32)
    _each_table(tables, x, y, a, b, _logarithms(samples), found, coarse)
    return _partition(found, coarse, samples)


def _logarithms(samples: int) -> Float[np.ndarray, " count"]:
    """Of every count that is common; the others are computed."""
    return np.log(np.maximum(np.arange(min(samples, MOST_LOGARITHMS) + 1), 1))


def _partition(found: Float[np.ndarray, "pair value"], coarse: np.ndarray, samples: int) -> Partition:
    nats, freedom = found[:, GAIN] / samples, found[:, FREEDOM]
    return Partition(nats - freedom / (2 * samples), found[:, SQUARE] / samples - nats**2, freedom, coarse)


@compiled
def _each(x, y, a, b, logarithms, counts, found, coarse):  # type: ignore[no-untyped-def]
    bins = np.zeros((len(counts) // 2, len(counts) // 2, 4))
    for pair in range(a.size):
        i, j = a[pair], b[pair]
        _count(x.cells[i], y.cells[j], counts)
        logs, weights = (x.shares.logs[i], y.shares.logs[j]), (x.shares.weights[i], y.shares.weights[j])
        _fold(counts, bins, logs, weights, logarithms, coarse[pair])
        for value in range(4):
            found[pair, value] = bins[0, 0, value]


@compiled
def _each_table(tables, x, y, a, b, logarithms, found, coarse):  # type: ignore[no-untyped-def]
    bins = np.zeros((tables.shape[1] // 2, tables.shape[1] // 2, 4))
    for pair in range(a.size):
        i, j = a[pair], b[pair]
        logs, weights = (x.logs[i], y.logs[j]), (x.weights[i], y.weights[j])
        _fold(tables[pair], bins, logs, weights, logarithms, coarse[pair])
        for value in range(4):
            found[pair, value] = bins[0, 0, value]


@inlined
def _count(left, right, counts):  # type: ignore[no-untyped-def]
    counts[:] = 0
    for sample in range(left.size):
        counts[left[sample], right[sample]] += 1


@inlined
def _fold(counts, bins, logs, weights, logarithms, coarse):  # type: ignore[no-untyped-def]
    """Join bins by four, level by level, in place: the parts of bin (i, j) are read before it is written."""
    (log_x, log_y), (weight_x, weight_y) = logs, weights
    side, finest = counts.shape[0] // 2, True
    strip, joined = np.empty(2 * side, counts.dtype), np.empty(side, counts.dtype)
    while side > 0:
        if 2 * side == COARSE:
            for i in range(COARSE):  # an array's assignment takes two seconds longer to compile
                for j in range(COARSE):
                    coarse[i, j] = counts[i, j]
        for i in range(side):
            for j in range(2 * side):  # two loops without a branch, which the processor does in lanes
                strip[j] = counts[2 * i, j] + counts[2 * i + 1, j]
            for j in range(side):
                joined[j] = strip[2 * j] + strip[2 * j + 1]
            for j in range(side):
                n = joined[j]
                if n < FEWEST:
                    continue
                across, down = weight_x[side + i], weight_y[side + j]
                ways = (1 + (across > 0)) * (1 + (down > 0))
                # The margins are known: of the strips that the bin lies in, it owns so much of a cut.
                freedom = ways - 1 - n * (across + down)
                worth = -PRICE - PENALTY * freedom
                gain, square, log_n = 0.0, 0.0, _log(logarithms, n)
                for k in range(4):
                    p, q = 2 * i + k // 2, 2 * j + k % 2
                    part = counts[p, q]
                    ratio = _log(logarithms, part) - log_n - log_x[2 * side + p] - log_y[2 * side + q]
                    gain += part * ratio
                    square += part * ratio * ratio
                    worth += part * ratio
                    if part >= FEWEST and not finest:
                        within = bins[p, q, GAIN]
                        gain += within
                        square += bins[p, q, SQUARE] + 2 * ratio * within
                        freedom += bins[p, q, FREEDOM]
                        worth += bins[p, q, WORTH]
                share, rounded = _cut(worth) if ways > 1 else (0.0, 0.0)
                bins[i, j, GAIN] = share * gain
                bins[i, j, SQUARE] = share * square
                bins[i, j, FREEDOM] = share * freedom
                bins[i, j, WORTH] = rounded
            for j in range(side):
                counts[i, j] = joined[j]
        side, finest = side // 2, False


@inlined
def _log(logarithms, count):  # type: ignore[no-untyped-def]
    return logarithms[count] if count < logarithms.size else np.log(count)


@compiled
def _cut(worth):  # type: ignore[no-untyped-def]
    """s' and s."""
    if worth >= ROUNDED:
        return 1.0, worth
    if worth <= -ROUNDED:
        return 0.0, 0.0
    return (worth + ROUNDED) / (2 * ROUNDED), (worth + ROUNDED) ** 2 / (4 * ROUNDED)
