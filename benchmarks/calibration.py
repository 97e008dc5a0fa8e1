"""Calibration of p-values and intervals over many independent and dependent data sets.

``python benchmarks/calibration.py [--repeats 2000]`` prints the fraction of independent pairs rejected at
.05, their mean estimate, and the coverage of the 95 % interval; then the same of the Gaussian copula of
vectors, independent and with a few correlated columns. ``--only further`` prints the coverage of `Binned` on
densities with edges that nothing was chosen on, with seeds of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd

import nif
from environment import environment
from nif.estimators.estimate import Estimate, Estimator
from nif.estimators.truths import (
    BEYOND_NORMAL,
    INDEPENDENT,
    RELU_PAIRS,
    WITH_EDGES,
    Truth,
    chess_board,
    normal_with,
    relu_pair,
    uniform_in_cells,
    uniform_steps,
    uniform_with_noise,
)

ESTIMATORS: dict[str, Estimator] = {"Mine": nif.Mine(), "Binned": nif.Binned()}
DEPENDENT = (
    *BEYOND_NORMAL,
    *RELU_PAIRS[1:],
    relu_pair(0.75, 0.9),
    relu_pair(0.75, 0.99),
    normal_with(3.0),
    *WITH_EDGES,
)


def further() -> tuple[Truth, ...]:
    """Densities with edges at other places, and of other heights, than those of `WITH_EDGES`."""
    generator = np.random.default_rng(12345)
    tables = [
        generator.dirichlet(np.full(size**2, 0.3)).reshape(size, size) for size in (3, 3, 4, 4, 5, 5, 6, 6)
    ]
    return (
        *(chess_board(fields, low) for fields in (3, 4, 5, 6, 7) for low in (0.1, 0.5)),
        *(
            uniform_in_cells(table, f"table {number}, {len(table)} x {len(table)}")
            for number, table in enumerate(tables)
        ),
        *(uniform_in_cells(np.eye(blocks), f"{blocks} blocks") for blocks in (4, 8, 10)),
        *(uniform_in_cells(np.tril(np.ones((steps, steps))), f"stairs of {steps}") for steps in (4, 9)),
        *(uniform_with_noise(noise) for noise in (0.05, 0.2, 0.5)),
        uniform_steps(4),
    )


FIRST_SEED = 900_000
"""Of the densities of `further`."""

VECTORS = (
    (60, (5, 5)),
    (60, (1, 20)),
    (60, (20, 20)),
    (60, (40, 19)),
    (200, (50, 50)),
    (1_000, (50, 50)),
)
"""Samples, and columns of both sides."""

CORRELATED, CORRELATION = 5, 0.5
"""Columns of each side that are correlated, one with one, and how much."""


def estimated(estimator: Estimator, truth: Truth, samples: int, repeats: int, first: int = 0) -> Estimate:
    """The same truth in many data sets, each with its own seed."""
    drawn = [truth.sample(samples, first + seed) for seed in range(repeats)]
    x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
    return estimator.estimate(x, y)


def independence(name: str, samples: int, repeats: int) -> list[dict[str, object]]:
    """Rejections and mean on independent data."""
    rows: list[dict[str, object]] = []
    for truth in INDEPENDENT:
        estimate = estimated(ESTIMATORS[name], truth, samples, repeats)
        rows.append({
            "estimator": name, "data": truth.name, "N": samples, "repeats": repeats,
            "rejected at .05": float((estimate.p_value < 0.05).mean()),
            "mean nats": float(estimate.nats.mean()),
        })  # fmt: skip
    return rows


def coverage(
    name: str, samples: int, repeats: int, truths: Sequence[Truth] = DEPENDENT, first: int = 0
) -> list[dict[str, object]]:
    """Bias and coverage of the interval on dependent data."""
    rows: list[dict[str, object]] = []
    for truth in truths:
        estimate = estimated(ESTIMATORS[name], truth, samples, repeats, first)
        low, high = estimate.interval()
        rows.append({
            "estimator": name, "data": truth.name, "N": samples, "repeats": repeats, "truth": truth.nats,
            "bias": float((estimate.nats - truth.nats).mean()), "deviation": float(estimate.nats.std()),
            "stderr": float(estimate.stderr.mean()),
            "95 % interval covers": float(((low <= truth.nats) & (truth.nats <= high)).mean()),
        })  # fmt: skip
    return rows


def vectors(samples: int, columns: tuple[int, int], correlated: int, repeats: int) -> dict[str, object]:
    """Of the Gaussian copula of normal vectors, some columns of which are correlated."""
    generator = np.random.default_rng(samples + sum(columns) + correlated)
    x, y = (generator.normal(size=(repeats, samples, dim)) for dim in columns)
    y[..., :correlated] *= np.sqrt(1 - CORRELATION**2)
    y[..., :correlated] += CORRELATION * x[..., :correlated]
    truth = -correlated / 2 * np.log1p(-(CORRELATION**2))
    estimate = nif.GaussianCopula().estimate(x, y)
    low, high = estimate.interval()
    return {
        "columns": f"{columns[0]} + {columns[1]}", "N": samples, "repeats": repeats, "truth": abs(truth),
        "rejected at .05": float((estimate.p_value < 0.05).mean()),
        "bias": float((estimate.nats - truth).mean()), "deviation": float(estimate.nats.std()),
        "stderr": float(estimate.stderr.mean()),
        "95 % interval covers": float(((low <= truth) & (truth <= high)).mean()),
    }  # fmt: skip


def covered_together(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean coverage over the nine tasks, over densities with edges, and over all."""
    groups = {"nine tasks": BEYOND_NORMAL, "with edges": WITH_EDGES, "all": DEPENDENT}
    means = {
        name: rows[rows["data"].isin([truth.name for truth in group])]
        .groupby(["estimator", "N"], sort=False)["95 % interval covers"]
        .mean()
        for name, group in groups.items()
    }
    return pd.DataFrame(means).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2_000)
    parser.add_argument(
        "--only", nargs="*", default=[*ESTIMATORS, "vectors"], help="Mine, Binned, vectors, further"
    )
    repeats, only = (getattr(parser.parse_args(), name) for name in ("repeats", "only"))
    print(environment())
    null, dependent = [], []
    for name in [name for name in only if name in ESTIMATORS]:
        for samples, count in ((500, repeats), (2_000, repeats), (10_000, repeats // 2)):
            null += independence(name, samples, count)
        for samples, count in ((1_000, repeats // 4), (2_000, repeats // 4), (10_000, repeats // 8)):
            dependent += coverage(name, samples, max(10, count))
    if dependent:
        print(pd.DataFrame(null).round(4).to_string(index=False))
        table = pd.DataFrame(dependent)
        print(table.round(4).to_string(index=False))
        print(covered_together(table).round(4).to_string(index=False))
    if "further" in only:
        sizes = (1_000, 2_000, 5_000)
        table = pd.DataFrame(
            [row for size in sizes for row in coverage("Binned", size, repeats // 4, further(), FIRST_SEED)]
        )
        print(table.round(4).to_string(index=False))
        print(table.groupby("N")["95 % interval covers"].agg(["mean", "min"]).round(4).to_string())
    if "vectors" in only:
        of_vectors = [
            vectors(samples, columns, min(CORRELATED * some, *columns), max(10, repeats // 2))
            for samples, columns in VECTORS
            for some in (0, 1)
        ]
        print(pd.DataFrame(of_vectors).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
