"""Training of one critic with early stopping, all in compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from nif.estimators.jit import compiled, inlined
from nif.estimators.neural.compiled.critic import CHUNK, backward, forward, transpose
from nif.estimators.neural.compiled.grid import (
    GOLDEN,
    PLASTIC,
    Batch,
    NodeWeights,
    PairGrid,
    draw_joint,
    draw_product,
    empty_batch,
    highest,
    importance,
    log_mean_exp,
    mean,
    product_level,
)

Numbers = Float32[np.ndarray, " number"]


class Plan(NamedTuple):
    """The options of `nif.estimators.neural.training.Schedule`, and where systematic draws start."""

    hidden: int
    steps: int
    joint: int
    product: int
    check_every: int
    patience: int
    warm_up: int
    keep: float
    average: float
    phase_joint: float
    phase_product: float


class Fitted(NamedTuple):
    """A trained critic.

    Attributes:
        weights: Of the critic that was best on the validation samples.
        steps: Number of steps.
        trained: The bound on the training samples, biased upward.
        rise: Growth of the bound on the validation samples over the second half of the training up to the
            best, from 0 where it was below: information is not negative.
        level: The logarithm of the mean of exp T over the product of the training samples.
    """

    weights: Numbers
    steps: int
    trained: float
    rise: float
    level: float


@compiled
def fit(weights: Numbers, rates: Numbers, samples: PairGrid, validation: PairGrid, plan: Plan) -> Fitted:
    """Ascend from these weights; stop when the bound on the `validation` samples no longer grows."""
    batch = empty_batch(plan.joint, plan.product)
    space = workspace(plan.hidden, len(batch.x))
    shrink(weights, plan.hidden, validation, space)
    state = adam(weights)
    best, best_value, stale, log_average = weights.copy(), -np.inf, 0, -np.inf
    values, checks, best_check = np.empty(plan.steps // plan.check_every + 2), 0, 0
    chance = samples.distinct_pairs
    for step in range(plan.steps + 1):
        if step % plan.check_every == 0 or step == plan.steps:
            value = value_of(state.average, plan.hidden, validation, space)
            values[checks] = value
            stale += 1
            if value > best_value:
                best_value, stale, best_check = value, 0, checks
                best = state.average.copy()
            checks += 1
            if stale > plan.patience or step == plan.steps:
                break
            scores = scores_of(weights, plan.hidden, samples.grid_x, samples.grid_y, space)
            chance = importance(samples, scores)
        draw_joint(batch, samples, plan.joint, (plan.phase_joint + step * GOLDEN) % 1)
        draw_product(
            batch, samples, chance, plan.joint, plan.product, (plan.phase_product + step * PLASTIC) % 1
        )
        log_average = ascend(weights, plan.hidden, batch, plan.joint, plan.product, log_average, plan.keep,
                             space, state.gradient)  # fmt: skip
        decay = np.float32(min(1.0, (step + 1) / plan.warm_up) * (1 - step / plan.steps))
        move(weights, state, rates, decay, step, plan.average)
    shrink(best, plan.hidden, samples, space)  # few validation samples may hold no rare values
    shrink(best, plan.hidden, validation, space)
    joint = scores_of(best, plan.hidden, samples.x, samples.y, space)
    product = scores_of(best, plan.hidden, samples.grid_x, samples.grid_y, space)
    level = product_level(joint, product, samples.distinct_pairs)
    rise = max(best_value - max(values[best_check // 2], 0.0), 0.0)
    return Fitted(best, step, mean(joint) - level, rise, level)


@inlined
def shrink(weights: Numbers, hidden: int, samples: PairGrid, space: Workspace) -> float:
    r"""Scale the critic by the s in [0, 1] with the largest bound on the samples; return s.

    .. math:: \max_s \; s E_{joint}[T] - \log E_{product}[e^{s T}]

    Concave in s, so that s is found by bisection of the slope. A critic of noise is scaled to nearly 0.
    """
    joint = mean(scores_of(weights, hidden, samples.x, samples.y, space))
    product = scores_of(weights, hidden, samples.grid_x, samples.grid_y, space)
    if joint >= _tilted_mean(product, samples.distinct_pairs, 1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        if joint >= _tilted_mean(product, samples.distinct_pairs, middle):
            low = middle
        else:
            high = middle
    low = max(low, high / 2)  # never 0: the test of independence needs the critic's shape
    for i in range(4 * hidden, 5 * hidden):
        weights[i] *= np.float32(low)
    for i in range(5 * hidden + hidden * hidden, len(weights)):
        weights[i] *= np.float32(low)
    return low


@inlined
def _tilted_mean(scores: Numbers, weights: NodeWeights, scale: float) -> float:
    """Mean of T under the product weighted by exp(scale T)."""
    top, mass, total = highest(scores, weights), 0.0, 0.0
    for i in range(len(scores)):
        if weights[i] > 0:
            weight = weights[i] * np.exp(scale * (scores[i] - top))
            mass += weight
            total += weight * scores[i]
    return total / mass


@inlined
def value_of(weights: Numbers, hidden: int, samples: PairGrid, space: Workspace) -> float:
    """The Donsker–Varadhan bound of a critic on samples."""
    joint = scores_of(weights, hidden, samples.x, samples.y, space)
    product = scores_of(weights, hidden, samples.grid_x, samples.grid_y, space)
    return mean(joint) - product_level(joint, product, samples.distinct_pairs)


class Workspace(NamedTuple):
    """Arrays that a critic's passes overwrite."""

    first: Numbers
    second: Numbers
    scores: Numbers
    back: Numbers
    transposed: Numbers


class Adam(NamedTuple):
    """Gradient, its running mean and mean square, and the mean of the weights themselves over late steps."""

    gradient: Numbers
    mean: Numbers
    square: Numbers
    average: Numbers


@inlined
def workspace(hidden: int, samples: int) -> Workspace:
    """Workspace for batches of a size."""
    return Workspace(
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
    space: Workspace, gradient: Numbers,
) -> float:  # fmt: skip
    r"""Gradient of :math:`E_{joint}[T] - E_{product}[e^T] / \bar m`; return the new :math:`\log \bar m`."""
    _all_scores(weights, hidden, batch, space)
    scores, end = space.scores, joint + product
    log_mean = log_mean_exp(scores[joint:end], batch.weight[joint:end])
    if log_average > log_mean - 700:  # else the past has no weight, as before the first step
        log_mean += np.log(keep * np.exp(log_average - log_mean) + 1 - keep)
    for i in range(len(scores)):
        scores[i] = _slope(batch, i, joint, end, scores[i] - np.float32(log_mean))
    for i in range(len(gradient)):
        gradient[i] = 0
    transpose(weights, hidden, space.transposed)
    for start in range(0, len(batch.x), CHUNK):
        rows = slice(start, start + CHUNK)
        layer = slice(start * hidden, (start + CHUNK) * hidden)
        backward(weights, space.transposed, hidden, batch.x[rows], batch.y[rows], space.first[layer],
                 space.second[layer], scores[rows], space.back, gradient)  # fmt: skip
    return log_mean


@inlined
def _slope(batch: Batch, row: int, joint: int, end: int, log_ratio: np.float32) -> np.float32:
    """Derivative of the objective by the score of a row."""
    if row < joint:
        return batch.weight[row]
    return -batch.weight[row] * np.exp(log_ratio) if row < end else np.float32(0)


@inlined
def _all_scores(weights: Numbers, hidden: int, batch: Batch, space: Workspace) -> None:
    for start in range(0, len(batch.x), CHUNK):
        rows = slice(start, start + CHUNK)
        layer = slice(start * hidden, (start + CHUNK) * hidden)
        forward(weights, hidden, batch.x[rows], batch.y[rows], space.first[layer], space.second[layer],
                space.scores[rows])  # fmt: skip


@inlined
def move(weights: Numbers, state: Adam, rates: Numbers, decay: np.float32, step: int, average: float) -> None:
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
        weights[i] += decay * rates[i] * unbiased * state.mean[i] / size
        state.average[i] += follow * (weights[i] - state.average[i])


@compiled
def scores_of(weights: Numbers, hidden: int, x: Numbers, y: Numbers, space: Workspace) -> Numbers:
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
