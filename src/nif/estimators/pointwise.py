r"""Influence of each row on the information of two columns, by pointwise information in bins.

The joint table of 8 x 8 bins of equal mass is mixed with that of independent columns, :math:`\kappa` half
the number of cells (Jeffreys' prior):

.. math:: \frac{\hat p(a, b)}{p(a) p(b)} = \frac{n_{ab} / (p_a p_b) + \kappa}{N + \kappa}
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from nif.estimators.jit import compiled, inlined

BINS = 8
"""Bins of a column, which a thousand rows fill."""

SMALLEST = 1e-9
"""Deviation of the influence, in nats, below which it is rounding."""


def bins_of(values: Float[np.ndarray, "row unit"]) -> UInt8[np.ndarray, "row unit"]:
    """The bin of each value: of equal mass; one that fills more of them, as the 0 of a ReLU, is its own.

    Example:
        >>> bins_of(np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [2.0], [3.0], [4.0]])).ravel().tolist()
        [0, 0, 0, 0, 1, 2, 3, 4]
    """
    ends = np.quantile(values, np.arange(1, BINS) / BINS, axis=0, method="inverted_cdf")
    bins = np.empty(values.shape, dtype=np.uint8)
    for place, (end, high) in enumerate(zip(ends.T, values.max(axis=0), strict=True)):
        edges = np.unique(end[end < high])  # what lies above the largest value is no bin
        bins[:, place] = np.searchsorted(edges, values[:, place], side="left")
    return bins


@compiled
def influence_of_rows(x, y, influence):  # type: ignore[no-untyped-def]
    """Pointwise information of two columns of bins at each row (see above), with mean 0 and variance 1;
    0 where a side is constant."""
    counts = np.zeros((BINS, BINS))
    for row in range(x.size):
        counts[x[row], y[row]] += 1
    of_bins = _influence(counts, x.size)
    for row in range(x.size):
        influence[row] = of_bins[x[row], y[row]]


@inlined
def _influence(counts, samples):  # type: ignore[no-untyped-def]
    """Pointwise information in each bin, with mean 0 and variance 1 over the samples. Loops compile fast."""
    of_x, of_y, rows, columns = np.zeros(BINS), np.zeros(BINS), 0, 0
    for a in range(BINS):
        for b in range(BINS):
            of_x[a] += counts[a, b]
            of_y[b] += counts[a, b]
    for bin_ in range(BINS):
        rows += of_x[bin_] > 0
        columns += of_y[bin_] > 0
    prior = rows * columns / 2
    logs, mean, variance = np.zeros((BINS, BINS)), 0.0, 0.0
    for a in range(BINS):
        for b in range(BINS):
            if counts[a, b] > 0:
                ratio = counts[a, b] * samples / of_x[a] * samples / of_y[b]
                logs[a, b] = np.log((ratio + prior) / (samples + prior))
                mean += counts[a, b] / samples * logs[a, b]
    for a in range(BINS):
        for b in range(BINS):
            variance += counts[a, b] / samples * (logs[a, b] - mean) ** 2
    deviation = np.sqrt(variance)
    for a in range(BINS):
        for b in range(BINS):
            logs[a, b] = 0.0 if deviation < SMALLEST else (logs[a, b] - mean) / deviation
    return logs
