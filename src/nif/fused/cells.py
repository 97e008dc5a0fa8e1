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


@compiled
def log_mean_exp(scores: Numbers, weights: Float64[np.ndarray, " node"]) -> float:
    """Logarithm of the weighted mean of exp T, without overflow."""
    top, mean = highest(scores), 0.0
    for i in range(len(scores)):
        mean += weights[i] * np.exp(scores[i] - top)
    return np.log(mean) + top


@compiled
def highest(scores: Numbers) -> float:
    """The largest score."""
    top = scores[0]
    for score in scores:
        top = max(top, score)
    return top


@compiled
def mean(scores: Numbers) -> float:
    """Mean score, summed in double precision."""
    total = 0.0
    for score in scores:
        total += score
    return total / len(scores)
