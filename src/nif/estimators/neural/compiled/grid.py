"""The product of two margins as a grid of weighted nodes.

With one number on each side, the independent distribution of a pair is known as soon as the two columns are:
every x goes with every y. Sorted columns are cut into cells, and the mean of a critic over the product is a
sum over the grid of cells, far more exact than as many random pairs.
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


@inlined
def cell_bounds(ordered: Numbers, most: int) -> Bounds:
    """Where the cells of a sorted column start, and its end.

    Cells have equal steps in the mean of rank and value, so that neither the centre nor a tail is coarse. A
    value that more than one in `most` samples share is a cell of its own: an atom is never smeared.
    """
    count = len(ordered)
    low, spread = ordered[0], max(ordered[-1] - ordered[0], np.float32(1e-30))
    bounds = np.empty(3 * most + 2, dtype=np.int64)
    found, previous, i = 0, -1, 0
    while i < count:
        end = i + 1
        while end < count and ordered[end] == ordered[i]:
            end += 1
        place = 0.5 * i / count + 0.5 * (ordered[i] - low) / spread
        cell = min(int(place * most), most - 1)
        if (end - i) * most > count:
            cell = most + i  # an atom: no other value has this number
        if cell != previous:
            bounds[found] = i
            found += 1
        previous = cell
        i = end
    bounds[found] = count
    return bounds[: found + 1]


@compiled
def nodes(ordered: Numbers, bounds: Bounds) -> tuple[Numbers, Float64[np.ndarray, " cell"]]:
    """Mean value and share of the samples of each cell."""
    cells = len(bounds) - 1
    values, shares = np.empty(cells, dtype=np.float32), np.empty(cells)
    for cell in range(cells):
        start, end = bounds[cell], bounds[cell + 1]
        total = 0.0
        for i in range(start, end):
            total += ordered[i]
        values[cell] = total / (end - start)
        shares[cell] = (end - start) / len(ordered)
    return values, shares


@inlined
def grid(
    x: Numbers, y: Numbers, x_bounds: Bounds, y_bounds: Bounds
) -> tuple[Numbers, Numbers, Float64[np.ndarray, " node"]]:
    """x, y and weight of every node, y running fastest; the weights sum to 1."""
    x_values, x_shares = nodes(x, x_bounds)
    y_values, y_shares = nodes(y, y_bounds)
    width = len(y_values)
    count = len(x_values) * width
    grid_x, grid_y = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
    weights = np.empty(count)
    for node in range(count):
        g, h = node // width, node % width
        grid_x[node], grid_y[node] = x_values[g], y_values[h]
        weights[node] = x_shares[g] * y_shares[h]
    return grid_x, grid_y, weights


@inlined
def cells_in_order(bounds: Bounds) -> Cells:
    """The cell of every value of a sorted column."""
    found = np.empty(bounds[-1], dtype=np.int64)
    for cell in range(len(bounds) - 1):
        for i in range(bounds[cell], bounds[cell + 1]):
            found[i] = cell
    return found


@inlined
def cells_of(values: Numbers, ordered: Numbers, bounds: Bounds) -> Cells:
    """The cell of each of some values, by bisection."""
    found = np.empty(len(values), dtype=np.int64)
    for i in range(len(values)):
        low, high = 0, len(bounds) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if ordered[bounds[middle]] <= values[i]:
                low = middle
            else:
                high = middle
        found[i] = low
    return found


@inlined
def of_different_samples(
    every: Float64[np.ndarray, " node"], x_cell: Cells, y_cell: Cells, width: int
) -> Float64[np.ndarray, " node"]:
    r"""The weights of the nodes without the pairs of a sample's x with its own y.

    .. math:: w_{gh} = \frac{n_g n_h - n_{gh}}{n (n - 1)}

    with :math:`n_{gh}` samples that have both their x and their y there. Such pairs are no draw of the
    product: counted in, they would say that the density ratio is nowhere above n, and hold a bound of 3 nats
    on 125 samples a quarter of a nat too low.
    """
    count = len(x_cell)
    share = np.empty(len(every))
    for node in range(len(every)):
        share[node] = round(every[node] * count * count)
    for i in range(count):
        share[x_cell[i] * width + y_cell[i]] -= 1
    for node in range(len(every)):
        share[node] /= count * (count - 1)
    return share


@compiled
def log_mean_exp(scores: Numbers, weights: Float64[np.ndarray, " node"]) -> float:
    """Logarithm of the weighted mean of exp T, without overflow."""
    top, mean = highest(scores, weights), 0.0
    for i in range(len(scores)):
        if weights[i] > 0:
            mean += weights[i] * np.exp(scores[i] - top)
    return np.log(mean) + top


@compiled
def highest(scores: Numbers, weights: Float64[np.ndarray, " node"]) -> float:
    """The largest score of those with a weight."""
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
def product_level(joint: Numbers, product: Numbers, weights: Float64[np.ndarray, " node"]) -> float:
    r"""The logarithm of the mean of exp T over the product, so that no bound exceeds log n.

    .. math:: \max \Big( \log E_{product}[e^T], \; \log \tfrac1n E_{joint}[e^T] \Big)

    Columns that are as good as the same leave the first without a floor. The second is what the samples
    themselves would give if they were counted as pairs of the product.
    """
    top, own = -np.inf, 0.0
    for score in joint:
        top = max(top, score)
    for score in joint:
        own += np.exp(score - top) / len(joint)
    return max(log_mean_exp(product, weights), np.log(own) + top - np.log(len(joint)))


GOLDEN, PLASTIC = 0.6180339887498949, 0.7548776662466927
"""Steps around the circle that fill it evenly, alone and together (Roberts, 2018)."""


class Column(NamedTuple):
    """Samples of a pair in the order of x, with its margins cut into cells.

    Attributes:
        x: Sorted.
        y: Of the same samples.
        y_ordered: y sorted on its own.
        x_bounds: Cells of x.
        y_bounds: Cells of y.
        x_cell: The cell of each sample's x.
        y_cell: The cell of its y.
        grid_x: x of every node of the product.
        grid_y: y of every node.
        every: Weight of every node: its share of all pairs of an x and a y.
        share: Its share of the pairs of different samples, of which the product is a mean.
    """

    x: Numbers
    y: Numbers
    y_ordered: Numbers
    x_bounds: Int64[np.ndarray, " bound"]
    y_bounds: Int64[np.ndarray, " bound"]
    x_cell: Int64[np.ndarray, " sample"]
    y_cell: Int64[np.ndarray, " sample"]
    grid_x: Numbers
    grid_y: Numbers
    every: Float64[np.ndarray, " node"]
    share: Float64[np.ndarray, " node"]


@compiled
def column(x: Numbers, y: Numbers, y_ordered: Numbers, cells: int) -> Column:
    """Cut both margins; y gets fewer cells than x, so that nodes do not line up along a diagonal."""
    x_bounds, y_bounds = cell_bounds(x, cells), cell_bounds(y_ordered, cells - cells // 13)
    x_cell, y_cell = cells_in_order(x_bounds), cells_of(y, y_ordered, y_bounds)
    grid_x, grid_y, every = grid(x, y_ordered, x_bounds, y_bounds)
    share = of_different_samples(every, x_cell, y_cell, len(y_bounds) - 1)
    return Column(x, y, y_ordered, x_bounds, y_bounds, x_cell, y_cell, grid_x, grid_y, every, share)


class Batch(NamedTuple):
    """Samples of one step, a multiple of 64: joint ones first, then product ones, then unused rows.

    Attributes:
        x: One side of each sample.
        y: The other side.
        weight: 1 / joint samples, then the share of the product that each product sample stands for, then 0.
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
def draw_joint(batch: Batch, samples: Column, joint: int, phase: float) -> None:
    """Every (samples / joint)-th sample in the order of x."""
    count = len(samples.x)
    for i in range(joint):
        row = int((i + phase) * count / joint)
        batch.x[i], batch.y[i] = samples.x[row], samples.y[row]
        batch.weight[i] = np.float32(1 / joint)


@inlined
def importance(samples: Column, scores: Numbers) -> Float64[np.ndarray, " node"]:
    """Chance of each node: half by its share of the product, half by its share of exp T.

    The gradient of the log term is a mean under the second; with half of the first no sample ever weighs more
    than double. In training every pair counts, also that of a sample with itself: without these nothing would
    hold the critic down where two columns are the same.
    """
    log_mean = log_mean_exp(scores, samples.every)
    chance = np.empty(len(scores))
    for i in range(len(scores)):
        chance[i] = samples.every[i] * (0.5 + 0.5 * np.exp(scores[i] - log_mean))
    return chance


@inlined
def draw_product(
    batch: Batch,
    samples: Column,
    chance: Float64[np.ndarray, " node"],
    joint: int,
    product: int,
    phase: float,
) -> None:
    """Systematic draws of nodes by their chance; of a node, one of its x and one of its y.

    A sample's weight is its node's share over how often it is drawn, so that the mean stays unbiased.
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
        batch.weight[joint + i] = np.float32(samples.every[node] / (chance[node] * product))


@compiled
def _inside(ordered: Numbers, bounds: Int64[np.ndarray, " bound"], cell: int, turns: float) -> np.float32:
    """One of the values of a cell, chosen by the fraction of a turn."""
    start, end = bounds[cell], bounds[cell + 1]
    return ordered[start + int((turns - np.floor(turns)) * (end - start))]
