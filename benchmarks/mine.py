"""Accuracy and speed of `Mine`, on one machine in one run.

``python benchmarks/mine.py [--seeds 5] [--repeats 400]`` prints compilation, the kernel beside a matrix
product of the same machine, the sizes of the demos, error and time over known truths, and independent pairs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from environment import environment
from nif.estimators.estimate import Estimate
from nif.estimators.neural.compiled.bank import rates_of
from nif.estimators.neural.compiled.fit import adam, ascend, workspace
from nif.estimators.neural.compiled.grid import empty_batch
from nif.estimators.neural.methods import Mine
from nif.estimators.truths import BEYOND_NORMAL, INDEPENDENT, Truth, normal_with, relu_pair

RELU = [relu_pair(rho, zeros) for zeros in (0.5, 0.9, 0.99) for rho in (0.0, 0.5, 0.75, 0.9)]


def best_of(work: Callable[[], object], repeats: int = 7) -> float:
    """Seconds of the fastest of several runs, the least disturbed one."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def drawn(truths: list[Truth], samples: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs side by side, seeds of a truth one after another."""
    pairs = [truth.sample(samples, seed) for truth in truths for seed in range(seeds)]
    x, y = (np.stack([pair[side] for pair in pairs])[:, :, None] for side in (0, 1))
    return x, y


def measured(truths: list[Truth], samples: int, seeds: int) -> tuple[Estimate, float]:
    """Estimates of all truths at once, and the seconds a pair took."""
    x, y = drawn(truths, samples, seeds)
    start = time.perf_counter()
    estimate = Mine().estimate(x, y)
    return estimate, (time.perf_counter() - start) / len(x)


def compilation() -> pd.DataFrame:
    """Seconds of the first call in this process, from disk where an earlier process left the code."""
    x, y = drawn([BEYOND_NORMAL[0]], 200, 1)
    start = time.perf_counter()
    Mine(steps=20).estimate(x, y)
    return pd.DataFrame({"first call, s": [time.perf_counter() - start]})


def kernel_rate(hidden: int) -> float:
    """Floating-point operations a second of one thread: the hidden layer's products, forward and backward."""
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.1, len(rates_of(hidden, 1.0))).astype(np.float32)
    batch = empty_batch(256, 256)
    batch.x[:], batch.y[:] = generator.standard_normal((2, 512))
    batch.weight[:] = 1 / 256
    space, gradient = workspace(hidden, 512), adam(weights).gradient

    def steps() -> None:
        for _ in range(200):
            ascend(weights, hidden, batch, 256, 256, 0.0, 0.5, space, gradient)

    return 200 * 512 * 6 * hidden**2 / best_of(steps)


def kernel() -> pd.DataFrame:
    """The rate of a step beside that of torch's product of large matrices, one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    square = torch.randn(1024, 1024)
    product = 2 * 1024**3 / best_of(lambda: square @ square)
    torch.set_num_threads(threads)
    rates = pd.DataFrame({"hidden": [32, 64], "GFLOP/s": [kernel_rate(hidden) / 1e9 for hidden in (32, 64)]})
    return rates.assign(product=product / 1e9, fraction=rates["GFLOP/s"] * 1e9 / product)


def accuracy(samples: int, seeds: int) -> tuple[pd.DataFrame, float, float]:
    """Errors by task, the mean absolute error of the nine, and pairs a second over them."""
    truths = [*BEYOND_NORMAL, *RELU, normal_with(3.0), normal_with(4.0)]
    rows, nine, seconds = [], [], []
    for truth in truths:
        estimate, pair_seconds = measured([truth], samples, seeds)
        error = estimate.nats - truth.nats
        low, high = estimate.interval()
        covers = ((low <= truth.nats) & (truth.nats <= high)).mean()
        rows.append({
            "data": truth.name, "truth": truth.nats, "bias": error.mean(), "|error|": np.abs(error).mean(),
            "95 % covers": covers, "ms a pair": 1e3 * pair_seconds,
        })  # fmt: skip
        if truth in BEYOND_NORMAL:
            nine.append(np.abs(error).mean())
            seconds.append(pair_seconds)
    return pd.DataFrame(rows), float(np.mean(nine)), 1 / float(np.mean(seconds))


def independence(repeats: int) -> pd.DataFrame:
    """Mean estimate and rejections at .05 for independent data."""
    kinds = [*INDEPENDENT[:3], relu_pair(0.0, 0.9)]
    rows = []
    for samples, count in ((500, repeats), (2_000, repeats), (10_000, repeats // 2)):
        for truth in kinds:
            estimate, _ = measured([truth], samples, count)
            rejected = (estimate.p_value < 0.05).mean()
            rows.append({
                "data": truth.name, "N": samples, "pairs": count, "mean": estimate.nats.mean(),
                "rejected at .05": rejected,
            })  # fmt: skip
    return pd.DataFrame(rows)


def sizes() -> pd.DataFrame:
    """The numbers of pairs and samples of the demos."""
    rows = []
    for name, samples, pairs in (("iris", 150, 120), ("banknote", 1372, 400)):
        _, pair_seconds = measured([relu_pair(0.75)], samples, pairs)
        rows.append({"size of": name, "N": samples, "pairs": pairs, "s": pair_seconds * pairs})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=400)
    options = parser.parse_args()
    print(environment())
    for study in (compilation, kernel, sizes):
        print(study().round(3).to_string(index=False), flush=True)
    for samples, seeds in ((options.samples, options.seeds), (1_000, 4 * options.seeds)):
        table, error, speed = accuracy(samples, seeds)
        print(f"N = {samples}, {seeds} seeds")
        print(table.round(4).to_string(index=False))
        print(
            f"mean absolute error over the nine tasks {error:.4f}; {speed:.1f} pairs a second over them",
            flush=True,
        )
    print(independence(options.repeats).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
