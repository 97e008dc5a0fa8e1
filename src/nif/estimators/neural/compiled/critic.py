r"""Scores of one critic and their gradient, for 64 samples at a time.

The critic is that of `nif.estimators.neural.critics` with one number on each side,

.. math:: T(x, y) = a x^2 + b y^2 + c x y + d + w_3^\top \sigma(W_2 \sigma(x w_x + y w_y + b_1) + b_2).

Its weights lie in one array in the order ``w_x, w_y, b_1, b_2, w_3, W_2, (a, b, c, d)``; the gradient has the
same order. Hidden layers are arrays of [64, hidden], small enough to stay in cache between the two passes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from nif.estimators.jit import compiled
from nif.estimators.neural.compiled.lanes import LANES, fma, keep_where_positive, load, splat, store, total
from nif.estimators.neural.compiled.tile import add_outer, layer

CHUNK = 64
"""Samples that are evaluated together."""

Numbers = Float32[np.ndarray, " number"]

ZERO_BIAS = np.zeros(1024, dtype=np.float32)
"""The bias of a layer without one."""


@compiled
def forward(
    weights: Numbers, hidden: int, x: Numbers, y: Numbers, first: Numbers, second: Numbers, scores: Numbers
) -> None:
    """Scores of 64 samples; both hidden layers are written to `first` and `second`."""
    _first_layer(weights, hidden, x, y, first)
    layer(second, weights, 3 * hidden, first, weights, 5 * hidden, CHUNK, hidden)
    quadratic = 5 * hidden + hidden * hidden
    a, b, c, d = weights[quadratic], weights[quadratic + 1], weights[quadratic + 2], weights[quadratic + 3]
    for i in range(CHUNK):
        scores[i] = a * x[i] * x[i] + b * y[i] * y[i] + c * x[i] * y[i] + d
    for column in range(0, hidden, LANES):
        out = load(weights, 4 * hidden + column)
        for i in range(CHUNK):
            active = load(second, i * hidden + column)
            active = keep_where_positive(active, active)
            store(second, i * hidden + column, active)
            scores[i] += total(fma(active, out, splat(np.float32(0))))


@compiled
def _first_layer(weights: Numbers, hidden: int, x: Numbers, y: Numbers, first: Numbers) -> None:
    for column in range(0, hidden, LANES):
        of_x, of_y = load(weights, column), load(weights, hidden + column)
        bias = load(weights, 2 * hidden + column)
        for i in range(CHUNK):
            active = fma(splat(x[i]), of_x, fma(splat(y[i]), of_y, bias))
            store(first, i * hidden + column, keep_where_positive(active, active))


@compiled
def backward(
    weights: Numbers, transposed: Numbers, hidden: int, x: Numbers, y: Numbers, first: Numbers,
    second: Numbers, slopes: Numbers, back: Numbers, gradient: Numbers,
) -> None:  # fmt: skip
    """Add the gradient of ``sum_i slopes_i T(x_i, y_i)`` over 64 samples.

    `transposed` is the transpose of W_2, `back` a workspace for a hidden layer; `first` and `second` are
    overwritten.
    """
    quadratic = 5 * hidden + hidden * hidden
    for i in range(CHUNK):
        gradient[quadratic] += slopes[i] * x[i] * x[i]
        gradient[quadratic + 1] += slopes[i] * y[i] * y[i]
        gradient[quadratic + 2] += slopes[i] * x[i] * y[i]
        gradient[quadratic + 3] += slopes[i]
    _through_second(weights, hidden, second, slopes, gradient)
    add_outer(gradient, 5 * hidden, first, second, CHUNK, hidden)
    layer(back, ZERO_BIAS, 0, second, transposed, 0, CHUNK, hidden)
    _through_first(hidden, x, y, first, back, gradient)


@compiled
def _through_second(
    weights: Numbers, hidden: int, second: Numbers, slopes: Numbers, gradient: Numbers
) -> None:
    """Replace the second layer by the gradient of its preactivation."""
    for column in range(0, hidden, LANES):
        out = load(weights, 4 * hidden + column)
        of_bias, of_out = load(gradient, 3 * hidden + column), load(gradient, 4 * hidden + column)
        for i in range(CHUNK):
            slope = splat(slopes[i])
            active = load(second, i * hidden + column)
            into = keep_where_positive(fma(slope, out, splat(np.float32(0))), active)
            of_out = fma(slope, active, of_out)
            of_bias = fma(splat(np.float32(1)), into, of_bias)
            store(second, i * hidden + column, into)
        store(gradient, 3 * hidden + column, of_bias)
        store(gradient, 4 * hidden + column, of_out)


@compiled
def _through_first(
    hidden: int, x: Numbers, y: Numbers, first: Numbers, back: Numbers, gradient: Numbers
) -> None:
    for column in range(0, hidden, LANES):
        of_x, of_y = load(gradient, column), load(gradient, hidden + column)
        of_bias = load(gradient, 2 * hidden + column)
        for i in range(CHUNK):
            into = keep_where_positive(load(back, i * hidden + column), load(first, i * hidden + column))
            of_x, of_y = fma(splat(x[i]), into, of_x), fma(splat(y[i]), into, of_y)
            of_bias = fma(splat(np.float32(1)), into, of_bias)
        store(gradient, column, of_x)
        store(gradient, hidden + column, of_y)
        store(gradient, 2 * hidden + column, of_bias)


@compiled
def transpose(weights: Numbers, hidden: int, transposed: Numbers) -> None:
    """W_2 with rows and columns exchanged."""
    start = 5 * hidden
    for row in range(hidden):
        for column in range(hidden):
            transposed[column * hidden + row] = weights[start + row * hidden + column]
