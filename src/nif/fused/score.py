"""What a trained critic says about samples it never saw: the bound, its error, and a test of independence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from nif.fused.ascent import room, scores_of
from nif.fused.batch import Column
from nif.fused.cells import log_mean_exp
from nif.fused.lanes import compiled

Numbers = Float32[np.ndarray, " number"]
Shares = Float64[np.ndarray, " node"]
Table = Float64[np.ndarray, "x_cell y_cell"]


class Scored(NamedTuple):
    """One critic on its held-out samples.

    Attributes:
        nats: The Donsker–Varadhan bound.
        variance: Of `nats`, from the sampling of the data.
        z: Mean score of the samples, standardised by what it is when y is permuted.
        skew: Skewness of the mean score when y is permuted.
    """

    nats: float
    variance: float
    z: float
    skew: float


@compiled
def scored(weights: Numbers, hidden: int, samples: Column) -> Scored:
    """Evaluate a critic; the product is the grid of the samples' own margins."""
    space = room(hidden, 64)
    joint = scores_of(weights, hidden, samples.x, samples.y, space)
    product = scores_of(weights, hidden, samples.grid_x, samples.grid_y, space)
    shape = (len(samples.x_bounds) - 1, len(samples.y_bounds) - 1)
    log_mean = log_mean_exp(product, samples.share)
    share = samples.share.reshape(shape)
    x_cells, y_cells = _cells_of(samples)
    ratio = np.exp(product.astype(np.float64) - log_mean).reshape(shape)
    variance = _variance(joint, ratio, share, x_cells, y_cells)
    z, skew = _against_permutations(product.astype(np.float64).reshape(shape), share, x_cells, y_cells)
    return Scored(joint.mean() - log_mean, variance, z, skew)


@compiled
def _cells_of(samples: Column) -> tuple[Int64[np.ndarray, " sample"], Int64[np.ndarray, " sample"]]:
    """The cell of x and the cell of y that each sample falls into."""
    x_cells, y_cells = np.empty(len(samples.x), dtype=np.int64), np.empty(len(samples.x), dtype=np.int64)
    for cell in range(len(samples.x_bounds) - 1):
        x_cells[samples.x_bounds[cell] : samples.x_bounds[cell + 1]] = cell
    for i in range(len(samples.y)):
        low, high = 0, len(samples.y_bounds) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if samples.y_ordered[samples.y_bounds[middle]] <= samples.y[i]:
                low = middle
            else:
                high = middle
        y_cells[i] = low
    return x_cells, y_cells


@compiled
def _margins(table: Table, share: Table) -> tuple[Shares, Shares]:
    """Means of the rows and of the columns of a table under the product of the margins."""
    x_shares, y_shares = _sums(share)
    by_x, by_y = _sums(table * share)
    return by_x / x_shares, by_y / y_shares


@compiled
def _sums(table: Table) -> tuple[Shares, Shares]:
    by_x, by_y = np.zeros(table.shape[0]), np.zeros(table.shape[1])
    for g in range(table.shape[0]):
        for h in range(table.shape[1]):
            by_x[g] += table[g, h]
            by_y[h] += table[g, h]
    return by_x, by_y


@compiled
def _variance(
    joint: Numbers, ratio: Table, share: Table, x_cells: Int64[np.ndarray, " sample"],
    y_cells: Int64[np.ndarray, " sample"],
) -> float:  # fmt: skip
    """Variance of the bound by the delta method: each sample counts once as a joint and twice as a margin."""
    as_x, as_y = _margins(ratio, share)
    influence = np.empty(len(joint))
    for i in range(len(joint)):
        influence[i] = joint[i] - as_x[x_cells[i]] - as_y[y_cells[i]]
    return influence.var() / (len(joint) - 1)


@compiled
def _against_permutations(
    table: Table, share: Table, x_cells: Int64[np.ndarray, " sample"], y_cells: Int64[np.ndarray, " sample"]
) -> tuple[float, float]:
    r"""The mean score, standardised, and its skewness, over all permutations of y.

    With d the scores of all n x n pairs less their row and column means, the mean over a random permutation
    has variance :math:`\overline{d^2} / (n - 1)` and third moment
    :math:`\overline{d^3} / (n - 1) (n - 2)`: exact, because the critic was trained on other samples.

    References:
        Hoeffding (1951), A combinatorial central limit theorem.
    """
    count = len(x_cells)
    by_x, by_y = _margins(table, share)
    grand = (table * share).sum()
    observed, square, cube = 0.0, 0.0, 0.0
    for i in range(count):
        observed += table[x_cells[i], y_cells[i]] / count
    for g in range(table.shape[0]):
        for h in range(table.shape[1]):
            centred = table[g, h] - by_x[g] - by_y[h] + grand
            square += share[g, h] * centred**2
            cube += share[g, h] * centred**3
    if square <= 1e-12 * (table * table * share).sum():
        return -np.inf, 0.0
    variance = square / (count - 1)
    skew = cube / ((count - 1) * (count - 2)) / variance**1.5
    return (observed - grand) / np.sqrt(variance), skew
