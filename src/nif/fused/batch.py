"""Samples of a step: a stratified part of the data, and product samples where they matter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from nif.compiled import compiled, inlined
from nif.fused.ascent import Batch
from nif.fused.cells import cell_bounds, cells_in_order, cells_of, grid, log_mean_exp, of_different_samples
from nif.fused.critic import CHUNK

Numbers = Float32[np.ndarray, " number"]

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
