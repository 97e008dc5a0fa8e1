"""Error, coverage and time of `Mine` on vectors of known mutual information.

``python benchmarks/vectors.py [--seeds 1] [--save build/vectors.jsonl]`` prints two tables: the 40 tasks of
the benchmark 'Beyond Normal' at 10,000 rows, and other hard tasks at 5,000. Each estimate is kept in the file
as soon as it is there; a second run continues from it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from environment import environment
from nif.estimators.neural.methods import Mine
from nif.estimators.truths import BEYOND_NORMAL, Truth, correlated_normal, half_cube, mapped
from nif.estimators.vector_truths import (
    BEYOND_NORMAL_VECTORS,
    crossed_normals,
    equal_correlations,
    label_and_normal,
    normal_vectors,
    spiral,
    stacked,
    student_vectors,
    swiss_roll,
    two_pairs,
)


def hard_tasks() -> list[Truth]:
    """Tasks of other dimensions, strengths and kinds than those of the benchmark."""
    heavy = student_vectors(1, np.eye(8), 4, "Student 4 x 4, 1 freedom")
    uneven = student_vectors(2, equal_correlations(7, 0.3), 5, "Student 5 x 2, 2 freedom, correlated")
    pairs = [
        normal_vectors(two_pairs(dim, 0.7), dim, f"normal {dim} x {dim}, 2-pair") for dim in (3, 4, 10, 20)
    ]
    ten = normal_vectors(equal_correlations(20), 10, "normal 10 x 10, dense")
    uniform = mapped(correlated_normal(0.9), "uniform", norm.cdf, norm.cdf)
    crossed = crossed_normals(0.9)
    beside = [crossed, correlated_normal(0.0), correlated_normal(0.6)]
    return [
        heavy,
        uneven,
        mapped(heavy, "asinh of Student 4 x 4, 1 freedom", np.arcsinh, np.arcsinh),
        mapped(uneven, "asinh of Student 5 x 2, 2 freedom", np.arcsinh, np.arcsinh),
        *(mapped(pairs[k], f"spiral of {pairs[k].name}", spiral(0), spiral(1)) for k in (0, 1, 2)),
        mapped(uniform, "swiss roll, correlation .9", swiss_roll, np.asarray),
        mapped(ten, "half-cube of normal 10 x 10, dense", half_cube, half_cube),
        normal_vectors(equal_correlations(50), 25, "normal 25 x 25, dense"),
        pairs[3],
        stacked([crossed, crossed], "two crossed normals, rotated", seed=0),
        stacked(beside, "crossed and normal, rotated", seed=0),
        stacked([label_and_normal(3, 2.0), correlated_normal(0.6)], "3 labels beside a normal pair"),
        stacked([label_and_normal(4, 1.0), label_and_normal(3, 2.0)], "4 and 3 labels"),
    ]  # fmt: skip


def rows(tasks: list[Truth], samples: int, seeds: int, save: Path) -> pd.DataFrame:
    """One row for each task and seed, from the file where it is there."""
    save.parent.mkdir(parents=True, exist_ok=True)
    stored = [json.loads(line) for line in save.read_text().splitlines()] if save.exists() else []
    known = {(row["N"], row["data"], row["seed"]): row for row in stored}
    for seed in range(seeds):
        for task in tasks:
            place = samples, task.name, seed
            if place not in known:
                known[place] = row(task, samples, seed)
                with save.open("a") as file:
                    file.write(json.dumps(known[place]) + "\n")
    return pd.DataFrame([known[samples, task.name, seed] for task in tasks for seed in range(seeds)])


def row(task: Truth, samples: int, seed: int) -> dict[str, float | str | bool]:
    """The estimate of one task."""
    x, y = (side.reshape(1, samples, -1) for side in task.sample(samples, seed))
    start = time.perf_counter(), time.process_time()
    estimate = Mine().estimate(x, y, seed=seed)
    wall, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    low, high = estimate.interval()
    return {
        "N": samples, "data": task.name, "seed": seed, "truth": task.nats, "nats": float(estimate.nats[0]),
        "stderr": float(estimate.stderr[0]), "covers": bool(low[0] <= task.nats <= high[0]),
        "wall": wall, "processor": processor,
    }  # fmt: skip


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of each task."""
    error = found["nats"] - found["truth"]
    named = found.assign(error=error, absolute=error.abs())
    names = {
        "truth": "truth", "error": "bias", "absolute": "|error|", "stderr": "stderr", "covers": "95 % covers",
        "processor": "processor s", "wall": "wall s",
    }  # fmt: skip
    means = named.groupby("data", sort=False)[list(names)].mean()
    return means.rename(columns=names).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--save", type=Path, default=Path("build/vectors.jsonl"))
    options = parser.parse_args()
    print(environment())
    studies = (
        ("the 40 tasks of Beyond Normal", [*BEYOND_NORMAL, *BEYOND_NORMAL_VECTORS], 10_000),
        ("hard tasks", hard_tasks(), 5_000),
    )
    for name, tasks, samples in studies:
        found = rows(tasks, samples, options.seeds, options.save)
        print(f"{name}, N = {samples}, {options.seeds} seeds")
        means = table(found)
        print(means.round(4).to_string(index=False))
        print(
            f"mean absolute error {means['|error|'].mean():.4f}; coverage {means['95 % covers'].mean():.3f}; "
            f"processor time of a task at most {found['processor'].max():.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
