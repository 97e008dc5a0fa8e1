"""Evaluation of a trained critic on held-out samples: the bound, its error, and a test of independence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from nif.estimators.jit import compiled, inlined
from nif.estimators.neural.compiled.fit import scores_of, workspace
from nif.estimators.neural.compiled.grid import NodeWeights, PairGrid, mean, product_level

Numbers = Float32[np.ndarray, " number"]


class Evaluation(NamedTuple):
    """One critic on its held-out samples.

    Attributes:
        nats: The Donsker–Varadhan bound.
        variance: Of `nats`, from the sampling of the data.
        z: Mean score of the samples, standardised by its distribution over permutations of y.
        skew: Skewness of that distribution.
    """

    nats: float
    variance: float
    z: float
    skew: float


@compiled
def evaluate(weights: Numbers, hidden: int, samples: PairGrid, level: float, fitted: int) -> Evaluation:
    """Evaluate a critic; the product is the grid of the margins of the samples.

    A density ratio above n or below 1 / n cannot be learnt from n samples: scores are clipped to within log n
    of their level. Otherwise one extrapolation could outweigh all other samples.
    """
    low, high = np.float32(level - np.log(fitted)), np.float32(level + np.log(fitted))
    space = workspace(hidden, 64)
    joint = scores_of(weights, hidden, samples.x, samples.y, space)
    product = scores_of(weights, hidden, samples.grid_x, samples.grid_y, space)
    for scores in (joint, product):
        for i in range(len(scores)):
            scores[i] = min(max(scores[i], low), high)
    log_mean = product_level(joint, product, samples.distinct_pairs)
    z, skew = _against_permutations(product, samples)
    variance = _variance(joint, product, log_mean, samples)
    return Evaluation(mean(joint) - log_mean, variance, z, skew)


@inlined
def _margins(table: NodeWeights, samples: PairGrid) -> tuple[NodeWeights, NodeWeights]:
    """Means of the rows and of the columns of a table over the grid."""
    height, width = len(samples.x_bounds) - 1, len(samples.y_bounds) - 1
    by_x, by_y, x_weight, y_weight = np.zeros(height), np.zeros(width), np.zeros(height), np.zeros(width)
    for node in range(len(table)):
        g, h = node // width, node % width
        by_x[g] += table[node] * samples.all_pairs[node]
        by_y[h] += table[node] * samples.all_pairs[node]
        x_weight[g] += samples.all_pairs[node]
        y_weight[h] += samples.all_pairs[node]
    for g in range(height):
        by_x[g] /= x_weight[g]
    for h in range(width):
        by_y[h] /= y_weight[h]
    return by_x, by_y


@inlined
def _variance(joint: Numbers, product: Numbers, log_mean: float, samples: PairGrid) -> float:
    """Variance of the bound by the delta method: each sample is in the joint mean and in both margins."""
    ratio = np.empty(len(product))
    for node in range(len(product)):
        ratio[node] = np.exp(product[node] - log_mean)
    as_x, as_y = _margins(ratio, samples)
    total, square = 0.0, 0.0
    for i in range(len(joint)):
        influence = joint[i] - as_x[samples.x_cell[i]] - as_y[samples.y_cell[i]]
        total += influence
        square += influence**2
    count = len(joint)
    return max(square - total**2 / count, 0.0) / count / (count - 1)


@inlined
def _against_permutations(product: Numbers, samples: PairGrid) -> tuple[float, float]:
    r"""The mean score, standardised, and its skewness, over all permutations of y.

    With d the scores of all n x n pairs less their row and column means, the mean over a random permutation
    has variance :math:`\overline{d^2} / (n - 1)` and third moment
    :math:`\overline{d^3} / (n - 1) (n - 2)`: exact, because the critic was trained on other samples.

    References:
        Hoeffding (1951), A combinatorial central limit theorem.
    """
    table, count, width = product.astype(np.float64), len(samples.x), len(samples.y_bounds) - 1
    by_x, by_y = _margins(table, samples)
    grand, observed, size, square, cube = 0.0, 0.0, 0.0, 0.0, 0.0
    for node in range(len(table)):
        grand += table[node] * samples.all_pairs[node]
        size += table[node] ** 2 * samples.all_pairs[node]
    for i in range(count):
        observed += table[samples.x_cell[i] * width + samples.y_cell[i]] / count
    for node in range(len(table)):
        centred = table[node] - by_x[node // width] - by_y[node % width] + grand
        square += samples.all_pairs[node] * centred**2
        cube += samples.all_pairs[node] * centred**3
    if square <= 1e-12 * size:
        return -np.inf, 0.0  # the critic is a sum of functions of x and of y
    variance = square / (count - 1)
    skew = cube / ((count - 1) * (count - 2)) / variance**1.5
    return (observed - grand) / np.sqrt(variance), skew
