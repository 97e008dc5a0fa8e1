"""Random networks of every kind of operator are balanced, and shared as by many midpoint gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from support.current_steps import conductances, unit_currents
from support.random_networks import TOKENS, WIDTH, random_network

ROWS = 24

CHANGE = 0.003
"""Of a unit, at which steps are doubled no more: where it is 1 %, saturated attention may be off by 1.6 %."""

SEEDS = range(6)
"""Of 40 networks, of which all pass, the suite has a few."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_network_is_balanced_and_shared_as_by_midpoint_gradients(seed: int) -> None:
    net, names = random_network(seed)
    start, end = torch.randn(2, ROWS, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
    layers = [str(place) for place in range(len(net) - 1)]

    weight = net(end).softmax(-1).detach()

    def decide(outputs: Tensor) -> Tensor:
        return (weight * outputs.log_softmax(-1)).sum(-1)

    currents = unit_currents(net, layers, start, end, 4, decide)
    sums = {layer: float(values.double().sum()) for layer, values in currents.items()}
    for layer in layers:
        size = float(currents[layer].abs().double().sum())
        assert abs(sums[layer] - sums[layers[-1]]) <= 1e-5 * size, (names, layer)

    net, start, end, weight = net.double(), start.double(), end.double(), weight.double()
    with torch.no_grad():
        total = float((decide(net(end)) - decide(net(start))).sum())
    expected = conductances(net, layers, start, end, 512, decide)
    before, steps = None, 4
    while steps <= 256:
        now = {
            k: v.sum(0).flatten().numpy()
            for k, v in unit_currents(net, layers, start, end, steps, decide).items()
        }
        change = (
            np.inf if before is None else max(np.abs(now[k] - before[k]).max() for k in layers) / abs(total)
        )
        if change <= CHANGE:
            break
        before, steps = now, 2 * steps
    for layer in layers:
        error = np.abs(now[layer] - expected[layer].detach().sum(0).flatten().numpy()).max()
        assert error <= 0.01 * abs(total), (names, layer, steps)
