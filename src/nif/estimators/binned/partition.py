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

from nif.estimators.binned.independence import Pairs
from nif.estimators.binned.quantile_cells import COARSE, SHALLOWEST, QuantileCells
from nif.estimators.jit import compiled, inlined

PRICE = 1.0
"""c, nats times samples that any cut must gain; otherwise cuts of few degrees of freedom would always be half
made."""

PENALTY = 1.3
"""lambda, nats times samples for each degree of freedom, more than twice the gain of chance."""

ROUNDED = 3.0
"""h, in nats times samples."""

FEWEST = 4
"""Samples in a bin that may be cut."""

GAIN, SQUARE, FREEDOM, NET_GAIN = range(4)
"""Sums over the bins that a bin is cut into: of the log density ratio against the uncut bin over its samples,
and of its square; degrees of freedom; W. Of the whole table the first three are the result."""

SAMPLES, PARENT, PART_OF_X = np.uint64(32), np.uint64(16), np.uint64(8)
"""Where the fields of a bin begin in 64 bits: its samples, the number of the bin that it is a part of, and
its part of x; its part of y is in the first 8. Parts are numbered as in `QuantileCells`."""

ONE_BYTE, TWO_BYTES = np.uint64(0xFF), np.uint64(0xFFFF)

ONE, TWO, FOUR = np.uint64(1), np.uint64(2), np.uint64(4)
"""Without a sign, as are the indices made with them: one with a sign may count from the end, which takes time
to find out."""


Logarithms = Float[np.ndarray, " count"]


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

    @property
    def depth(self) -> int:
        """Levels of splits."""
        return self.weights.shape[1].bit_length() - 1

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


def logarithms_of_counts(samples: int) -> Logarithms:
    """Of 0 samples, where it is not used, 1, 2, ...; for all samples and for parts of them."""
    return np.asarray(np.log(np.maximum(np.arange(samples + 1), 1)))


def partitions(x: Side, y: Side, a: Pairs, b: Pairs, logarithms: Logarithms) -> Partition:
    """The information of column a of x with column b of y, for each pair (a, b).

    Example:
        >>> from nif.estimators.binned.quantile_cells import quantile_cells
        >>> coin = Side.of(quantile_cells(np.repeat([[0.0], [1.0]], 50, axis=0), depth=3))
        >>> pair = np.zeros(1, dtype=int)
        >>> partitions(coin, coin, pair, pair, logarithms_of_counts(100)).nats.round(4)  # ln 2 - 1 / 200
        array([0.6881])
    """
    samples = x.cells.shape[1]
    sums, coarse = _partition(x, y, a, b, logarithms, squares=True)
    nats, freedom = sums[:, GAIN] / samples, sums[:, FREEDOM]
    return Partition(nats - freedom / (2 * samples), sums[:, SQUARE] / samples - nats**2, freedom, coarse)


def information(
    x: Side, y: Side, a: Pairs, b: Pairs, logarithms: Logarithms, *, joined: int = 0
) -> Float[np.ndarray, " pair"]:
    """The same nats alone, in less time; in cells of twice the width where two are joined once."""
    samples = x.cells.shape[1]
    sums, _ = _partition(x, y, a, b, logarithms, squares=False, joined=joined)
    return sums[:, GAIN] / samples - sums[:, FREEDOM] / (2 * samples)


def _partition(
    x: Side, y: Side, a: Pairs, b: Pairs, logarithms: Logarithms, *, squares: bool, joined: int = 0
) -> tuple[Float[np.ndarray, "pair 3"], Int[np.ndarray, "pair row cell"]]:
    """Sums over the best partition of each pair; if there are squares among them, also the coarse counts."""
    samples, cells = x.cells.shape[1], x.weights.shape[1] >> joined
    sums, coarse = np.empty((len(a), 3)), np.empty((len(a), COARSE, COARSE), dtype=np.int32)
    # Small integers where they suffice: less memory to clear and to read.
    small, twice = (np.uint16, np.uint32) if samples < 2**16 else (np.uint32, np.uint64)
    counts = np.empty((cells, cells), dtype=small)
    levels = np.empty((cells.bit_length() - 1, cells // 2, cells // 2), dtype=np.uint32)
    tables = counts, counts.view(twice), levels, levels.view(np.uint64)
    most = 2 * levels[0].size  # bins of all levels
    bins = np.empty(most, np.uint64), np.empty((most, 4), np.uint32), np.empty((most, 4))
    _partition_pairs(x, y, a, b, joined, logarithms, tables, bins, squares, sums, coarse)
    return sums, coarse


@compiled
def _partition_pairs(x, y, a, b, joined, logarithms, tables, of_bins, squares, results, coarse):  # type: ignore[no-untyped-def]
    (counts, twos, levels, twos_of_level), (bins, parts, sums) = tables, of_bins
    for pair in range(a.size):
        i, j = a[pair], b[pair]
        _count(x.cells[i], y.cells[j], joined, counts)
        _merge(twos, 8 * counts.itemsize, levels[-1])
        for level in range(len(levels) - 1, 0, -1):
            _merge(twos_of_level[level, : 1 << level, : 1 << (level - 1)], 32, levels[level - 1])
        number = _find_bins(counts, levels, bins, parts)
        logs, weights = (x.logs[i], y.logs[j]), (x.weights[i], y.weights[j])
        _cut_bins(number, bins, parts, logs, weights, logarithms, squares, sums)
        for value in range(3):
            results[pair, value] = sums[0, value]
        for p in range(COARSE if squares else 0):
            for q in range(COARSE):
                coarse[pair, p, q] = levels[SHALLOWEST, p, q] if len(levels) > SHALLOWEST else counts[p, q]


@inlined
def _count(left, right, joined, counts):  # type: ignore[no-untyped-def]
    for i in range(len(counts)):  # an array's assignment takes longer to compile
        for j in range(len(counts)):
            counts[i, j] = 0
    for sample in range(left.size):
        counts[left[sample] >> joined, right[sample] >> joined] += 1


@compiled
def _merge(twos, bits, merged):  # type: ignore[no-untyped-def]
    """Add counts of 2 x 2 cells, two of which are in one number of twice the bits: this is vectorised."""
    integer = twos.dtype.type
    low, high = integer((1 << bits) - 1), integer(bits)
    for i in range(len(twos) // 2):
        for j in range(twos.shape[1]):
            two = integer(twos[2 * i, j] + twos[2 * i + 1, j])
            merged[i, j] = (two & low) + (two >> high)


@compiled
def _find_bins(counts, levels, bins, parts):  # type: ignore[no-untyped-def]
    """All bins that may be cut, from the whole table downwards, and the samples in the four parts of each."""
    bins[0] = np.uint64(levels[0, 0, 0]) << SAMPLES | ONE << PART_OF_X | ONE
    start, end = np.uint64(0), np.uint64(levels[0, 0, 0] >= FEWEST)
    for level in range(1, len(levels)):
        number, table, side = end, levels[level], np.uint64(1 << level)
        for parent in range(start, end):
            p, q = TWO * (bins[parent] >> PART_OF_X & ONE_BYTE), TWO * (bins[parent] & ONE_BYTE)
            first = parent << PARENT | p << PART_OF_X | q
            for part in range(FOUR):
                down, right = part // TWO, part % TWO
                samples = table[p - side + down, q - side + right]
                parts[parent, part] = samples
                bins[number] = np.uint64(samples) << SAMPLES | first + (down << PART_OF_X) + right
                number += np.uint64(samples >= FEWEST)  # no branch, as half of them would be mispredicted
        start, end = end, number
    side = np.uint64(len(counts))
    for last in range(start, end):
        p, q = TWO * (bins[last] >> PART_OF_X & ONE_BYTE), TWO * (bins[last] & ONE_BYTE)
        for part in range(FOUR):
            parts[last, part] = counts[p - side + part // TWO, q - side + part % TWO]
    return end


@compiled
def _cut_bins(number, bins, parts, logs, weights, logarithms, squares, sums):  # type: ignore[no-untyped-def]
    """Cut bins or leave them whole, smallest first; each adds its sums to the bin that it is a part of."""
    (log_x, log_y), (weight_x, weight_y) = logs, weights
    for k in range(max(number, ONE)):
        for value in range(4):
            sums[k, value] = 0.0
    for k in range(np.int64(number) - 1, -1, -1):
        p, q, n = bins[k] >> PART_OF_X & ONE_BYTE, bins[k] & ONE_BYTE, np.int64(bins[k] >> SAMPLES)
        across, down, log_n = weight_x[p], weight_y[q], logarithms[n]
        ways = (1 + (across > 0)) * (1 + (down > 0))
        # The margins are known: a bin has n / samples of the freedom of each strip it lies in.
        freedom = ways - 1 - n * (across + down)
        upper, lower = log_x[TWO * p] + log_n, log_x[TWO * p + ONE] + log_n
        left, right = log_y[TWO * q], log_y[TWO * q + ONE]
        n_0, n_1, n_2, n_3 = parts[k, 0], parts[k, 1], parts[k, 2], parts[k, 3]
        ratio_0, ratio_1 = logarithms[n_0] - upper - left, logarithms[n_1] - upper - right
        ratio_2, ratio_3 = logarithms[n_2] - lower - left, logarithms[n_3] - lower - right
        own_0, own_1, own_2, own_3 = n_0 * ratio_0, n_1 * ratio_1, n_2 * ratio_2, n_3 * ratio_3
        gain, square = (own_0 + own_1) + (own_2 + own_3), 0.0
        if squares:
            square = (own_0 * ratio_0 + own_1 * ratio_1) + (own_2 * ratio_2 + own_3 * ratio_3)
        fraction, rounded = _cut(gain + sums[k, NET_GAIN] - PRICE - PENALTY * freedom)
        if ways == 1:
            fraction, rounded = 0.0, 0.0
        gain = fraction * (gain + sums[k, GAIN])
        square = fraction * (square + sums[k, SQUARE])
        freedom = fraction * (freedom + sums[k, FREEDOM])
        if k == 0:
            sums[0, GAIN], sums[0, SQUARE], sums[0, FREEDOM] = gain, square, freedom
            break
        parent = bins[k] >> PARENT & TWO_BYTES
        sums[parent, GAIN] += gain
        sums[parent, FREEDOM] += freedom
        sums[parent, NET_GAIN] += rounded
        if squares:
            ratio = log_n - logarithms[bins[parent] >> SAMPLES] - log_x[p] - log_y[q]
            sums[parent, SQUARE] += square + 2 * ratio * gain


@compiled
def _cut(net):  # type: ignore[no-untyped-def]
    """The fraction s' to which a cut is made, and s."""
    near = min(max(net, -ROUNDED), ROUNDED) + ROUNDED
    return near * (0.5 / ROUNDED), max(near * near * (0.25 / ROUNDED), net)
