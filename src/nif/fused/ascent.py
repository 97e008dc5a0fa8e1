"""One step of a critic up MINE's objective, with Adam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from nif.compiled import compiled, inlined
from nif.fused.cells import log_mean_exp
from nif.fused.critic import CHUNK, backward, forward, transpose

Numbers = Float32[np.ndarray, " number"]


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


class Room(NamedTuple):
    """Arrays that a critic's passes work in."""

    first: Numbers
    second: Numbers
    scores: Numbers
    back: Numbers
    turned: Numbers


class Adam(NamedTuple):
    """Gradient, its running mean and mean square, and the mean of the weights themselves over late steps."""

    gradient: Numbers
    mean: Numbers
    square: Numbers
    average: Numbers


@inlined
def room(hidden: int, samples: int) -> Room:
    """Room for batches of some size."""
    return Room(
        np.empty(samples * hidden, dtype=np.float32),
        np.empty(samples * hidden, dtype=np.float32),
        np.empty(samples, dtype=np.float32),
        np.empty(CHUNK * hidden, dtype=np.float32),
        np.empty(hidden * hidden, dtype=np.float32),
    )


@inlined
def adam(weights: Numbers) -> Adam:
    """The state before the first step."""
    nothing = np.zeros(len(weights), dtype=np.float32)
    return Adam(nothing, nothing.copy(), nothing.copy(), weights.copy())


@inlined
def ascend(
    weights: Numbers, hidden: int, batch: Batch, joint: int, product: int, log_average: float, keep: float,
    space: Room, gradient: Numbers,
) -> float:  # fmt: skip
    r"""Gradient of :math:`E_{joint}[T] - E_{product}[e^T] / \bar m`; returns the new :math:`\log \bar m`."""
    _all_scores(weights, hidden, batch, space)
    scores, end = space.scores, joint + product
    log_mean = log_mean_exp(scores[joint:end], batch.weight[joint:end])
    if log_average > log_mean - 700:  # else the past weighs nothing, as before the first step
        log_mean += np.log(keep * np.exp(log_average - log_mean) + 1 - keep)
    for i in range(len(scores)):
        scores[i] = _slope(batch, i, joint, end, scores[i] - np.float32(log_mean))
    for i in range(len(gradient)):
        gradient[i] = 0
    transpose(weights, hidden, space.turned)
    for start in range(0, len(batch.x), CHUNK):
        rows = slice(start, start + CHUNK)
        layer = slice(start * hidden, (start + CHUNK) * hidden)
        backward(weights, space.turned, hidden, batch.x[rows], batch.y[rows], space.first[layer],
                 space.second[layer], scores[rows], space.back, gradient)  # fmt: skip
    return log_mean


@inlined
def _slope(batch: Batch, row: int, joint: int, end: int, log_ratio: np.float32) -> np.float32:
    """Derivative of the objective by the score of a row."""
    if row < joint:
        return batch.weight[row]
    return -batch.weight[row] * np.exp(log_ratio) if row < end else np.float32(0)


@inlined
def _all_scores(weights: Numbers, hidden: int, batch: Batch, space: Room) -> None:
    for start in range(0, len(batch.x), CHUNK):
        rows = slice(start, start + CHUNK)
        layer = slice(start * hidden, (start + CHUNK) * hidden)
        forward(weights, hidden, batch.x[rows], batch.y[rows], space.first[layer], space.second[layer],
                space.scores[rows])  # fmt: skip


@inlined
def move(weights: Numbers, state: Adam, rates: Numbers, left: np.float32, step: int, average: float) -> None:
    """Adam's update with the gradient of `state`, upward; then the mean of the weights follows."""
    first, second = np.float32(0.9), np.float32(0.99)
    unbiased = np.float32(1 / (1 - 0.9 ** (step + 1)))
    unbiased_square = np.float32(1 / (1 - 0.99 ** (step + 1)))
    follow = np.float32(1 - min(average, (1 + step) / (10 + step)))
    for i in range(len(weights)):
        slope = state.gradient[i]
        state.mean[i] = first * state.mean[i] + (1 - first) * slope
        state.square[i] = second * state.square[i] + (1 - second) * slope * slope
        size = np.sqrt(state.square[i] * unbiased_square) + np.float32(1e-8)
        weights[i] += left * rates[i] * unbiased * state.mean[i] / size
        state.average[i] += follow * (weights[i] - state.average[i])


@compiled
def scores_of(weights: Numbers, hidden: int, x: Numbers, y: Numbers, space: Room) -> Numbers:
    """Scores of any number of samples."""
    out = np.empty(len(x), dtype=np.float32)
    part_x, part_y = np.zeros(CHUNK, dtype=np.float32), np.zeros(CHUNK, dtype=np.float32)
    for start in range(0, len(x), CHUNK):
        rows = min(CHUNK, len(x) - start)
        for i in range(rows):
            part_x[i], part_y[i] = x[start + i], y[start + i]
        forward(weights, hidden, part_x, part_y, space.first, space.second, space.scores)
        for i in range(rows):
            out[start + i] = space.scores[i]
    return out
