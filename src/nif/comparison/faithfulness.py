"""The deletion test: how fast does accuracy fall when the features named first are taken away?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid

from nif.comparison.problem import ComparisonProblem

MOST_STEPS = 64


class Deletion(NamedTuple):
    """Area under accuracy over the fraction of features deleted: 0 to 1, lower is a better ranking.

    `spread` is the standard deviation over the repeats, each with other rows and other ties.
    """

    area: float
    spread: float


def deletion(
    problem: ComparisonProblem, attribution: Float[np.ndarray, " feature"], *, repeats: int
) -> Deletion:
    """Replace features by their mean, the most important first, and take the area under accuracy.

    Every repeat draws rows with replacement and breaks ties at random, so an attribution that is the same
    for all features is a random ranking. More than 64 features are deleted in 64 groups of about equal
    size. A feature at its mean is off the data where features depend on one another, so the test shows what
    the model uses, not what is true of the world.

    References:
        Samek et al. (2015), https://arxiv.org/abs/1509.06321
    """
    rng = np.random.default_rng(problem.seed)
    by_row: dict[bytes, np.ndarray] = {}
    areas = []
    for _ in range(repeats):
        order = ranking(attribution, rng)
        key = order.tobytes()
        if key not in by_row:
            by_row[key] = _area_by_row(problem, order)
        rows = rng.integers(len(problem.y), size=len(problem.y))
        areas.append(by_row[key][rows].mean())
    return Deletion(float(np.mean(areas)), float(np.std(areas, ddof=1 if repeats > 1 else 0)))


def ranking(attribution: Float[np.ndarray, " feature"], rng: np.random.Generator) -> np.ndarray:
    """Features from the most to the least important, ties in random order."""
    return np.lexsort((rng.random(len(attribution)), -attribution))


def _area_by_row(problem: ComparisonProblem, order: np.ndarray) -> Float[np.ndarray, " sample"]:
    """For each row, the area under "classified correctly" (0 or 1) over the fraction of features deleted."""
    x, mean = problem.x.copy(), problem.x.mean(axis=0)
    curve, deleted = [problem.correct(x)], [0]
    for group in np.array_split(order, min(len(order), MOST_STEPS)):
        x[:, group] = mean[group]
        curve.append(problem.correct(x))
        deleted.append(deleted[-1] + len(group))
    return trapezoid(np.stack(curve), x=np.array(deleted) / len(order), axis=0)
