"""Attribution along all paths of a deep network, against what enumeration would cost.

``python benchmarks/attribution.py [--layers 12] [--units 500] [--repeats 5]`` prints seconds for a network
with about units ** layers paths, as a ratio to one product of two matrices of that width, and checks eq. 4
against enumeration on a network small enough to enumerate.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from environment import environment
from nif.contracts import Layer, Links
from nif.flow import Flow, Measurement


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
        measurement=Measurement("random", False, {}, 0.0, 1000, 0, 0, 0, "0"),
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
        "attribution_stderr": (flow.attribution_stderr, repeats),
        "paths, k = 10": (lambda: flow.paths(source, target, k=10), repeats),
    }
    seconds = {name: median_seconds(run, count) for name, (run, count) in work.items()}
    start = time.perf_counter()
    flow.neurons()
    seconds["neurons, first time"] = time.perf_counter() - start
    found = pd.DataFrame({"seconds": seconds})
    found["products"] = found["seconds"] / found["seconds"].iloc[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    small = random_flow(5, 5)
    difference = np.abs(small.attribution().to_numpy() - enumerated(small)).max()
    paths = options.layers * np.log10(options.units)
    print(environment())
    print(f"{options.layers} layers of {options.units} units: about 10^{paths:.0f} paths")
    print(table(options.layers, options.units, options.repeats).round(4).to_string())
    print(f"largest difference to enumeration over {5**5} paths of 5 layers of 5 units: {difference:.1e}")


if __name__ == "__main__":
    main()
