"""Which estimator to take, over the number of rows, the strength of the dependence and the dimension.

``python benchmarks/choosing.py [--repeats 20] [--only numbers vectors]`` prints, for each estimator and
number of rows, the root mean square error in nats, the coverage of the 95 % interval and the processor's
milliseconds for a pair. `docs/estimators.md` and the automatic choice follow these tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

import nif
from environment import environment
from nif.estimators.estimate import Estimator
from nif.estimators.shapes import ring
from nif.estimators.truths import (
    Truth,
    correlated_normal,
    normal_with,
    relu_pair,
    student,
    uniform_with_noise,
)
from nif.estimators.vector_truths import equal_correlations, normal_vectors, student_vectors

NUMBERS: dict[str, tuple[Truth, ...]] = {
    "independent": (correlated_normal(0.0), relu_pair(0.0)),
    "weak": (normal_with(0.02), relu_pair(0.5)),
    "medium": (normal_with(0.4), student(1), relu_pair(0.9), uniform_with_noise(0.5), ring(0.5)),
    "strong": (normal_with(2.0), uniform_with_noise(0.1), ring(0.8)),
}
"""Pairs of numbers, by the strength of their dependence."""

VECTORS: dict[str, tuple[Truth, ...]] = {
    "3 x 3": (
        normal_vectors(equal_correlations(6), 3, "normal"),
        student_vectors(2, np.eye(6), 3, "Student"),
    ),
    "10 x 10": (normal_vectors(equal_correlations(20), 10, "normal"),),
}
"""Vectors, by their dimensions."""


def line(estimator: Estimator, truths: Sequence[Truth], samples: int, repeats: int) -> dict[str, object]:
    """Error, coverage and time of one estimator over some truths."""
    errors, covered, pairs, used = [], [], 0, 0.0
    for truth in truths:
        drawn = [truth.sample(samples, seed) for seed in range(repeats)]
        x, y = (np.stack([pair[side].reshape(samples, -1) for pair in drawn]) for side in (0, 1))
        start = time.process_time()
        estimate = estimator.estimate(x, y)
        used, pairs = used + time.process_time() - start, pairs + repeats
        low, high = estimate.interval()
        errors.append(estimate.nats - truth.nats)
        covered.append((low <= truth.nats) & (truth.nats <= high))
    return {
        "estimator": type(estimator).__name__,
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        "covered": float(np.mean(covered)),
        "ms a pair": 1e3 * used / pairs,
    }


def study(kinds: dict[str, tuple[Truth, ...]], sizes: Sequence[int], repeats: int, *, numbers: bool) -> None:
    """Print a table for each kind."""
    estimators: list[Estimator] = [nif.Mine(), nif.Ksg(), nif.GaussianCopula()]
    if numbers:
        estimators.append(nif.Binned())
    for estimator in estimators:  # what is compiled or drawn at first use
        for samples in sizes:
            line(estimator, kinds[next(iter(kinds))][:1], samples, 1)
    for kind, truths in kinds.items():
        rows = [
            {"kind": kind, "N": samples, **line(estimator, truths, samples, repeats)}
            for samples in sizes
            for estimator in estimators
        ]
        print(pd.DataFrame(rows).round(4).to_string(index=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=["numbers", "vectors"])
    options = parser.parse_args()
    print(environment())
    if "numbers" in options.only:
        study(NUMBERS, (100, 300, 1_000, 3_000, 10_000), options.repeats, numbers=True)
    if "vectors" in options.only:
        study(VECTORS, (300, 1_000), max(2, options.repeats // 10), numbers=False)


if __name__ == "__main__":
    main()
