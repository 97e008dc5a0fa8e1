"""The product of two margins as a grid of weighted nodes.

With one number on each side, the independent distribution of a pair is known as soon as the two columns are:
every x goes with every y. Sorted columns are cut into cells, and the mean of a critic over the product is a
sum over the grid of cells, far more exact than as many random pairs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64

from nif.compiled import compiled, inlined

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
