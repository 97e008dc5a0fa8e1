"""Which rows are explained, and the background rows that stand for what is not known of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.measures.currents.information import CHUNK, Bernoullis, Decided, Values, mean_log_likelihood

MOST_OUTCOMES = 16
"""Outcomes of a row, the most probable ones, whose mean likelihood its backgrounds are weighted for."""

SAME_SIMILARITY = 0.01
"""Similarities are rounded to multiples of it: of a likelihood ratio, or of the noise of a value."""

NEWTON_STEPS = 50

TOLERANCE = 1e-4
"""Divergence of weights that is worth a squared relative error of 1 in the mean likelihood."""


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Background rows of the explained rows.

    Attributes:
        index: Of the background rows.
        log_weights: Logarithms of their weights, which sum to one less that of the row itself.
        own: Weight of the row itself: it is one of the N rows.
    """

    index: Int64[np.ndarray, "row background"]
    log_weights: Float[np.ndarray, "row background"]
    own: float


def explained_rows(
    information: Float[np.ndarray, " pool"], count: int, generator: np.random.Generator
) -> tuple[Int64[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Rows to explain, and their weights, which sum to 1.

    All rows, if there are no more than `count`. Else half of them at random, and half in proportion to what
    is known from them of the decision, so that rare classes are not missed; weighted back.

    Args:
        information: Of each row about the decision, in closed form.
        count: Number of rows.
        generator: Draws them.
    """
    total = len(information)
    if total <= count:
        return np.arange(total), np.full(total, 1 / total)
    size = np.abs(information)
    share = 0.5 / total + 0.5 * (size / size.sum() if size.sum() > 0 else 1 / total)
    included = np.minimum(share * count, 1.0)
    for _ in range(20):  # those that are certain leave their surplus to the others
        open_ = included < 1
        surplus = count - (~open_).sum()
        included[open_] = np.minimum(share[open_] / share[open_].sum() * surplus, 1.0)
    order = generator.permutation(total)
    ends = np.cumsum(included[order])
    marks = np.arange(math.ceil(ends[-1])) + generator.random()
    chosen = np.unique(order[np.searchsorted(ends, marks[marks < ends[-1]])])
    weights = 1 / included[chosen]
    return chosen, weights / weights.sum()


def similar_backgrounds(
    decided: Decided,
    outputs: Float[Tensor, "pool output"],
    rows: Int64[np.ndarray, " row"],
    count: int,
    generator: np.random.Generator,
) -> Backgrounds:
    """For each row others, by similarity of decision, with weights that make the mean decision right.

    The others are ordered by similarity and cut into strata whose widths grow geometrically; one member of
    each is drawn, and weighs as much as its stratum. Random rows make the total too large: few of them are
    so similar to a row as to be a likely alternative to it. Weights are then tilted as little as possible
    so that the mean likelihood of every outcome is that of all rows, where the backgrounds can reach it.
    """
    others = len(outputs) - 1
    count = min(count, others)
    if count == others:
        index = np.arange(others)[None] + (np.arange(others)[None] >= rows[:, None])
        log_weights = np.full(index.shape, math.log(1 / others))
    else:
        index, log_weights = _stratified(decided, outputs, rows, count, generator)
        log_weights = _calibrated(decided, outputs, rows, index, log_weights)
    own = 1 / len(outputs)
    return Backgrounds(index, log_weights + math.log1p(-own), own)


def _stratified(
    decided: Decided,
    outputs: Float[Tensor, "pool output"],
    rows: Int64[np.ndarray, " row"],
    count: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    others = len(outputs) - 1
    edges = geometric_edges(others, count)
    width = np.diff(edges)
    place = edges[:-1] + generator.random((len(rows), count)) * width
    place = np.minimum(place.astype(np.int64), others - 1)
    index = np.empty((len(rows), count), dtype=np.int64)
    step = max(1, CHUNK // (len(outputs) * max(1, outputs.shape[1])))
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        # Equal similarities, as of saturated decisions, are in random order; those that differ by rounding count
        # as equal, so that the same function, computed in another order, has the same backgrounds.
        alike = np.round(similarity(decided, outputs, part).numpy(force=True) / SAME_SIMILARITY)
        alike[np.arange(len(part)), part] = -np.inf
        shuffled = generator.permutation(len(outputs))
        order = shuffled[np.argsort(-alike[:, shuffled], axis=1, kind="stable")]
        index[first : first + step] = np.take_along_axis(order, place[first : first + step], axis=1)
    return index, np.broadcast_to(np.log(width / others), index.shape)


def similarity(
    decided: Decided, outputs: Float[Tensor, "pool output"], rows: Int64[np.ndarray, " row"]
) -> Float[Tensor, "row pool"]:
    """How alike the decisions of rows and pool rows are; any increasing function of it orders them alike."""
    chosen = torch.from_numpy(rows).to(outputs.device)
    if isinstance(decided, Values):
        scaled = outputs / decided.deviation.clamp_min(torch.finfo(outputs.dtype).tiny)
        return -torch.cdist(scaled[chosen], scaled)
    outcomes = decided.outcomes(outputs[chosen], chosen)
    likelihood = outcomes.log_likelihood(outputs[None])[0].exp()
    ratio = likelihood / likelihood.mean(0).clamp_min(torch.finfo(outputs.dtype).tiny)
    if not isinstance(decided, Bernoullis):
        return outcomes.weight @ ratio.T
    pairs = outcomes.weight.reshape(len(chosen), 1, -1, 2) * ratio.reshape(1, len(outputs), -1, 2)
    return pairs.sum(3).clamp_min(torch.finfo(outputs.dtype).tiny).log().sum(2)


def geometric_edges(total: int, count: int) -> Float[np.ndarray, " edge"]:
    """Edges of `count` strata of `total` rows, the first one row wide, whose widths grow geometrically.

    Example:
        >>> geometric_edges(7, 3).round(6).tolist()
        [0.0, 1.0, 3.0, 7.0]
    """
    low, high = 1.0, float(total)
    for _ in range(80):
        ratio = math.sqrt(low * high)
        large = (count - 1) * math.log(ratio) > 25 or np.sum(ratio ** np.arange(count)) > total
        low, high = (low, ratio) if large else (ratio, high)
    edges = np.concatenate([[0.0], np.cumsum(low ** np.arange(count))])
    return edges * total / edges[-1]


def _calibrated(
    decided: Decided,
    outputs: Float[Tensor, "pool output"],
    rows: Int64[np.ndarray, " row"],
    index: Int64[np.ndarray, "row background"],
    log_weights: Float[np.ndarray, "row background"],
) -> Float[np.ndarray, "row background"]:
    """Weights tilted so that they average the likelihood of each outcome as all other rows do."""
    own = torch.from_numpy(rows).to(outputs.device)
    outcomes = decided.outcomes(outputs[own], own)
    likelihood = outcomes.log_likelihood(outputs[torch.from_numpy(index).to(outputs.device)])
    mean = mean_log_likelihood(decided, outputs[own], outputs)
    itself = outcomes.log_likelihood(outputs[own][:, None])
    many = len(outputs)
    # The mean over all rows but the row itself.
    tiny = torch.finfo(mean.dtype).tiny
    target = (mean + math.log(many)).exp() - itself[:, 0].exp()
    target = (target / (many - 1)).clamp_min(tiny)
    ratio = likelihood.exp() / target[:, None] - 1
    top = outcomes.weight.topk(min(MOST_OUTCOMES, outcomes.weight.shape[1]), dim=1)
    ratio = ratio.gather(2, top.indices[:, None].expand(-1, ratio.shape[1], -1))
    moments = ratio.clamp(-1.0, 1e6).double().numpy(force=True)
    return tilted(np.array(log_weights), moments, top.values.double().numpy(force=True))


def tilted(
    log_weights: Float[np.ndarray, "row background"],
    moments: Float[np.ndarray, "row background outcome"],
    importance: Float[np.ndarray, "row outcome"],
) -> Float[np.ndarray, "row background"]:
    r"""Weights :math:`w_b e^{\lambda \cdot m_b}` whose mean moments are 0, or near it where that is too far.

    They minimize their Kullback-Leibler divergence from the given ones, plus the squares of the mean moments
    times their importance over `TOLERANCE`; lambda solves the dual by Newton's method.

    Example:
        >>> moments = np.array([[[1.0], [-1.0], [-1.0]]])
        >>> np.exp(tilted(np.log(np.full((1, 3), 1 / 3)), moments, np.ones((1, 1)))).round(3)
        array([[0.5 , 0.25, 0.25]])
    """
    ridge = TOLERANCE / np.maximum(importance, 1e-12)
    penalty = ridge[:, :, None] * np.eye(moments.shape[2])
    tilt = np.zeros_like(ridge)
    value, weights = _dual(log_weights, moments, tilt, ridge)
    for _ in range(NEWTON_STEPS):
        mean = np.einsum("rb,rbj->rj", weights, moments)
        centred = moments - mean[:, None]
        curvature = np.matmul((weights[:, :, None] * centred).swapaxes(1, 2), centred) + penalty
        step = -np.linalg.solve(curvature, (mean + ridge * tilt)[:, :, None])[:, :, 0]
        before, length = value, np.ones((len(tilt), 1))
        for _ in range(30):
            new, new_weights = _dual(log_weights, moments, tilt + length * step, ridge)
            better = new <= before
            if better.all():
                break
            length[~better] /= 2
        tilt = np.where(better[:, None], tilt + length * step, tilt)
        weights = np.where(better[:, None], new_weights, weights)
        value = np.where(better, new, before)
        if np.max(before - value) < 1e-12:
            break
    return np.log(np.maximum(weights, np.finfo(float).tiny))


def _dual(
    log_weights: np.ndarray, moments: np.ndarray, tilt: np.ndarray, ridge: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The convex function that the tilt minimizes, and the weights there."""
    exponent = log_weights + np.einsum("rbj,rj->rb", moments, tilt)
    top = exponent.max(axis=1, keepdims=True)
    weights = np.exp(exponent - top)
    total = weights.sum(axis=1, keepdims=True)
    value = (np.log(total) + top)[:, 0] + (ridge * np.square(tilt)).sum(axis=1) / 2
    return value, weights / total
