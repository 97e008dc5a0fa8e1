"""How long a comparison takes, from the rows that each of its parts runs through the network."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

import torch

from nif.comparison.faithfulness import MOST_STEPS
from nif.comparison.libraries import (
    DRAWS,
    PERMUTATIONS,
    REPLACEMENT_ROWS,
    ROWS_EXPLAINED,
    ROWS_INTEGRATED,
    STEPS,
)
from nif.comparison.methods import RANDOM, SAGE
from nif.comparison.problem import ComparisonProblem

BACK = 3
"""Runs forward in the time of one forward and back."""

ROWS_TIMED = 256


@torch.no_grad()
def expected_seconds(problem: ComparisonProblem, methods: Collection[str], repeats: int) -> float:
    """Seconds of the attributions by other libraries, and of deletion and insertion.

    Equal ranks are parted anew in each repeat, so the random ranking has a curve for each.

    Args:
        problem: The network and its data.
        methods: The rows of the comparison.
        repeats: Of deletion and insertion.
    """
    some = problem.tensor(problem.x[:ROWS_TIMED])
    outputs = problem.outputs(some).shape[1]  # a first run, which is slow
    begin = time.perf_counter()
    problem.outputs(some)
    seconds = (time.perf_counter() - begin) / len(some)
    rows, features = problem.x.shape
    return rows_run(rows, features, outputs, methods, repeats) * seconds


def rows_run(rows: int, features: int, outputs: int, methods: Collection[str], repeats: int) -> int:
    """Rows that run forward; those that run back count as more.

    Example:
        >>> rows_run(1000, 10, 3, ["raw MI"], 100)  # a curve each way, of eleven points
        22000
        >>> rows_run(1000, 10, 3, ["raw MI", "random ranking"], 100)
        2222000
    """
    of_method = {
        "SHAP": BACK * min(rows, ROWS_EXPLAINED) * DRAWS * outputs,
        "integrated gradients": BACK * min(rows, ROWS_INTEGRATED) * STEPS * outputs,
        SAGE: PERMUTATIONS * (features + 1) * REPLACEMENT_ROWS,
    }
    orders = min(repeats, math.factorial(min(features, MOST_STEPS)))
    curves = sum(orders if method == RANDOM else 1 for method in methods)
    points = 2 * (min(features, MOST_STEPS) + 1)
    return curves * points * rows + sum(of_method.get(method, 0) for method in methods)
