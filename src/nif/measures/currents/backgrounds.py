"""The background rows that stand for what is not known of each explained row, and their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.measures.currents.decisions import Bernoullis, Values
from nif.measures.currents.information import (
    CHUNK,
    Decided,
    Outcomes,
    information,
    mean_log_likelihood,
    own_log_likelihood,
)

MOST_OUTCOMES = 64
"""Outcomes of a row, the most probable ones, whose mean likelihood its backgrounds are weighted for."""

TOLERANCES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
"""Divergence of weights that is worth half a squared relative error of 1 in the mean likelihood."""

SAME_SIMILARITY = 0.01
"""Similarities are rounded to multiples of it: of a likelihood ratio, or of the noise of a value."""

EVEN_MASS = 0.2
"""Part of the strata of classes that is spread over all rows, whatever their similarity."""

NEWTON_STEPS = 12
"""For each tolerance."""

SMALLEST_GAIN = 1e-7
"""Of a step, by which the search has converged."""


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Background rows of the explained rows.

    Attributes:
        index: Of the background rows in their pool.
        log_weights: Logarithms of their weights, which sum to one less that of the row itself.
        own: Weight of the row itself: 1/N, as it is one of the N rows, or 0 for a pool of its own.
    """

    index: Int64[np.ndarray, "row background"]
    log_weights: Float[np.ndarray, "row background"]
    own: float

    def at(self, rows: slice | np.ndarray) -> Backgrounds:
        """Those of some rows."""
        return Backgrounds(self.index[rows], self.log_weights[rows], self.own)


@dataclass(frozen=True, eq=False)
class Explained:
    """Explained rows, and the pool that their backgrounds come from.

    Attributes:
        decided: The decision.
        rows: Indices of the explained rows in the data.
        outputs: At these rows.
        pool: Outputs at the rows of the pool.
        member: Whether the pool is the data, so that each row is itself in it.
        mean: Logarithm of the mean likelihood of each outcome over the pool.
    """

    decided: Decided
    rows: Int64[np.ndarray, " row"]
    outputs: Float[Tensor, "row output"]
    pool: Float[Tensor, "pool output"]
    member: bool
    mean: Float[Tensor, "_ outcome"]

    @classmethod
    def of(
        cls,
        decided: Decided,
        outputs: Float[Tensor, "data output"],
        rows: Int64[np.ndarray, " row"],
        pool: Float[Tensor, "pool output"] | None = None,
    ) -> Explained:
        """Rows of data among all rows, or against a pool of their own."""
        here = outputs[torch.from_numpy(rows).to(outputs.device)]
        others = outputs if pool is None else pool
        return cls(decided, rows, here, others, pool is None, mean_log_likelihood(decided, here, others))

    @property
    def others(self) -> int:
        """Number of rows that can be backgrounds of a row."""
        return len(self.pool) - self.member

    @property
    def own(self) -> float:
        """Weight of a row among its own backgrounds."""
        return 1 / len(self.pool) if self.member else 0.0

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes of the decision."""
        return self.decided.outcomes(self.outputs, torch.from_numpy(self.rows))

    def parts(self, numbers: int) -> Iterator[tuple[slice, Explained]]:
        """A few rows at a time, where each takes this many numbers."""
        step = max(1, CHUNK // numbers)
        for first in range(0, len(self.rows), step):
            part = slice(first, first + step)
            mean = self.mean[part] if len(self.mean) == len(self.rows) else self.mean
            yield part, replace(self, rows=self.rows[part], outputs=self.outputs[part], mean=mean)

    def information(self) -> Float[np.ndarray, " row"]:
        """Information about the decision that each row gives, in closed form over the pool.

        Its mean over all rows of data is :math:`I(X; Y)`: what the total of the currents must be.
        """
        outcomes = self.outcomes
        return _rise(outcomes, own_log_likelihood(outcomes, self.outputs) - self.mean)

    def total(self, backgrounds: Backgrounds) -> Float[np.ndarray, " row"]:
        """The total of the currents of each row from its backgrounds: the rise of v from start to end."""
        totals, weights = [], torch.from_numpy(backgrounds.log_weights).to(self.outputs)
        for part, few in self.parts(backgrounds.index.shape[1] * self.mean.shape[1]):
            outcomes, index = few.outcomes, torch.from_numpy(backgrounds.index[part])
            there = self.pool[index.to(self.pool.device)]
            own = own_log_likelihood(outcomes, few.outputs)
            itself = own + math.log(backgrounds.own) if backgrounds.own > 0 else None
            totals.append(_rise(outcomes, own - information(outcomes, there, weights[part], itself)))
        return np.concatenate(totals)


def _rise(outcomes: Outcomes, rise: Float[Tensor, "row outcome"]) -> Float[np.ndarray, " row"]:
    """The mean over outcomes; those that are impossible count for nothing."""
    mean: np.ndarray = (
        torch.where(outcomes.weight > 0, outcomes.weight * rise, 0.0).sum(1).double().numpy(force=True)
    )
    return mean


def similar_backgrounds(explained: Explained, count: int, generator: np.random.Generator) -> Backgrounds:
    """For each row others, by similarity of decision, with weights that make the mean decision right.

    The others are ordered by similarity and cut into strata; one member of each is drawn, and weighs as much
    as its stratum. Random rows make the total too large: few of them are so similar to a row as to be a
    likely alternative to it. Weights are then tilted as little as possible so that the mean likelihood of
    every outcome is that of the pool, where the backgrounds can reach it.
    """
    others, own = explained.others, explained.own
    if count >= others:
        index = np.tile(np.arange(others), (len(explained.rows), 1))
        if explained.member:
            index = index + (index >= explained.rows[:, None])
        return Backgrounds(index, np.full(index.shape, math.log1p(-own) - math.log(others)), own)
    numbers, ratios = max(len(explained.pool), count * explained.mean.shape[1]), likelihood_ratios(explained)
    parts = [_of_rows(few, ratios, count, generator) for _, few in explained.parts(numbers)]
    index, log_weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Backgrounds(index, log_weights + math.log1p(-own), own)


def strata(
    decided: Decided, alike: Float[np.ndarray, "row other"], count: int
) -> Float[np.ndarray, "row edge"]:
    """Edges of the strata of the other rows of each row, in falling order of similarity.

    Values need similar rows, of a likelihood that is not negligible: widths grow geometrically. Classes are
    dense where rows are similar, by the square root of the similarity, and at the end of the least similar
    ones: without the rare classes no weights make the mean decision right. Of many independent decisions
    any row is alike in some.
    """
    rows, others = alike.shape
    if isinstance(decided, Bernoullis):
        return np.tile(np.linspace(0.0, others, count + 1), (rows, 1))
    far = 0 if isinstance(decided, Values) else min(count // 8, int(math.log2(others / 4 + 1)))
    widths = 2.0 ** np.arange(far)[::-1]
    last = others - int(widths.sum())
    if isinstance(decided, Values) or last <= count - far:
        return np.tile(geometric_edges(others, np.arange(count)), (rows, 1))
    near = _edges_by_mass(np.sqrt(np.maximum(alike[:, :last], 0.0)), count - far)
    return np.concatenate([near, np.tile(last + np.cumsum(widths), (rows, 1))], axis=1)


def _edges_by_mass(density: Float[np.ndarray, "row other"], count: int) -> Float[np.ndarray, "row edge"]:
    """Edges of strata of equal mass and of one row or more; a part of the mass is spread evenly."""
    rows, others = density.shape
    even, place = EVEN_MASS / others, np.arange(count + 1)
    total = np.maximum(density.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    mass = np.cumsum(even + (1 - EVEN_MASS) * density / total, axis=1)
    inner = np.arange(1, count) / count
    edges = np.zeros((rows, count + 1))
    for of_row, of_mass in zip(edges, mass, strict=True):
        of_row[1:-1] = np.searchsorted(of_mass, of_mass[-1] * inner) + 1
    edges[:, -1] = others
    rising = np.maximum.accumulate(edges - place, axis=1) + place
    return np.minimum(rising, others - count + place)


def _of_rows(
    explained: Explained, ratios: Tensor | None, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Backgrounds of a few rows, and the logarithms of their weights."""
    rows, others = explained.rows, explained.others
    # Those that differ by rounding count as equal: the same function, computed in another order, then has the
    # same backgrounds.
    exact = similarity(explained, ratios).double().numpy(force=True)
    alike = np.round(exact / SAME_SIMILARITY) * SAME_SIMILARITY
    if explained.member:
        alike[np.arange(len(rows)), rows] = -np.inf
    shuffled = generator.permutation(len(explained.pool))  # equal similarities are in random order
    order: np.ndarray = shuffled[np.argsort(-alike[:, shuffled], axis=1, kind="stable")][:, :others]
    edges = strata(explained.decided, np.take_along_axis(alike, order, axis=1), count)
    width = np.diff(edges, axis=1)
    drawn = edges[:, :-1] + generator.random(width.shape) * width
    index: np.ndarray = np.take_along_axis(order, np.minimum(drawn.astype(np.int64), others - 1), axis=1)
    return index, tilted(np.log(width / others), *_moments(explained, index))


def likelihood_ratios(explained: Explained) -> Float[Tensor, "pool outcome"] | None:
    """Likelihood of each outcome at the rows of the pool over its mean; None if outcomes differ by row."""
    if isinstance(explained.decided, Values):
        return None
    logs: Tensor = explained.outcomes.log_likelihood(explained.pool[None])[0] - explained.mean
    return logs.exp()


def similarity(
    explained: Explained, ratios: Float[Tensor, "pool outcome"] | None
) -> Float[Tensor, "row pool"]:
    """How alike the decisions of rows and pool rows are; any increasing function of it orders them alike."""
    decided, outputs, pool = explained.decided, explained.outputs, explained.pool
    if isinstance(decided, Values):
        return -torch.cdist(outputs / decided.deviation, pool / decided.deviation)
    assert ratios is not None
    weight = explained.outcomes.weight
    if not isinstance(decided, Bernoullis):
        return weight @ ratios.T
    pairs = weight.reshape(len(outputs), 1, -1, 2) * ratios.reshape(1, len(pool), -1, 2)
    return pairs.sum(3).clamp_min(torch.finfo(outputs.dtype).tiny).log().sum(2)


def geometric_edges(total: int, exponents: Int64[np.ndarray, " stratum"]) -> Float[np.ndarray, " edge"]:
    """Edges of strata of `total` rows whose widths are powers of one number; the narrowest is one row wide.

    Example:
        >>> geometric_edges(7, np.array([0, 1, 2])).round(6).tolist()
        [0.0, 1.0, 3.0, 7.0]
    """
    low, high = 1.0, float(total)
    for _ in range(80):
        ratio = math.sqrt(low * high)
        large = exponents.max() * math.log(ratio) > 25 or np.sum(ratio**exponents) > total
        low, high = (low, ratio) if large else (ratio, high)
    edges = np.concatenate([[0.0], np.cumsum(low**exponents)])
    return edges * total / edges[-1]


def _moments(
    explained: Explained, index: Int64[np.ndarray, "row background"]
) -> tuple[Float[np.ndarray, "row background outcome"], Float[np.ndarray, "row outcome"]]:
    """Relative errors of the mean likelihood if it were that of one background, and weights of outcomes."""
    outcomes = explained.outcomes
    likelihood = outcomes.log_likelihood(explained.pool[torch.from_numpy(index).to(explained.pool.device)])
    if explained.member:
        itself = own_log_likelihood(outcomes, explained.outputs)[:, None] + math.log(explained.own)
        likelihood = torch.logaddexp(likelihood + math.log1p(-explained.own), itself)
    ratio = (likelihood - explained.mean[:, None]).clamp_max(14.0).exp() - 1
    top = outcomes.weight.topk(min(MOST_OUTCOMES, ratio.shape[2]), dim=1)
    moments = ratio.gather(2, top.indices[:, None].expand(-1, ratio.shape[1], -1))
    return moments.double().numpy(force=True), top.values.double().numpy(force=True)


def tilted(
    log_weights: Float[np.ndarray, "row background"],
    moments: Float[np.ndarray, "row background outcome"],
    importance: Float[np.ndarray, "row outcome"],
) -> Float[np.ndarray, "row background"]:
    r"""Logarithms of weights :math:`w_b e^{\lambda \cdot m_b}` whose mean moments are near 0.

    They minimize their Kullback-Leibler divergence from the given ones, plus half the squares of the mean
    moments times their importance over a tolerance, which is made smaller as long as Newton's method for
    lambda, the solution of the dual problem, converges: where no weights have mean moments of 0 it may not.

    Example:
        >>> moments = np.array([[[1.0], [-1.0], [-1.0]]])
        >>> np.exp(tilted(np.log(np.full((1, 3), 1 / 3)), moments, np.ones((1, 1)))).round(3)
        array([[0.5 , 0.25, 0.25]])
    """
    tilt = np.zeros_like(importance)
    best = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    best /= best.sum(axis=1, keepdims=True)
    for tolerance in TOLERANCES:
        ridge = tolerance / np.maximum(importance, 1e-12)
        tilt, weights, converged = _minimized(log_weights, moments, tilt, ridge)
        best = np.where(converged[:, None], weights, best)
    return np.log(np.maximum(best, np.finfo(float).tiny))


def _minimized(
    log_weights: np.ndarray, moments: np.ndarray, tilt: np.ndarray, ridge: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tilt that minimizes the dual, the weights there, and whether each row converged."""
    penalty = ridge[:, :, None] * np.eye(moments.shape[2])
    value, weights = _dual(log_weights, moments, tilt, ridge)
    gain = np.zeros(len(tilt))
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
        gain = before - value
        if np.max(gain) < SMALLEST_GAIN:
            break
    return tilt, weights, gain < SMALLEST_GAIN


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
