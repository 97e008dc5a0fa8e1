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
from nif.estimators.neural.compiled.fit import adam, ascend, move, workspace
from nif.estimators.neural.compiled.grid import empty_batch
from nif.estimators.neural.compiled.tile import add_outer, layer
from nif.estimators.neural.methods import Mine
from nif.estimators.truths import BEYOND_NORMAL, INDEPENDENT, Truth, normal_with, relu_pair

RELU = [relu_pair(rho, zeros) for zeros in (0.5, 0.9, 0.99) for rho in (0.0, 0.5, 0.75, 0.9)]
STEPS = 200
"""Training steps that are timed together."""


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


def seconds_of(work: Callable[[], object]) -> float:
    """Of the processor, in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def steps_of(hidden: int) -> Callable[[], object]:
    """The passes of training steps, forward and backward, on 512 samples each."""
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.1, len(rates_of(hidden, 1.0))).astype(np.float32)
    batch = empty_batch(256, 256)
    batch.x[:], batch.y[:] = generator.standard_normal((2, 512))
    batch.weight[:] = 1 / 256
    space, gradient = workspace(hidden, 512), adam(weights).gradient

    def steps() -> None:
        for _ in range(STEPS):
            ascend(weights, hidden, batch, 256, 256, 0.0, 0.5, space, gradient)

    return steps


def kernel(turns: int = 21) -> pd.DataFrame:
    """The rate of a step beside that of torch's product of large matrices: one thread each, in turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    square = torch.randn(1024, 1024)
    work = {hidden: steps_of(hidden) for hidden in (32, 64)}
    rows = []
    for turn in range(turns + 1):
        product = 2 * 1024**3 / seconds_of(lambda: square @ square) / 1e9
        for hidden, steps in work.items():
            rate = STEPS * 512 * 6 * hidden**2 / seconds_of(steps) / 1e9
            if turn > 0:  # the first compiles
                rows.append(
                    {"hidden": hidden, "GFLOP/s": rate, "product": product, "fraction": rate / product}
                )
    torch.set_num_threads(threads)
    return pd.DataFrame(rows).groupby("hidden").median().reset_index()


def products_of(hidden: int) -> Callable[[], object]:
    """The matrix products of as many steps, without the rest."""
    first, second = np.random.default_rng(0).normal(size=(2, 64 * hidden)).astype(np.float32)
    weights, bias = np.zeros(hidden**2, dtype=np.float32), np.zeros(hidden, dtype=np.float32)

    def steps() -> None:
        for _ in range(STEPS * 512 // 64):
            layer(second, bias, 0, first, weights, 0, 64, hidden)
            layer(second, bias, 0, first, weights, 0, 64, hidden)
            add_outer(weights, 0, first, second, 64, hidden)

    return steps


def shares(turns: int = 21) -> pd.DataFrame:
    """Microseconds of a step's passes, of their matrix products alone, and of Adam; medians in turns."""
    rows = []
    for hidden in (32, 64):
        weights = np.zeros(len(rates_of(hidden, 1.0)), dtype=np.float32)
        state, rates = adam(weights), rates_of(hidden, 1.0)

        def adams(weights=weights, state=state, rates=rates) -> None:  # type: ignore[no-untyped-def]
            for _ in range(STEPS):
                move(weights, state, rates, np.float32(1), 5, 0.97)

        work = {"passes": steps_of(hidden), "their products": products_of(hidden), "Adam": adams}
        times = [[seconds_of(part) / STEPS * 1e6 for part in work.values()] for _ in range(turns + 1)]
        medians = np.median(times[1:], axis=0)
        rows.append({"hidden": hidden, **dict(zip(work, medians, strict=True))})
    return pd.DataFrame(rows)


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
    for study in (compilation, kernel, shares, sizes):
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
