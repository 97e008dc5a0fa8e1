"""`Binned` against known truths: errors and intervals, independence, speed.

``python benchmarks/binned.py [--seeds 10] [--repeats 200] [--nulls 2000]`` prints, at several numbers of
samples, bias, deviation, mean absolute error and coverage of the 95 % interval for dependent data; rejections
at .05 and mean for independent data; and pairs a second beside a matrix product in the same run.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

import nif
from environment import environment
from nif.estimators.estimate import Estimate
from nif.estimators.truths import (
    BEYOND_NORMAL,
    DISCRETE_AND_MIXED,
    INDEPENDENT,
    RELU_PAIRS,
    WITH_EDGES,
    Truth,
    correlated_normal,
    normal_with,
    relu_pair,
)

DEPENDENT = (
    *BEYOND_NORMAL,
    *(correlated_normal(rho) for rho in (0.05, 0.1, 0.2)),
    *RELU_PAIRS[1:],
    relu_pair(0.75, 0.9),
    relu_pair(0.75, 0.99),
    *DISCRETE_AND_MIXED,
    *WITH_EDGES,
    *(normal_with(nats) for nats in (2.0, 3.0, 4.0)),
)
AT_ONCE = 100
"""Data sets drawn at a time."""


def estimated(truth: Truth, samples: int, seeds: range) -> Estimate:
    """The same truth in many data sets."""
    parts = []
    for start in range(0, len(seeds), AT_ONCE):
        drawn = [truth.sample(samples, seed) for seed in seeds[start : start + AT_ONCE]]
        x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
        parts.append(nif.Binned().estimate(x, y))
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("nats", "stderr", "p_value", "outcome")
    }
    return Estimate(**columns, samples=samples, estimator="Binned()")


def errors(samples: int, seeds: range) -> pd.DataFrame:
    """Bias, deviation, error and coverage for each truth."""
    rows = []
    for truth in DEPENDENT:
        estimate = estimated(truth, samples, seeds)
        low, high = estimate.interval()
        error = estimate.nats - truth.nats
        rows.append({
            "data": truth.name, "N": samples, "truth": truth.nats,
            "bias": error.mean(), "deviation": error.std(), "error": np.abs(error).mean(),
            "stderr": estimate.stderr.mean(),
            "covers": ((low <= truth.nats) & (truth.nats <= high)).mean(),
            "p < .05": (estimate.p_value < 0.05).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def nulls(samples: int, repeats: int) -> pd.DataFrame:
    """Rejections and mean for independent sides."""
    rows = []
    for truth in (*INDEPENDENT, relu_pair(0.0, 0.9), relu_pair(0.0, 0.99)):
        estimate = estimated(truth, samples, range(repeats))
        low = estimate.interval()[0]
        rows.append({
            "data": truth.name, "N": samples, "rejected at .05": (estimate.p_value < 0.05).mean(),
            "at .001": (estimate.p_value < 0.001).mean(),
            "mean nats": estimate.nats.mean(), "deviation": estimate.nats.std(),
            "interval has 0": (low == 0).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def speed(samples: int, width: int) -> dict[str, float]:
    """Pairs a second, on the wall and by the processor, and a matrix product in the same run."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(samples, 8)) @ generator.normal(size=(8, 2 * width))
    values += generator.normal(size=values.shape)
    values[:, ::2] = np.maximum(values[:, ::2], 0)
    x, y = values[:, :width], values[:, width:]
    nif.pairwise(x[:200, :2], y[:200, :2], estimator=nif.Binned(), progress=False)
    square = generator.normal(size=(2_000, 2_000))
    start = time.perf_counter()
    square @ square
    product = time.perf_counter() - start
    start, busy = time.perf_counter(), time.process_time()
    nif.pairwise(x, y, estimator=nif.Binned(), progress=False)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "N": samples, "pairs": width**2, "pairs a second": width**2 / seconds,
        "pairs a second of one processor": width**2 / busy, "GFLOP/s of a product": 16 / product,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=10, help="of the mean absolute error over the nine tasks"
    )
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--nulls", type=int, default=2_000)
    options = parser.parse_args()
    print(environment())
    nine = [task.name for task in BEYOND_NORMAL]
    for samples in (1_000, 2_000, 10_000):
        rows = errors(samples, range(options.repeats))
        print(rows.round(4).to_string(index=False))
        tasks = rows.set_index("data").loc[nine]
        print(f"nine tasks, {options.repeats} seeds: error {tasks['error'].mean():.4f}, ", end="")
        print(f"worst {tasks['error'].max():.4f}, coverage {tasks['covers'].mean():.4f}; ", end="")
        print(f"all {len(rows)}: coverage {rows['covers'].mean():.4f}")
    means = [
        np.abs(estimated(task, 10_000, range(options.seeds)).nats - task.nats).mean()
        for task in BEYOND_NORMAL
    ]
    print(
        f"nine tasks, N = 10,000, {options.seeds} seeds: error {np.mean(means):.4f}, worst {max(means):.4f}"
    )
    print(pd.concat([nulls(n, options.nulls) for n in (500, 2_000, 10_000)]).round(4).to_string(index=False))
    timed = [speed(10_000, 100), speed(10_000, 200), speed(2_000, 200), speed(2_000, 400)]
    print(pd.DataFrame(timed).round(0).to_string(index=False))


if __name__ == "__main__":
    main()
