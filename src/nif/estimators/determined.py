"""What no estimate may exceed, and sides of which one determines the other.

Information is at least that of what both sides determine, and at most the entropy of either. Where one side
determines the other the two are equal: nothing is left to estimate, and estimators that fit a density have no
optimum there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from nif.estimators.entropy import entropy_of_values, surprise_of
from nif.estimators.estimate import Estimate, Outcome, SidesX, SidesY
from nif.estimators.gaussian_copula import orthonormal
from nif.estimators.ranks import standard_scores

Side = Float[np.ndarray, "sample _"]
Codes = Int[np.ndarray, " sample"]

FIRST = 64
"""Rows that nearly always show that a pair of numbers does not determine each other."""

BY_CHANCE = 1e-6
"""Part of the orders of rows below which a relation is not by chance."""

OF_SINGLE_VALUES = 0.01
"""Nats that values which occur once may add: a function of those can be anything."""

SAME = 1e-10
"""Unexplained part of the variance below which a direction of one side is one of the other: 11 nats."""


class Shared(NamedTuple):
    """What both sides determine."""

    codes: Codes
    """Its value in each row, as a number."""
    chance: float
    """Part of the orders of the rows that show as much, or more."""

    @property
    def surprise(self) -> Float[np.ndarray, " sample"]:
        """Of each row, in nats; its mean is the entropy."""
        return surprise_of(self.codes)


def limited(found: Estimate, x: SidesX, y: SidesY) -> Estimate:
    r"""The estimates of pairs, within what is possible.

    Where one side determines the other on all rows, the value is the entropy of its observed values, at most
    :math:`\ln N`, with `Outcome.DETERMINED`; for continuous sides, whose information is infinite, that is the
    most that N rows can show. Elsewhere no value is above the entropy of either side. One more than three
    standard errors below 0 says that the estimator failed: it is 0, its distance the standard error, and
    `Outcome.NOT_CONVERGED`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1, 100, 2))
        >>> off = Estimate.of([-17.0], stderr=0.1, p_value=0.0, samples=100, estimator="")
        >>> limited(off, x, x[:, :, ::-1] * 2).nats.round(3).tolist()  # ln 100
        [4.605]
        >>> limited(off, x, x**2).nats.tolist()
        [0.0]
    """
    nats, stderr, p_value, outcome = (
        values.copy() for values in (found.nats, found.stderr, found.p_value, found.outcome)
    )
    for pair in np.flatnonzero(outcome != Outcome.DEGENERATE):
        sides = x[pair], y[pair]
        most = min(map(entropy_of_values, sides))
        if (part := shared(*sides)) is not None:
            surprise = part.surprise
            least = min(float(surprise.mean()), most)
            if least > most - OF_SINGLE_VALUES:
                nats[pair], stderr[pair] = least, surprise.std() / math.sqrt(len(surprise))
                p_value[pair], outcome[pair] = part.chance, Outcome.DETERMINED
                continue
            nats[pair] = max(nats[pair], least)
        if nats[pair] < -3 * min(stderr[pair], most):
            nats[pair], stderr[pair] = 0.0, min(-nats[pair], most)
            outcome[pair] = Outcome.NOT_CONVERGED
        nats[pair] = min(nats[pair], most)
    return Estimate(nats, stderr, p_value, outcome, found.samples, found.estimator)


def determines(x: Side, y: Side) -> bool:
    """Whether every column of y is found to be a function of x.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> determines(x, x[:, :1] + x[:, 1:]), determines(x[:, :1], x)
        (True, False)
    """
    return all(_holds(shared(x, column), entropy_of_values(column)) for column in y.T[:, :, None])


def determined(x: Side, y: Side) -> bool:
    """Whether their information is found to be the entropy of one of them; see `limited`."""
    return _holds(shared(x, y), min(map(entropy_of_values, (x, y))))


def _holds(part: Shared | None, entropy: float) -> bool:
    """Whether the part is all of this entropy."""
    return part is not None and bool(part.surprise.mean() > entropy - OF_SINGLE_VALUES)


def shared(x: Side, y: Side) -> Shared | None:
    """A variable that both sides determine on all rows; None if none is found.

    Values that repeat show any function, columns of vectors a linear one, and two numbers a monotone one.

    Example:
        >>> x = np.arange(60.0)[:, None] % 6  # six values
        >>> np.unique(shared(x, np.cos(x * np.pi)).codes).tolist()  # the cosine is a function of them
        [0, 1]
        >>> shared(x, np.arange(60.0)[::-1, None] % 7) is None
        True
    """
    of_numbers = x.shape[1] == y.shape[1] == 1
    if of_numbers and len(x) > FIRST and not _may_determine(x[:FIRST, 0], y[:FIRST, 0]):
        return None
    of_x, of_y = _codes(x), _codes(y)
    if of_x.max() > of_y.max():  # the side of fewer values is the one that can be a function of the other
        of_x, of_y = of_y, of_x
    found = _monotone(of_x, of_y) if of_numbers else None
    return found or _function(of_x, of_y) or (None if of_numbers else _linear(x, y))


def _codes(side: Side) -> Codes:
    """The number of the value of each row, in increasing order."""
    values = side[:, 0] if side.shape[1] == 1 else side
    return np.asarray(np.unique(values, axis=0, return_inverse=True)[1]).reshape(-1)


def _may_determine(x: Float[np.ndarray, " row"], y: Float[np.ndarray, " row"]) -> bool:
    """Whether either is a function of the other on a few rows, with values that repeat or a single order."""
    of_x, of_y = (np.unique(side, return_inverse=True)[1] for side in (x, y))
    fewer, more = sorted((of_x, of_y), key=np.max)
    if fewer.max() == 0:
        return True
    repeats = bool(more.max() < 0.9 * len(x))
    return _is_function(fewer, more) and (repeats or _in_order(fewer, more))


def _is_function(fewer: Codes, more: Codes) -> bool:
    """Whether `fewer` has one value wherever `more` has one."""
    return bool((fewer == fewer[np.unique(more, return_index=True)[1]][more]).all())


def _in_order(fewer: Codes, more: Codes) -> bool:
    steps = np.diff(fewer[np.argsort(more, kind="stable")])
    return bool((steps >= 0).all() or (steps <= 0).all())


def _chance(codes: Codes, maps: float) -> float:
    """Part of the orders of these values that one of exp(maps) maps explains, at most."""
    counts = np.bincount(codes)
    return float(np.exp(min(0.0, maps + gammaln(counts + 1).sum() - gammaln(len(codes) + 1))))


def _monotone(fewer: Codes, more: Codes) -> Shared | None:
    if not _is_function(fewer, more) or not _in_order(fewer, more):
        return None
    chance = _chance(fewer, math.log(2))
    return Shared(fewer, chance) if chance < BY_CHANCE or fewer.max() == more.max() else None


def _function(fewer: Codes, more: Codes) -> Shared | None:
    values, singles, samples = more.max() + 1, (np.bincount(more) == 1).sum(), len(more)
    vacuous = singles * math.log(samples) / samples > OF_SINGLE_VALUES
    if vacuous or not _is_function(fewer, more):
        return None
    chance = _chance(fewer, values * math.log(fewer.max() + 1))
    return Shared(fewer, chance) if chance < BY_CHANCE else None


def _linear(x: Side, y: Side) -> Shared | None:
    """Directions of x that are directions of y, of the values or of their normal scores."""
    if len(x) < 2 * (x.shape[1] + y.shape[1]):
        return None
    for scale in (_centred, standard_scores):
        base_x, base_y = orthonormal(scale(x)), orthonormal(scale(y))
        left, cosines, _ = np.linalg.svd(base_x.T @ base_y)
        same = left[:, : len(cosines)][:, 1 - cosines**2 < SAME]
        if same.shape[1]:
            codes = _codes(np.round(base_x @ same * math.sqrt(len(x)), 6))
            columns = x.shape[1] + y.shape[1]
            return Shared(codes, _chance(codes, columns * math.log(len(x))))  # Cover's count of dichotomies
    return None


def _centred(side: Side) -> Side:
    centred = side - side.mean(axis=0)
    deviation = centred.std(axis=0)
    return centred / np.where(deviation > 0, deviation, 1.0)
