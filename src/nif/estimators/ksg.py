"""Nearest neighbours: the estimator of Kraskov, Stögbauer and Grassberger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from scipy.special import digamma, stdtr

from nif.core.arguments import checked_options
from nif.core.errors import InputError
from nif.core.random import stream
from nif.core.types import Advance, ignore
from nif.estimators.atoms import with_test_of_atoms
from nif.estimators.determined import limited
from nif.estimators.entropy import constant_pairs, with_constant_pairs
from nif.estimators.estimate import Estimate, SidesX, SidesY
from nif.estimators.neighbours import ROUNDING, Vectors, nothing_given, terms_given, terms_in_order
from nif.estimators.ranks import normal_scores

Numbers = Float[np.ndarray, "sample 1"]

NULL_SAMPLES = 2_000
"""Samples above which the null of two numbers is scaled instead of drawn."""

NULL_OF_VECTORS = 1_000
"""The same for the spread of the null of vectors. Its mean is not scaled: with many tied columns it does not
fall with the number of samples."""

DRAWS_OF_MEAN = 10
"""Shuffles of all samples, where the spread is scaled: they make the error of the null's mean a third of its
spread, which the p-value includes."""

SHUFFLED_SAMPLES = 600_000
"""Samples drawn in total, at least, for the null that all pairs of numbers share. Its error is the same in
every p-value: with 200 draws, tests at .05 rejected 3 to 11 %, depending on the seed."""

SAMPLES_PER_NEIGHBOUR = 200
"""Samples per neighbour above which the error comes from edges, not from the curvature of the density."""

STRONG = 1.0
"""Nats above which the curvature of the density is measured: strong dependence is a narrow density."""

FEWEST_NEIGHBOURS = 3
"""Neighbours where samples are few, unless fewer are asked for."""


class Null(NamedTuple):
    """The distribution of the estimate for independent sides."""

    mean: float
    spread: float
    """Standard deviation of the estimate."""
    variance: float
    """Variance of the terms of single samples."""
    draws: int
    """Shuffles for the spread."""
    draws_of_mean: int

    @classmethod
    def of(cls, terms: Sequence[Float[np.ndarray, " sample"]]) -> Null:
        """From the terms of each shuffle."""
        means = [draw.mean() for draw in terms]
        variance = np.mean([draw.var() for draw in terms])
        return cls(float(np.mean(means)), float(np.std(means, ddof=1)), float(variance), *2 * [len(terms)])

    def scaled(self, shrink: float) -> Null:
        """For more samples, whose root is larger by this factor."""
        return self._replace(mean=self.mean * shrink, spread=self.spread * shrink)

    def p_value(self, nats: float) -> float:
        """Probability of a value at least this high, by Student's distribution for the number of draws."""
        z = (nats - self.mean) / (self.spread * math.sqrt(1 + 1 / self.draws_of_mean))
        return float(stdtr(self.draws - 1, -z))


class NullOfNumbers(NamedTuple):
    """The null of the value, and that of the statistic of the test."""

    value: Null
    test: Null


@checked_options
@dataclass(frozen=True)
class Ksg:
    r"""k nearest neighbours in the joint space, counted again in each side.

    .. math:: \hat I_k = \langle \psi(k_i) + \psi(N) - \psi(n_{x,i}) - \psi(n_{y,i}) \rangle

    on normal scores of the ranks. If only one sample is at the distance of the k-th neighbour of sample i,
    k_i is k and n counts the samples that are nearer in one side, i itself included: Kraskov's first
    algorithm. If several samples share that distance, k_i and n count all samples up to it: Gao's mixed form.
    Gao uses it for atoms (distance 0) only; it is needed at the edge of an atom too, since all zeros of a
    ReLU unit are at the same distance from a small positive value (without it .06 nats are lost on two
    independent units).

    Where the density has an edge this is too low by an amount that grows with :math:`\sqrt{k / N}`, the width
    of a neighbourhood. For a pair of numbers the value is therefore extrapolated to neighbourhoods of zero
    width, :math:`2 \hat I_k - \hat I_{4k}`. (Over the nine tasks of 'Beyond Normal' at N = 10,000 the mean
    absolute error is .009 with it, .011 without at the best k, 3.) Below 200 k samples, where k is N / 200 or
    3, the curvature of the density matters as well; its bias grows with k / N, to which
    :math:`\hat I_k + \tfrac13 (\hat I_k - \hat I_{4k})` belongs. The value is then in the middle, two thirds
    of the difference added, and the distance to both, one third, is part of the standard error. Where the
    value is above 1 nat, a smooth density is so narrow that its curvature matters with more samples as well.
    It shows in every fourth sample, whose neighbourhoods are four times as wide: bias of edges doubles there,
    that of curvature is four times as large, and a third of the excess is too much in the extrapolated value.
    What is more than chance of it is taken off, and half of that and all of the rest are part of the standard
    error. Vectors are not extrapolated: there the value is low at edges, and where the information is large
    for the number of samples.

    The p-value of two numbers is that of :math:`\hat I_{4k}`, the least variable of these, with ties ordered
    at random: the ranks of independent numbers are then a random permutation, whatever their distributions.
    Where both have a value that repeats, such as the 0 of a ReLU, a test of how often both have theirs is
    combined with it (`nif.estimators.atoms`), since ties in random order hide the dependence of rare values.

    Args:
        k: Neighbours. More is less variable and less local. Fewer are used where samples are few: of numbers
            one in 200 samples, of vectors one in 50, but at least 3.
        permutations: Values on shuffled samples; their spread gives the p-value and part of the standard
            error. For a pair of numbers they depend on N and k only: all pairs share them, and more are drawn
            if N is small. Each pair of vectors has separate ones, of 1,000 samples at most.

    References:
        Kraskov, Stögbauer & Grassberger (2004), eq. 8, https://arxiv.org/abs/cond-mat/0305641.
        Gao, Kannan, Oh & Viswanath (2017), algorithm 1, https://arxiv.org/abs/1709.06212
        Mesner & Shalizi (2020), https://arxiv.org/abs/1912.00387: all samples at the k-th distance count.

    Example:
        >>> x, noise = np.random.default_rng(0).normal(size=(2, 1, 1000, 1))
        >>> bool(abs(Ksg().estimate(x, x + noise).nats[0] - 0.347) < 0.08)
        True
    """

    k: int = 7
    permutations: int = 200

    def __post_init__(self) -> None:
        if self.permutations < 2:
            raise InputError(f"permutations is {self.permutations}; expected at least 2.")

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X; Y) of each pair; see `nif.estimators.estimate.Estimator`."""
        degenerate = constant_pairs(x, y)
        of_numbers = x.shape[2] == y.shape[2] == 1 and not degenerate.all()
        null = _null_of_numbers(x.shape[1], self.k, self.permutations, seed) if of_numbers else None
        results = []
        for left, right in zip(x[~degenerate], y[~degenerate], strict=True):
            if null is None:
                results.append(self._of_vectors(left, right, seed))
            else:
                results.append(self._of_numbers(left, right, seed, null))
            advance(1)
        advance(float(degenerate.sum()))
        columns = np.array(results).reshape(-1, 3).T
        found = with_constant_pairs(degenerate, *columns, samples=x.shape[1], estimator=self)
        return limited(found, x, y)

    def _of_numbers(
        self, x: Vectors, y: Vectors, seed: int, null: NullOfNumbers
    ) -> tuple[float, float, float]:
        """Nats, standard error and p-value of two numbers."""
        scores = normal_scores(x), normal_scores(y)
        near, far = _neighbourhoods(*scores, _near_and_far(len(x), self.k))
        terms, untied = _extrapolated(near, far, self.k), far
        strong = near.mean() > STRONG
        too_much, curved = _of_curvature(*scores, near, far, self.k) if strong else (0.0, 0.0)
        repeats = [len(np.unique(side)) < side.size for side in (x, y)]
        if any(repeats):
            left = _untied_scores(x, stream(seed, "ties of x", x))
            right = _untied_scores(y, stream(seed, "ties of y", y))
            untied = _neighbourhoods(left, right, _near_and_far(len(x), self.k))[1]
        p_value = null.test.p_value(float(untied.mean()))
        if all(repeats):
            p_value = with_test_of_atoms(p_value, x[:, 0], y[:, 0], stream(seed, "test of atoms", x, y))
        unknown = 0.0 if _at_edges(len(x), self.k) else float(near.mean() - far.mean()) / 3
        stderr = math.hypot(_stderr(terms, null.value), unknown, curved)
        return float(terms.mean()) - too_much, stderr, p_value

    def _of_vectors(self, x: Vectors, y: Vectors, seed: int) -> tuple[float, float, float]:
        """The same of two vectors, whose null is their own."""
        left, right, given = normal_scores(x), normal_scores(y), nothing_given(len(x))
        k = neighbours_of_vectors(len(x), self.k)

        def shuffled(rows: np.ndarray, draws: int) -> Null:
            orders = [generator.permutation(rows) for _ in range(draws)]
            return Null.of([terms_given(left[rows], right[order], given[rows], k) for order in orders])

        terms, generator = terms_given(left, right, given, k), stream(seed, "null of Ksg")
        few = generator.permutation(len(x))[:NULL_OF_VECTORS]
        null = shuffled(few, self.permutations).scaled(math.sqrt(len(few) / len(x)))
        if len(few) < len(x):
            mean = shuffled(np.arange(len(x)), DRAWS_OF_MEAN).mean
            null = null._replace(mean=mean, draws_of_mean=DRAWS_OF_MEAN)
        nats = float(terms.mean())
        return nats, _stderr(terms, null), null.p_value(nats)


def _stderr(terms: Float[np.ndarray, " sample"], null: Null) -> float:
    """The variance of the null's terms is noise of single samples: it does not come from the density."""
    return math.sqrt(max(terms.var() - null.variance, 0.0) / len(terms) + null.spread**2)


def _null_of_numbers(samples: int, k: int, permutations: int, seed: int) -> NullOfNumbers:
    """The null of numbers: untied ranks of any two independent ones are a random permutation.

    Mean and spread times the root of N no longer change beyond a few thousand samples.
    """
    drawn = min(samples, max(NULL_SAMPLES, SAMPLES_PER_NEIGHBOUR * k))
    found = _drawn_null(drawn, k, max(permutations, SHUFFLED_SAMPLES // drawn), seed)
    shrink = math.sqrt(drawn / samples)
    return NullOfNumbers(found.value.scaled(shrink), found.test.scaled(shrink))


@lru_cache(maxsize=16)
def _drawn_null(samples: int, k: int, draws: int, seed: int) -> NullOfNumbers:
    """The same from so many shuffles, not scaled: more samples share it."""
    scores = normal_scores(np.arange(samples, dtype=np.float64)[:, None])[:, 0]
    generator = stream(seed, "null of Ksg")
    values, tests = [], []
    for _ in range(draws):
        near, far = terms_in_order(scores, generator.permutation(scores), _near_and_far(samples, k))
        values.append(_extrapolated(near, far, k))
        tests.append(far)
    return NullOfNumbers(Null.of(values), Null.of(tests))


def neighbours_of_vectors(samples: int, k: int) -> int:
    """k, or fewer where samples are few."""
    return min(k, max(FEWEST_NEIGHBOURS, samples // 50))


def _near_and_far(samples: int, k: int) -> list[int]:
    """The two numbers of neighbours that are extrapolated."""
    near = min(k, max(FEWEST_NEIGHBOURS, samples // SAMPLES_PER_NEIGHBOUR))
    return [near, 4 * near]


def _at_edges(samples: int, k: int) -> bool:
    """Whether the bias comes from edges, not also from the curvature of the density."""
    return samples >= SAMPLES_PER_NEIGHBOUR * k


def _extrapolated(
    near: Float[np.ndarray, " sample"], far: Float[np.ndarray, " sample"], k: int
) -> Float[np.ndarray, " sample"]:
    """Terms of single samples, extrapolated to neighbourhoods of zero width; see `Ksg`."""
    return near + (near - far) * (1 if _at_edges(len(near), k) else 2 / 3)


def _of_curvature(
    x: Numbers, y: Numbers, near: Float[np.ndarray, " sample"], far: Float[np.ndarray, " sample"], k: int
) -> tuple[float, float]:
    r"""What the extrapolated value is too high by as the density is curved, and its error; see `Ksg`.

    With bias :math:`a \sqrt{k} + b k` at k neighbours, near less far is a + 3 b, the same of every fourth
    sample 2 a + 12 b, and their excess over twice the first 6 b. The extrapolated value is too high by 2 b.
    """
    wide = np.subtract(*_neighbourhoods(x[::4], y[::4], _near_and_far(len(x), k)))
    narrow = near - far
    excess = max(float(wide.mean() - 2 * narrow.mean()), 1e-12)
    error = math.sqrt(wide.var() / len(wide) + 4 * narrow.var() / len(narrow))
    # The positive part of James and Stein: up to 2.5 errors, nothing is taken off, and all is unknown.
    kept = max(0.0, 1 - (2.5 * error / excess) ** 2)
    return kept * excess / 3, math.hypot(kept * excess / 2, kept * error, (1 - kept) * excess) / 3


def _neighbourhoods(x: Numbers, y: Numbers, neighbours: list[int]) -> list[Float[np.ndarray, " sample"]]:
    """The terms of single samples of two numbers, for several numbers of neighbours from one search."""
    joint = np.column_stack([x, y])
    points, point, copies = np.unique(joint, axis=0, return_inverse=True, return_counts=True)
    orders = [order for k in neighbours for order in (k, k + 1, k + 2)]  # a sample is its first neighbour
    few_copies = np.repeat(points, np.minimum(copies, orders[-1]), axis=0)  # an atom is not searched through
    distances = cKDTree(few_copies).query(points, k=orders, p=np.inf)[0].T
    terms = []
    for k, nearer, radius, farther in zip(neighbours, *(distances[i::3] for i in range(3)), strict=True):
        shared = (radius - nearer <= ROUNDING) | (farther - radius <= ROUNDING)
        reach = radius + np.where(shared, ROUNDING, -ROUNDING)
        inside = np.where(shared, copies, k)
        edge = shared & (radius > ROUNDING)
        if edge.any():
            inside[edge] = cKDTree(joint).query_ball_point(
                points[edge], reach[edge], np.inf, return_length=True
            )
        k_i, width = inside[point], reach[point]
        terms.append(digamma(k_i) + digamma(len(x)) - digamma(_within(x, width)) - digamma(_within(y, width)))
    return terms


def _within(side: Numbers, radius: Float[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """Samples within a radius of each sample, itself included."""
    values = side[:, 0]
    ordered = np.sort(values)
    above = np.searchsorted(ordered, values + radius, side="right")
    return above - np.searchsorted(ordered, values - radius, side="left")


def _untied_scores(side: np.ndarray, generator: np.random.Generator) -> Float[np.ndarray, "sample dim"]:
    """Normal scores of each column, equal values in random order."""
    orders = [np.lexsort((generator.random(len(side)), column)) for column in side.T]
    return normal_scores(np.column_stack([np.argsort(order) for order in orders]).astype(np.float64))
