"""The compiled loop behind `Binned`: a table of counts for each pair, cut where it is not independent."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int, UInt8
from numba import njit

CELLS = 128
"""Cells of equal mass a side; the finest resolution."""

CRITICAL = 7.815
"""Chi-square with 3 degrees of freedom that is exceeded by chance in 5 % of independent bins."""

CRITICAL_FINE = 24.996
"""The same with 15 degrees of freedom: a bin that looks independent in 2 x 2 may not in 4 x 4."""

FEWEST = 8
"""Samples in a bin that may be cut."""


def partitions(
    x: UInt8[np.ndarray, "a sample"],
    y: UInt8[np.ndarray, "b sample"],
    a: Int[np.ndarray, " pair"],
    b: Int[np.ndarray, " pair"],
    coarse: int,
) -> Float[np.ndarray, "pair 3"]:
    """Nats, their standard error, and Pearson's chi-square on a coarse table, for each pair of columns.

    Args:
        x: Cells of the columns of one side, samples in random order.
        y: Cells of the other side's, in the same order.
        a: Column of x of each pair.
        b: Column of y of each pair.
        coarse: Cells a side in the table of the chi-square.
    """
    found = np.empty((len(a), 3))
    _each(x, y, a, b, coarse, found)
    return found


@njit(nogil=True, cache=True)
def _each(x, y, a, b, coarse, found):  # type: ignore[no-untyped-def]
    samples = x.shape[1]
    half = samples // 2
    first = np.zeros((CELLS + 1, CELLS + 1), np.int32)
    second = np.zeros((CELLS + 1, CELLS + 1), np.int32)
    stack = np.empty((CELLS * CELLS, 4), np.int64)
    for pair in range(a.size):
        left, right = x[a[pair]], y[b[pair]]
        _cumulated(left[:half], right[:half], first)
        _cumulated(left[half:], right[half:], second)
        of_halves = (_partition(first, half, stack)[0] + _partition(second, samples - half, stack)[0]) / 2
        first += second
        nats, variance = _partition(first, samples, stack)
        found[pair, 0] = 2 * nats - of_halves
        found[pair, 1] = math.sqrt(variance / samples)
        found[pair, 2] = _chi_square(first, samples, coarse)


@njit(nogil=True, cache=True)
def _cumulated(left, right, table):  # type: ignore[no-untyped-def]
    """Samples in cells up to i and j, in row i and column j."""
    table[:] = 0
    for sample in range(left.size):
        table[left[sample] + 1, right[sample] + 1] += 1
    for i in range(1, CELLS + 1):
        row = 0
        for j in range(1, CELLS + 1):
            row += table[i, j]
            table[i, j] = table[i - 1, j] + row


@njit(nogil=True, cache=True)
def _count(table, i, i_end, j, j_end):  # type: ignore[no-untyped-def]
    return table[i_end, j_end] - table[i, j_end] - table[i_end, j] + table[i, j]


@njit(nogil=True, cache=True)
def _statistic(table, i, j, size, parts, count):  # type: ignore[no-untyped-def]
    """Chi-square of a square bin against an even spread over parts x parts."""
    step = size // parts
    expected = count / (parts * parts)
    total = 0.0
    for p in range(parts):
        for q in range(parts):
            seen = _count(table, i + p * step, i + (p + 1) * step, j + q * step, j + (q + 1) * step)
            total += (seen - expected) ** 2 / expected
    return total


@njit(nogil=True, cache=True)
def _partition(table, samples, stack):  # type: ignore[no-untyped-def]
    """Information of the adaptive bins, and the variance of the log density ratio over the samples."""
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, CELLS
    waiting, cuts = 1, 0
    mean, square = 0.0, 0.0
    while waiting > 0:
        waiting -= 1
        i, j, size = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2]
        count = _count(table, i, i + size, j, j + size)
        if count == 0:
            continue
        cut = size > 1 and count >= FEWEST and _statistic(table, i, j, size, 2, count) > CRITICAL
        if not cut and size >= 4 and count >= 4 * FEWEST:
            cut = _statistic(table, i, j, size, 4, count) > CRITICAL_FINE
        if cut:
            cuts += 1
            for p in range(2):
                for q in range(2):
                    stack[waiting, 0] = i + p * size // 2
                    stack[waiting, 1] = j + q * size // 2
                    stack[waiting, 2] = size // 2
                    waiting += 1
        else:
            share = count / samples
            log_ratio = math.log(share * CELLS * CELLS / (float(size) * size))
            mean += share * log_ratio
            square += share * log_ratio**2
    # What chance adds to a cut of an independent bin, so that "no dependence seen" has an error too.
    return mean, square - mean**2 + 1.5 * (cuts + 1) / samples


@njit(nogil=True, cache=True)
def _chi_square(table, samples, coarse):  # type: ignore[no-untyped-def]
    """Pearson's statistic of independence on coarse x coarse bins of about equal mass."""
    total = 0.0
    for p in range(coarse):
        i, i_end = p * CELLS // coarse, (p + 1) * CELLS // coarse
        row = table[i_end, CELLS] - table[i, CELLS]
        for q in range(coarse):
            j, j_end = q * CELLS // coarse, (q + 1) * CELLS // coarse
            column = table[CELLS, j_end] - table[CELLS, j]
            expected = row * column / samples
            total += (_count(table, i, i_end, j, j_end) - expected) ** 2 / expected
    return total
