"""Deletion and insertion: how fast does a score change as the features ranked first are removed or added?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid

from nif.comparison.problem import ComparisonProblem

MOST_STEPS = 64


class Area(NamedTuple):
    """Area under accuracy, or R² where it is above 0, over the fraction of features replaced: 0 to 1.

    `spread` is its standard deviation over the repeats, each with other rows and other ties.
    """

    mean: float
    spread: float


class Faithfulness(NamedTuple):
    """The areas of one attribution: a good one has a small area of deletion and a large one of insertion."""

    deletion: Area
    insertion: Area


def faithfulness(
    problem: ComparisonProblem, attribution: Float[np.ndarray, " feature"], *, repeats: int
) -> Faithfulness:
    """Replace features, the most important first or last, and take the area under the score of the model.

    Deletion replaces the features ranked first; insertion begins with all features replaced and restores
    those ranked first. Every repeat draws rows with replacement and breaks ties at random, so an attribution
    that is the same for all features is a random ranking. More than 64 features are replaced in 64 groups of
    about equal size. A replaced feature is off the data where features depend on one another, so the tests
    show what the model uses, not what is true of the world.

    References:
        Samek et al. (2015), https://arxiv.org/abs/1509.06321; Petsiuk et al. (2018),
        https://arxiv.org/abs/1806.07421
    """
    rng = np.random.default_rng(problem.seed)
    known: dict[bytes, tuple[np.ndarray, ...]] = {}
    areas = []
    for _ in range(repeats):
        order = ranking(attribution, rng)
        key = order.tobytes()
        if key not in known:
            known[key] = tuple(_curve(problem, order, restore=restore) for restore in (False, True))
        rows = rng.integers(len(problem.y), size=len(problem.y))
        areas.append([_area(curve[:, rows], len(order)) for curve in known[key]])
    spread = np.std(areas, axis=0, ddof=1 if repeats > 1 else 0)
    deletion, insertion = (
        Area(float(mean), float(deviation))
        for mean, deviation in zip(np.mean(areas, axis=0), spread, strict=True)
    )
    return Faithfulness(deletion, insertion)


def ranking(attribution: Float[np.ndarray, " feature"], rng: np.random.Generator) -> np.ndarray:
    """Features from the most to the least important, ties in random order."""
    return np.lexsort((rng.random(len(attribution)), -attribution))


def _curve(problem: ComparisonProblem, order: np.ndarray, *, restore: bool) -> Float[np.ndarray, "step row"]:
    """The score of each row after each group of features is replaced, or restored."""
    x = (problem.replacement if restore else problem.x).copy()
    values = problem.x if restore else problem.replacement
    curve = [problem.score(x)]
    for group in _groups(len(order)):
        x[:, order[group]] = values[:, order[group]]
        curve.append(problem.score(x))
    return np.stack(curve)


def _groups(features: int) -> list[np.ndarray]:
    return np.array_split(np.arange(features), min(features, MOST_STEPS))


def _area(curve: Float[np.ndarray, "step row"], features: int) -> float:
    """Area under the mean score of the rows; an R² below 0 counts as 0."""
    replaced = np.cumsum([0, *map(len, _groups(features))]) / features
    return float(trapezoid(np.maximum(curve.mean(axis=1), 0.0), x=replaced))
