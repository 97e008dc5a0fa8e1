"""The product of two margins as a grid of weighted nodes.

With one number on each side, the product distribution of a pair combines every x with every y. Sorted columns
are cut into cells, and the mean of a critic over the product is a sum over the grid of cells, much more exact
than the same number of random pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from nif.estimators.jit import compiled, inlined
from nif.estimators.neural.compiled.critic import CHUNK

Numbers = Float32[np.ndarray, " number"]
Bounds = Int64[np.ndarray, " bound"]
Cells = Int64[np.ndarray, " sample"]
NodeWeights = Float64[np.ndarray, " node"]

GOLDEN, PLASTIC = 0.6180339887498949, 0.7548776662466927
"""Steps around the circle that fill it evenly, alone and together (Roberts, 2018)."""


class PairGrid(NamedTuple):
    """Samples of a pair sorted by x, with the margins cut into cells.

    Attributes:
        x: Sorted.
        y: Of the same samples.
        y_ordered: y, sorted separately.
        x_bounds: Cells of x.
        y_bounds: Cells of y.
        x_cell: The cell of x of each sample.
        y_cell: The cell of y of each sample.
        grid_x: x of every node of the product.
        grid_y: y of every node.
        all_pairs: Weight of every node: its fraction of all pairs of an x and a y.
        distinct_pairs: Its fraction of the pairs of different samples, the weights of the product.
    """

    x: Numbers
    y: Numbers
    y_ordered: Numbers
    x_bounds: Bounds
    y_bounds: Bounds
    x_cell: Cells
    y_cell: Cells
    grid_x: Numbers
    grid_y: Numbers
    all_pairs: NodeWeights
    distinct_pairs: NodeWeights


@compiled
def cell_bounds(ordered: Numbers, most: int) -> Bounds:
    """The starts of the cells of a sorted column, and its end.

    Cells have equal steps in the mean of rank and value, so that neither the centre nor a tail is coarse. A
    value shared by more than 1 / `most` of the samples is a separate cell, so that an atom stays exact.
    """
    count = len(ordered)
    low, spread = ordered[0], max(ordered[-1] - ordered[0], np.float32(1e-30))
    bounds = np.empty(3 * most + 2, dtype=np.int64)
    cells, previous, i = 0, -1, 0
    while i < count:
        end = i + 1
        while end < count and ordered[end] == ordered[i]:
            end += 1
        place = 0.5 * i / count + 0.5 * (ordered[i] - low) / spread
        cell = min(int(place * most), most - 1)
        if (end - i) * most > count:
            cell = most + i  # an atom: no other value has this number
        if cell != previous:
            bounds[cells] = i
            cells += 1
        previous = cell
        i = end
    bounds[cells] = count
    return bounds[: cells + 1]


@compiled
def nodes(ordered: Numbers, bounds: Bounds) -> tuple[Numbers, Float64[np.ndarray, " cell"]]:
    """Mean value and fraction of the samples of each cell."""
    cells = len(bounds) - 1
    values, weights = np.empty(cells, dtype=np.float32), np.empty(cells)
    for cell in range(cells):
        start, end = bounds[cell], bounds[cell + 1]
        total = 0.0
        for i in range(start, end):
            total += ordered[i]
        values[cell] = total / (end - start)
        weights[cell] = (end - start) / len(ordered)
    return values, weights


def pair_grid(x: Numbers, y: Numbers, cells: int) -> PairGrid:
    r"""Sort the samples of a pair by x, and cut both margins into cells.

    y gets fewer cells than x, so that nodes are not aligned along a diagonal. Without the pairs of x and y of
    the same sample, of which :math:`n_{gh}` are in a node, its weight is

    .. math:: w_{gh} = \frac{n_g n_h - n_{gh}}{n (n - 1)}.

    Such pairs are not drawn from the product: with them the density ratio could not exceed n, and a bound of
    3 nats on 125 samples would be a quarter of a nat too low.
    """
    order, count = np.argsort(x, kind="stable"), len(x)
    x, y, y_ordered = x[order], y[order], np.sort(y)
    x_bounds, y_bounds = cell_bounds(x, cells), cell_bounds(y_ordered, cells - cells // 13)
    x_cell = np.repeat(np.arange(len(x_bounds) - 1), np.diff(x_bounds))
    y_cell = np.searchsorted(y_ordered[y_bounds[:-1]], y, side="right") - 1
    (x_values, x_weights), (y_values, y_weights) = nodes(x, x_bounds), nodes(y_ordered, y_bounds)
    all_pairs, width = np.outer(x_weights, y_weights).ravel(), len(y_values)
    same_sample = np.bincount(x_cell * width + y_cell, minlength=len(all_pairs))
    distinct_pairs = (np.rint(all_pairs * count * count) - same_sample) / (count * (count - 1))
    return PairGrid(
        x, y, y_ordered, x_bounds, y_bounds, x_cell, y_cell, np.repeat(x_values, width),
        np.tile(y_values, len(x_values)), all_pairs, distinct_pairs,
    )  # fmt: skip


@compiled
def log_mean_exp(scores: Numbers, weights: NodeWeights) -> float:
    """Logarithm of the weighted mean of exp T, without overflow."""
    top, mean = highest(scores, weights), 0.0
    for i in range(len(scores)):
        if weights[i] > 0:
            mean += weights[i] * np.exp(scores[i] - top)
    return np.log(mean) + top


@compiled
def highest(scores: Numbers, weights: NodeWeights) -> float:
    """The largest score with a positive weight."""
    top = -np.inf
    for i in range(len(scores)):
        if weights[i] > 0:
            top = max(top, scores[i])
    return top


@compiled
def mean(scores: Numbers) -> float:
    """Mean score, summed in double precision."""
    total = 0.0
    for score in scores:
        total += score
    return total / len(scores)


@compiled
def product_level(joint: Numbers, product: Numbers, weights: NodeWeights) -> float:
    r"""The logarithm of the mean of exp T over the product, so that no bound exceeds log n.

    .. math:: \max \Big( \log E_{product}[e^T], \; \log \tfrac1n E_{joint}[e^T] \Big)

    For two nearly equal columns the first has no lower limit. The second is its value with the samples
    themselves counted as pairs of the product.
    """
    top, own = -np.inf, 0.0
    for score in joint:
        top = max(top, score)
    for score in joint:
        own += np.exp(score - top) / len(joint)
    return max(log_mean_exp(product, weights), np.log(own) + top - np.log(len(joint)))


class Batch(NamedTuple):
    """Samples of one step, a multiple of 64: joint ones first, then product ones, then unused rows.

    Attributes:
        x: One side of each sample.
        y: The other side.
        weight: 1 / joint samples, then the weight of each product sample, then 0.
    """

    x: Numbers
    y: Numbers
    weight: Numbers


@inlined
def empty_batch(joint: int, product: int) -> Batch:
    """A batch to draw into, its length a multiple of 64."""
    length = -(-(joint + product) // CHUNK) * CHUNK
    zeros = np.zeros(length, dtype=np.float32)
    return Batch(zeros, zeros.copy(), zeros.copy())


@inlined
def draw_joint(batch: Batch, samples: PairGrid, joint: int, phase: float) -> None:
    """Draw every (samples / joint)-th sample in the order of x."""
    count = len(samples.x)
    for i in range(joint):
        row = int((i + phase) * count / joint)
        batch.x[i], batch.y[i] = samples.x[row], samples.y[row]
        batch.weight[i] = np.float32(1 / joint)


@inlined
def importance(samples: PairGrid, scores: Numbers) -> NodeWeights:
    """Probability of drawing each node: half its weight in the product, half its fraction of exp T.

    The gradient of the log term is a mean under the second; with half of the first no sample has more than
    twice its weight. In training all pairs count, also that of a sample with itself: without these the critic
    would be unbounded where two columns are equal.
    """
    log_mean = log_mean_exp(scores, samples.all_pairs)
    chance = np.empty(len(scores))
    for i in range(len(scores)):
        chance[i] = samples.all_pairs[i] * (0.5 + 0.5 * np.exp(scores[i] - log_mean))
    return chance


@inlined
def draw_product(
    batch: Batch, samples: PairGrid, chance: NodeWeights, joint: int, product: int, phase: float
) -> None:
    """Draw nodes systematically by their chance, and from each node one of its x and one of its y.

    A sample has the weight of its node over the expected number of draws, so that the mean is unbiased.
    """
    width = len(samples.y_bounds) - 1
    node, reached = 0, chance[0]
    for i in range(product):
        while (i + phase) / product > reached and node < len(chance) - 1:
            node += 1
            reached += chance[node]
        batch.x[joint + i] = _inside(samples.x, samples.x_bounds, node // width, i * GOLDEN + phase * 7)
        batch.y[joint + i] = _inside(
            samples.y_ordered, samples.y_bounds, node % width, i * PLASTIC + phase * 5
        )
        batch.weight[joint + i] = np.float32(samples.all_pairs[node] / (chance[node] * product))


@compiled
def _inside(ordered: Numbers, bounds: Bounds, cell: int, turns: float) -> np.float32:
    """One of the values of a cell, chosen by the fractional part of `turns`."""
    start, end = bounds[cell], bounds[cell + 1]
    return ordered[start + int((turns - np.floor(turns)) * (end - start))]
