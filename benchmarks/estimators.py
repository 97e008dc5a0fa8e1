"""Our estimators and those of other libraries, on the same samples in one run.

``python benchmarks/estimators.py [--samples 10000] [--seeds 5] [--peers PYTHON]`` prints, for each, the
error on the nine one-by-one tasks of 'Beyond Normal' and on ReLU pairs, and the time a pair takes.
``--peers`` names the interpreter of an environment with ennemi and infomeasure; `make benchmark`
makes one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import nif
from environment import environment
from nif.estimators import ESTIMATORS
from nif.estimators.truths import BEYOND_NORMAL, RELU_PAIRS
from plain_mine import plain_mine

TASKS = {task.name: task for task in (*BEYOND_NORMAL, *RELU_PAIRS)}
Results = dict[str, tuple[float, float]]
"""Nats and seconds of each task."""


def ours(name: str, samples: dict[str, tuple[np.ndarray, np.ndarray]], seed: int) -> Results:
    """One of our estimators, one pair at a time, as the others."""
    estimator = ESTIMATORS[name]()
    return {
        task: timed(lambda x, y: float(nif.estimate(x, y, estimator, seed=seed).nats), *pair)
        for task, pair in samples.items()
    }


def together(name: str, samples: dict[str, tuple[np.ndarray, np.ndarray]], seed: int) -> Results:
    """The same with all tasks in one call, as a network is measured."""
    x = np.stack([pair[0] for pair in samples.values()])[:, :, None]
    y = np.stack([pair[1] for pair in samples.values()])[:, :, None]
    start = time.perf_counter()
    nats = ESTIMATORS[name]().estimate(x, y, seed=seed).nats
    seconds = (time.perf_counter() - start) / len(samples)
    return {task: (float(value), seconds) for task, value in zip(samples, nats, strict=True)}


def loop(samples: dict[str, tuple[np.ndarray, np.ndarray]], seed: int) -> Results:
    """A plain PyTorch MINE, pair after pair."""
    return {task: timed(lambda x, y: plain_mine(x, y, seed), *pair) for task, pair in samples.items()}


def timed(
    estimate: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray
) -> tuple[float, float]:
    """The value and the seconds it took."""
    start = time.perf_counter()
    return estimate(x, y), time.perf_counter() - start


def peer(python: str, library: str, samples: dict[str, tuple[np.ndarray, np.ndarray]], seed: int) -> Results:
    """Another library, in its own environment; it chooses its own seed."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, result = Path(folder, "samples.npz"), Path(folder, "result.json")
        arrays = {
            f"{task}.{side}": values
            for task, pair in samples.items()
            for side, values in zip("xy", pair, strict=True)
        }
        np.savez(inputs, allow_pickle=False, **arrays)
        script = Path(__file__).with_name("peers.py")
        subprocess.run([python, script, library, inputs, result], check=True)
        return {task: (row["nats"], row["seconds"]) for task, row in json.loads(result.read_text()).items()}


def compared(peers: str | None, slow: bool, only: list[str]) -> dict[str, Callable[[dict, int], Results]]:
    """The methods that are compared, by the name of their row."""
    methods: dict[str, Callable[[dict, int], Results]] = {}
    for name in only or ESTIMATORS:
        methods[f"nif {name}"] = partial(ours, name)
        methods[f"nif {name}, all at once"] = partial(together, name)
    if slow:
        methods["plain PyTorch MINE"] = loop
    methods["scikit-learn"] = partial(peer, sys.executable, "scikit-learn")
    for library in ("ennemi", "infomeasure") if peers else ():
        methods[library] = partial(peer, str(peers), library)
    return methods


def row(results: list[Results]) -> dict[str, float]:
    """Errors against truth over seeds, and the median time of a pair."""
    error = pd.DataFrame(
        [{task: nats - TASKS[task].nats for task, (nats, _) in run.items()} for run in results]
    )
    nine, relu = [task.name for task in BEYOND_NORMAL], [task.name for task in RELU_PAIRS]
    seconds = np.median([second for run in results for _, second in run.values()])
    return {
        "MAE of nine": error[nine].abs().mean().mean(),
        "worst task": error[nine].abs().mean().max(),
        "ReLU bias": error[relu].mean().abs().max(),
        "ms a pair": 1e3 * float(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers")
    parser.add_argument("--no-loop", action="store_true", help="leave out the plain PyTorch loop")
    parser.add_argument("--only", nargs="*", default=[], help="of our estimators")
    options = parser.parse_args()
    results: dict[str, list[Results]] = {}
    for seed in range(options.seeds):
        samples = {}
        for name, task in TASKS.items():
            x, y = task.sample(options.samples, seed)
            samples[name] = np.ravel(x), np.ravel(y)
        for name, method in compared(options.peers, not options.no_loop, options.only).items():
            results.setdefault(name, []).append(method(samples, seed))
    table = pd.DataFrame({name: row(runs) for name, runs in results.items()}).T
    scikit_learn = table["ms a pair"].to_dict()["scikit-learn"]
    table["pairs in the time of one of scikit-learn's"] = scikit_learn / table["ms a pair"]
    print(environment())
    print(f"N = {options.samples}, {options.seeds} seeds, nats; medians over tasks and seeds for time")
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
