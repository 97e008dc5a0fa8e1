"""Attribution along all paths of a deep network, against what enumeration would cost.

``python benchmarks/attribution.py [--layers 12] [--units 500] [--repeats 5] [--seeds 200]
[--mine-seeds 60]`` prints

- seconds for a network with about units ** layers paths, as a ratio to one product of two matrices of that
  width, with a check of eq. 4 against enumeration on a network small enough to enumerate;
- how often 95 % intervals hold the attribution of linear networks on normal inputs, where it is known, with
  the errors that `measure` gives and with those of independent links; and what flows into and out of units.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import nif
from environment import environment
from nif.core.types import Layer, Links
from nif.flow.communities import flow_stderr
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement


def random_flow(layers: int, units: int) -> Flow:
    """A network whose layers are all of one width, with links of random weights."""
    generator = np.random.default_rng(0)
    names = [f"layer{index}" for index in range(layers)]
    kinds = ["input"] + ["ReLU"] * (layers - 1)
    shape = (units, units)
    return Flow(
        layers=tuple(
            Layer(name, kind, tuple(f"{name}[{unit}]" for unit in range(units)))
            for name, kind in zip(names, kinds, strict=True)
        ),
        links=tuple(
            Links(
                place,
                place + 1,
                generator.exponential(0.1, shape) - 0.05,
                np.full(shape, 0.01),
                generator.uniform(size=shape),
                generator.exponential(0.1, shape),
            )
            for place in range(layers - 1)
        ),
        constant=(np.zeros(units, dtype=bool),) * layers,
        measurement=Measurement("random", {}, 1000, 0, 0, "0"),
    )


def enumerated(flow: Flow) -> np.ndarray:
    """Eq. 4 path by path."""
    sizes = [len(layer) for layer in flow.layers]
    sums = np.zeros((sizes[0], sizes[-1]))
    for path in itertools.product(*map(range, sizes)):
        weights = [max(found.nats[path[found.source], path[found.target]], 0.0) for found in flow.links]
        sums[path[0], path[-1]] += np.prod(weights)
    return sums


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Of several runs, after one that warms up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def table(layers: int, units: int, repeats: int) -> pd.DataFrame:
    """Seconds for what is asked of a flow."""
    flow = random_flow(layers, units)
    matrix = np.random.default_rng(1).normal(size=(units, units))
    source, target = flow.layers[0].units[0], flow.layers[-1].units[0]
    work: dict[str, tuple[Callable[[], object], int]] = {
        "one matrix product": (lambda: matrix @ matrix, repeats),
        "attribution": (flow.attribution, repeats),
        "attribution_stderr": (lambda: flow.attribution_stderr(clip=False), repeats),
        "paths, k = 10": (lambda: flow.paths(source, target, k=10), repeats),
    }
    seconds = {name: median_seconds(run, count) for name, (run, count) in work.items()}
    start = time.perf_counter()
    flow.neurons()
    seconds["neurons, first time"] = time.perf_counter() - start
    found = pd.DataFrame({"seconds": seconds})
    found["products"] = found["seconds"] / found["seconds"].iloc[0]
    return found


def linear_network(sizes: Sequence[int]) -> nn.Sequential:
    """All of its units are normal where the inputs are."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(sizes)))


def true_flow(network: nn.Sequential, covariance: np.ndarray, like: Flow) -> Flow:
    """The flow without error, from the correlations of the units: -log(1 - rho^2) / 2 for each pair."""
    maps = [np.eye(len(covariance))]
    for weight in (each for each in network.parameters() if each.ndim == 2):
        maps.append(weight.detach().numpy() @ maps[-1])

    def information(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        deviations = [np.sqrt(np.diag(side @ covariance @ side.T)) for side in (a, b)]
        rho = (a @ covariance @ b.T) / np.outer(*deviations)
        return np.asarray(-0.5 * np.log1p(-np.clip(rho**2, 0, 1 - 1e-9)))

    links = []
    for found in like.links:
        within = information(maps[found.source], maps[found.source])
        np.fill_diagonal(within, 0.0)
        redundancy = within.sum(axis=1, keepdims=True) / 2 / (len(within) - 1)
        links.append(replace(found, nats=information(maps[found.source], maps[found.target]) - redundancy))
    return replace(like, links=tuple(links))


def sum_over_layers(flow: Flow) -> np.ndarray:
    """Nats into each unit and out of it."""
    return flow.neurons()[["inflow", "outflow"]].to_numpy().T


def coverage_of(sizes: Sequence[int], rho: float, samples: int, estimator: Any, seeds: int) -> dict[str, Any]:
    """Over all attributions of one network, and many draws of its data."""
    network, covariance = linear_network(sizes), np.full((sizes[0], sizes[0]), rho)
    np.fill_diagonal(covariance, 1.0)
    root, layers = np.linalg.cholesky(covariance), [str(index) for index in range(len(sizes) - 2)]
    values, errors, independent, units, unit_errors = [], [], [], [], []
    for seed in range(seeds):
        x = np.random.default_rng(seed).normal(size=(samples, sizes[0])) @ root.T
        flow = nif.measure(network, x, estimator, layers=layers, seed=seed, progress=False)
        values.append(flow.attribution().to_numpy())
        errors.append(flow.attribution_stderr().to_numpy())
        independent.append(replace(flow, errors=None).attribution_stderr().to_numpy())
        units.append(sum_over_layers(flow))
        unit_errors.append(flow_stderr(sizes, flow.links, flow.errors))
    truth, deviation = true_flow(network, covariance, flow), np.std(values, axis=0)
    off = np.abs(np.array(values) - truth.attribution().to_numpy())
    joined = np.mean(unit_errors, axis=0) > 0
    of_units_off = np.abs(np.array(units) - sum_over_layers(truth))[:, joined]
    return {
        "network": "-".join(map(str, sizes)),
        "rho": rho,
        "estimator": repr(estimator),
        "N": samples,
        "coverage": (off <= 1.96 * np.array(errors)).mean(),
        "error / deviation": (np.mean(errors, axis=0) / deviation).mean(),
        "if independent": (off <= 1.96 * np.array(independent)).mean(),
        "bias / deviation": ((np.mean(values, axis=0) - truth.attribution()) / deviation).to_numpy().mean(),
        "of units": (of_units_off <= 1.96 * np.array(unit_errors)[:, joined]).mean(),
    }


def coverage(seeds: int, mine_seeds: int) -> pd.DataFrame:
    """Two linear networks, the small one also by Mine; correlated inputs or not; two numbers of samples."""
    cases = itertools.product(
        ((3, 4, 2), (4, 6, 5, 3)), (0.0, 0.5), (nif.GaussianCopula(), nif.Binned()), (500, 2000)
    )
    by_mine = itertools.product(((3, 4, 2),), (0.0, 0.5), (nif.Mine(),), (500, 2000) if mine_seeds else ())
    asked = [(case, seeds) for case in cases] + [(case, mine_seeds) for case in by_mine]
    return pd.DataFrame(
        [coverage_of(sizes, rho, samples, used, count) for (sizes, rho, used, samples), count in asked]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--mine-seeds", type=int, default=60)
    options = parser.parse_args()
    small = random_flow(5, 5)
    difference = np.abs(small.attribution().to_numpy() - enumerated(small)).max()
    paths = options.layers * np.log10(options.units)
    print(environment())
    print(f"{options.layers} layers of {options.units} units: about 10^{paths:.0f} paths")
    print(table(options.layers, options.units, options.repeats).round(4).to_string())
    print(f"largest difference to enumeration over {5**5} paths of 5 layers of 5 units: {difference:.1e}")
    print(f"95 % intervals, {options.seeds} seeds, {options.mine_seeds} of Mine")
    print(coverage(options.seeds, options.mine_seeds).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
