"""Currents: whether they are divided among units and weights as the integral divides them.

``PYTHONPATH=tests python benchmarks/currents_splits.py [--networks 160] [--first 0]`` measures random
networks of every kind of block (convolutions, attention, gates, norms, recurrent cells, sorting, pooling,
scans, ...) with as many steps as `nif.measure` takes by default, and compares the current of every unit and
of every weight of the first layer with 512 midpoint gradients of the same information in float64. Where they
differ by more than 1 % of the total, midpoints are doubled until they agree with each other. Printed for each
such network, and over all: the largest difference, in percent of the total, the same from more midpoints, and
the error that the flow states.

Networks and rows depend on their number only.
"""

from __future__ import annotations

import argparse
import copy
import warnings

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nif
from environment import environment
from nif.flow.flow import Flow
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.information import Decided
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision
from nif.network.forward import Forward
from support.currents import value_on_the_way
from support.random_networks import TOKENS, WIDTH, random_network

ALL, ROWS, BACKGROUNDS = 96, 24, 8
"""Rows, those explained, and the background rows of each."""

STEPS, MOST_STEPS, AT_ONCE = 512, 8192, 16
"""Midpoint gradients, as many at most, and how many of them in one pass."""

AGREEMENT = 0.0025
"""Part of the total by which midpoint gradients may change when their number is doubled."""


def integral(
    net: nn.Sequential, x: Tensor, sample: Sample, decided: Decided, steps: int = STEPS
) -> tuple[list[np.ndarray], np.ndarray]:
    """The currents of the units of every module but the last, ``[token, unit]``, and of the first weights."""
    net, x = copy.deepcopy(net).double(), x.double()
    with torch.no_grad():
        value = value_on_the_way(sample, decided, net(x))
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    pairs = there.shape[:2]

    def activations(shares: Tensor) -> list[Tensor]:
        found = [(there + shares.view(-1, 1, 1, 1, 1) * (here - there)).flatten(0, 2).requires_grad_()]
        for module in net:
            found.append(module(found[-1]))
        return found

    units = [torch.zeros(TOKENS, WIDTH, dtype=torch.float64) for _ in net]
    weights = torch.zeros(WIDTH, WIDTH, dtype=torch.float64)
    for first in range(0, steps, AT_ONCE):
        ends = torch.arange(first, first + AT_ONCE + 1, dtype=torch.float64)
        middle = activations((ends[:-1] + 0.5) / steps)
        slopes = torch.autograd.grad(value(middle[-1].unflatten(0, (AT_ONCE, *pairs))), middle[:-1])
        with torch.no_grad():
            moved = [each.unflatten(0, (AT_ONCE + 1, -1)) for each in activations(ends / steps)[:-1]]
        moves = [each.diff(dim=0).flatten(0, 1) for each in moved]
        for layer, (slope, move) in enumerate(zip(slopes, moves, strict=True)):
            units[layer] += (slope * move).sum(0)
        weights += torch.einsum("ptu,ptv->vu", moves[0], slopes[1]) * next(net[0].parameters()).detach()
    return [each.numpy() for each in units], weights.numpy()


def differences(flow: Flow, units: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Of every unit and weight, in parts of the total."""
    currents = flow.neurons()["current"]
    found = [np.ravel(flow.weights("0.weight").nats - weights)]
    for name, expected in zip(["input", *map(str, range(len(units) - 1))], units, strict=True):
        if name in currents.index:
            layer = currents.loc[name].to_numpy()
            by_unit = {WIDTH: expected.sum(0), TOKENS: expected.sum(1), expected.size: expected.ravel()}
            found.append(layer - by_unit[len(layer)])
    return np.abs(np.concatenate(found)) / abs(float(flow.total or 0))


def compared(number: int) -> dict[str, object]:
    """One network."""
    net, names = random_network(number)
    x = torch.randn(ALL, TOKENS, WIDTH, generator=torch.Generator().manual_seed(number))
    method = nif.Currents(rows=ROWS, backgrounds=BACKGROUNDS, paths=0, by_class=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = nif.measure(net, x, method, progress=False)
        with torch.no_grad():
            outputs = net(x)
        decided = decided_by(Decision.of(Forward(net), (x,)), outputs, None, 0.2, None)
        sample = Sample.of(decided, outputs, ROWS, BACKGROUNDS, np.random.default_rng(0))
    expected = integral(net, x, sample, decided)
    off = further = differences(flow, *expected)
    steps, change = STEPS, 1.0
    while off.max() > 0.01 and change > AGREEMENT and steps < MOST_STEPS:
        steps *= 2
        before, expected = expected, integral(net, x, sample, decided, steps)
        pairs = zip([*expected[0], expected[1]], [*before[0], before[1]], strict=True)
        change = max(float(np.abs(now - then).max()) for now, then in pairs) / abs(float(flow.total or 0))
        further = differences(flow, *expected)
    options = flow.measurement.options
    return {
        "network": number,
        "total": float(flow.total or 0),
        "values": off.size,
        "largest %": 100 * off.max(),
        "from more %": 100 * further.max(),
        "midpoints": steps,
        "stated %": 100 * options["step_error"],
        "steps": options["steps"],
        "blocks": ", ".join(names),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=160)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    print(environment(), flush=True)
    numbers = range(arguments.first, arguments.first + arguments.networks)
    table = pd.DataFrame([compared(number) for number in numbers])
    off = table[table["largest %"] > 1]
    if len(off):
        print(off.round(4).to_string(index=False))
    largest, steps = table["largest %"], table["steps"].value_counts().sort_index()
    print(
        f"{len(table) - len(off)} of {len(table)} networks within 1 % of their total in every unit and weight"
    )
    print(f"largest difference: median {largest.median():.2f} %, worst {largest.max():.2f} %")
    further = table["from more %"]
    print(f"from more midpoints: {(further <= 1).sum()} within 1 %, worst {further.max():.2f} %")
    print(f"within what is stated, from more midpoints: {(further <= table['stated %']).sum()}")
    print("networks by steps:", ", ".join(f"{count} of {number}" for number, count in steps.items()))


if __name__ == "__main__":
    main()
