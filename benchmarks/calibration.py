"""Are p-values and intervals what they say? Over many independent and dependent data sets.

``python benchmarks/calibration.py [--repeats 400]`` prints the share of independent pairs rejected at .05,
mean estimate there, and how often the 95 % interval covers the truth.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

import nif
from environment import environment
from nif.contracts import Estimate, Estimator
from nif.truths import BEYOND_NORMAL, INDEPENDENT, RELU_PAIRS, Truth, normal_with, relu_pair

ESTIMATORS: dict[str, Estimator] = {"Mine": nif.Mine(), "Binned": nif.Binned()}
DEPENDENT = (*BEYOND_NORMAL, *RELU_PAIRS[1:], relu_pair(0.75, 0.9), relu_pair(0.75, 0.99), normal_with(3.0))


def estimated(estimator: Estimator, truth: Truth, samples: int, repeats: int) -> Estimate:
    """The same truth in many data sets, each with a seed of its own."""
    drawn = [truth.sample(samples, seed) for seed in range(repeats)]
    x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
    return estimator.estimate(x, y)


def independence(name: str, samples: int, repeats: int) -> list[dict[str, object]]:
    """Rejections and mean on data that know nothing of one another."""
    rows: list[dict[str, object]] = []
    for truth in INDEPENDENT:
        found = estimated(ESTIMATORS[name], truth, samples, repeats)
        rows.append({
            "estimator": name, "data": truth.name, "N": samples, "repeats": repeats,
            "rejected at .05": float((found.p_value < 0.05).mean()), "mean nats": float(found.nats.mean()),
        })  # fmt: skip
    return rows


def coverage(name: str, samples: int, repeats: int) -> list[dict[str, object]]:
    """Bias and coverage of the interval where there is something to find."""
    rows: list[dict[str, object]] = []
    for truth in DEPENDENT:
        found = estimated(ESTIMATORS[name], truth, samples, repeats)
        low, high = found.interval()
        rows.append({
            "estimator": name, "data": truth.name, "N": samples, "repeats": repeats, "truth": truth.nats,
            "bias": float((found.nats - truth.nats).mean()), "deviation": float(found.nats.std()),
            "stderr": float(found.stderr.mean()),
            "95 % interval covers": float(((low <= truth.nats) & (truth.nats <= high)).mean()),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    options = parser.parse_args()
    print(environment())
    null, found = [], []
    for name in ESTIMATORS:
        few = max(20, options.repeats // 10)
        null += independence(name, 500, options.repeats) + independence(name, 10_000, few)
        found += coverage(name, 1_000, few) + coverage(name, 10_000, max(10, few // 4))
    print(pd.DataFrame(null).round(4).to_string(index=False))
    print(pd.DataFrame(found).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
