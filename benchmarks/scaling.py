"""Time and memory against the number of pairs, samples and layers, of both measures.

``python benchmarks/scaling.py [--repeats 3] [--figure FILE]`` prints a table with log-log slopes, and the
links of a 784-300-100-10 network. Every measurement runs in a new process, which has its own peak
memory; "of the limit" is what it takes above what was there before, less the result, as a part of
``memory=``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import nif
from environment import current, environment, peak
from nif.estimators.estimate import Estimator
from nif.estimators.pairs import bytes_of


def columns(samples: int, width: int) -> np.ndarray:
    """Dependent columns, half of them with an atom at 0."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(samples, 8)) @ generator.normal(size=(8, width))
    values += generator.normal(size=values.shape)
    values[:, ::2] = np.maximum(values[:, ::2], 0)
    return values


def pairs_of(estimator: Estimator, width: int, samples: int = 2_000) -> Callable[[], object]:
    """All columns of one table with all of another."""
    table = columns(samples, 2 * width)
    return lambda: nif.pairwise(table[:, :width], table[:, width:], estimator=estimator, progress=False)


def network(sizes: list[int], samples: int = 2_000, method: object = None) -> Callable[[], object]:
    """The flow of an untrained network of these layers, by Binned or another method."""
    torch.manual_seed(0)
    modules: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    data = columns(samples, sizes[0]).astype(np.float32)
    return lambda: nif.measure(model, data, method or nif.Binned(), progress=False)  # type: ignore[arg-type]


STUDIES: dict[str, tuple[list[int], Callable[[int], Callable[[], object]]]] = {
    "Binned, pairs": ([10_000, 40_000, 160_000, 640_000], lambda n: pairs_of(nif.Binned(), round(n**0.5))),
    "Binned, samples": ([1_000, 4_000, 16_000, 64_000], lambda n: pairs_of(nif.Binned(), 100, samples=n)),
    "Binned, layers of 100": ([2, 4, 8, 16], lambda n: network([100] * n)),
    "Mine, pairs": ([64, 256, 1024], lambda n: pairs_of(nif.Mine(), round(n**0.5), samples=2_000)),
    "Mine, samples": ([1_000, 4_000, 16_000], lambda n: pairs_of(nif.Mine(), 8, samples=n)),
    "links of 784-300-100-10": ([2_000], lambda n: network([784, 300, 100, 10], samples=n)),
    "Currents, two layers of n": (
        [250, 500, 1_000, 2_000],
        lambda n: network([784, n, n, 10], method=nif.Currents(rows=128, steps=4)),
    ),
    "Currents, layers of 100": (
        [2, 4, 8, 16],
        lambda n: network([100] * n, method=nif.Currents(rows=128, steps=4)),
    ),
}


def one(study: str, size: int) -> dict[str, float]:
    """Seconds and megabytes of one measurement, in this process, without compilation."""
    prepared = STUDIES[study][1](size)
    pairs_of(nif.Mine() if study.startswith("Mine") else nif.Binned(), 2, samples=200)()
    before, resident = peak(), current()
    start = time.perf_counter()
    result = prepared()
    seconds = time.perf_counter() - start
    above = peak() - max(before, resident)
    limit = bytes_of(LIMIT) / 2**20
    taken = (peak() - resident - size_of(result)) / limit
    return {"seconds": seconds, "MB above start": above, "peak MB": peak(), "of the limit": taken}


LIMIT = "1GB"
"""The default of ``memory=``."""


def size_of(result: object, seen: set[int] | None = None) -> float:
    """Megabytes of the arrays of a result."""
    seen = set() if seen is None else seen
    if id(result) in seen:
        return 0.0
    seen.add(id(result))
    if isinstance(result, np.ndarray):
        return result.nbytes / 2**20
    parts = (
        list(result) if isinstance(result, (tuple, list)) else list(getattr(result, "__dict__", {}).values())
    )
    return sum(size_of(part, seen) for part in parts)


def in_fresh_process(study: str, size: int) -> dict[str, float]:
    """The same in a new process."""
    command = [sys.executable, __file__, "--one", study, str(size)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else float("nan")


def table(repeats: int) -> pd.DataFrame:
    """Medians of several runs for every study and size."""
    rows = []
    for study, (sizes, _) in STUDIES.items():
        medians = []
        for size in sizes:
            runs = pd.DataFrame([in_fresh_process(study, size) for _ in range(repeats)])
            medians.append(runs.median())
        exponent = slope(sizes, [float(row["seconds"]) for row in medians])
        rows += [
            {"study": study, "size": size, **row, "slope": exponent}
            for size, row in zip(sizes, medians, strict=True)
        ]
    return pd.DataFrame(rows)


def draw(results: pd.DataFrame, path: Path) -> None:
    """Time against size, one line for each study."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for study, rows in results.groupby("study", sort=False):
        if len(rows) > 1:
            label = f"{study} (slope {rows['slope'].iloc[0]:.2f})"
            axes.loglog(rows["size"], rows["seconds"], marker="o", label=label)
    axes.set(xlabel="pairs, samples or layers", ylabel="seconds")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("STUDY", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]))))
        return
    results = table(options.repeats)
    print(environment())
    print(results.round(3).to_string(index=False))
    if options.figure:
        draw(results, options.figure)


if __name__ == "__main__":
    main()
