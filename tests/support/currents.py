"""Currents of small networks, and slow twins of them."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nif.data.rows import read
from nif.estimators.pairs import Resources
from nif.measures.currents.currents import Currents
from nif.measures.currents.information import Decided
from nif.measures.currents.sample import Sample
from nif.measures.measure import Measured
from nif.network.network import Network


def measured(
    net: nn.Module, x: Any, *, seed: int = 0, groups: Any = None, layers: Any = None, **options: Any
) -> Measured:
    """The currents of a network; 4 steps, one column and no paths unless told otherwise."""
    network = Network.of(net, layers=layers)
    rows = read(x, network.signature, input_groups=groups)
    currents = Currents(**{"steps": 4, "by_class": False, "paths": 0, **options})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*backgrounds miss the total")
        return currents.measure(
            network, rows, seed=seed, resources=Resources(10**9, None), advance=lambda work: None
        )


def units(result: Measured) -> list[np.ndarray]:
    """The currents of the units of each layer."""
    assert result.currents is not None
    return [layer.nats for layer in result.currents.units]


def total(result: Measured) -> float:
    """The total."""
    assert result.currents is not None
    return result.currents.total.nats


def trained(
    net: nn.Module, x: Tensor, y: Tensor, loss: Callable[..., Tensor] = nn.functional.cross_entropy
) -> nn.Module:
    """The network after 200 steps of Adam."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
    return net.eval()


def value_on_the_way(sample: Sample, decided: Decided, outputs: Tensor) -> Callable[[Tensor], Tensor]:
    """v of explained rows from outputs ``[row, background, output]``, averaged over them.

    Where there are more dimensions before these, it is the sum over them.
    """
    index = torch.from_numpy(sample.rows)
    outcomes = decided.outcomes(outputs[index], index)
    weights = torch.from_numpy(sample.weights)[:, None] * outcomes.weight
    own = outcomes.log_likelihood(outputs[index][:, None])[:, 0] + math.log(sample.backgrounds.own)
    log_weights = torch.from_numpy(sample.backgrounds.log_weights)[:, None, :, None]

    def value(moved: Tensor) -> Tensor:
        by_row = moved.reshape(-1, *moved.shape[-3:]).transpose(0, 1)  # [row, step, background, output]
        log_likelihood = outcomes.log_likelihood(by_row.flatten(1, 2)).unflatten(1, by_row.shape[1:3])
        others = (log_likelihood + log_weights).logsumexp(2)
        return (weights[:, None] * torch.logaddexp(others, own[:, None])).sum()

    return value


def by_midpoints(
    net: nn.Sequential,
    x: Tensor,
    sample: Sample,
    decided: Decided,
    steps: int = 512,
    known: tuple[Tensor, Tensor] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The currents of the inputs and of every module's result, and of the weights of Linear modules.

    Midpoint gradients of v in float64, many steps at once; with `known`, only from where some features are
    those of the row to where some more are.
    """
    net, x = copy.deepcopy(net).double(), x.double()
    value = value_on_the_way(sample, decided, net(x).detach())
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    if known is not None:
        there, here = (torch.where(features, here, there) for features in known)

    def activations(shares: Tensor) -> list[Tensor]:
        stops = shares[:, None, None, None]
        found = [(there + stops * (here - there)).flatten(0, 1).requires_grad_()]
        for module in net:
            found.append(module(found[-1]))
        return found

    at_once = min(32, steps)
    of_units = [torch.zeros(a.shape[-1], dtype=torch.float64) for a in activations(torch.zeros(1))]
    of_links = [torch.zeros_like(m.weight.T) for m in net if isinstance(m, nn.Linear)]
    linear = [place for place, module in enumerate(net) if isinstance(module, nn.Linear)]
    for first in range(0, steps, at_once):
        stops = torch.arange(first, first + at_once, dtype=torch.float64)
        middle = activations((stops + 0.5) / steps)
        slopes = torch.autograd.grad(value(middle[-1].unflatten(0, (at_once, -1))), middle)
        with torch.no_grad():
            ends = activations(torch.arange(first, first + at_once + 1, dtype=torch.float64) / steps)
        moves = [each.detach().unflatten(0, (at_once + 1, -1)).diff(dim=0).flatten(0, 1) for each in ends]
        for place, (slope, move) in enumerate(zip(slopes, moves, strict=True)):
            of_units[place] += (slope * move).sum((0, 1))
        for link, place in enumerate(linear):
            product = moves[place].flatten(0, 1).T @ slopes[place + 1].flatten(0, 1)
            of_links[link] += product * net[place].weight.detach().T
    return [values.numpy() for values in of_units], [values.detach().numpy() for values in of_links]


def shapley_values(net: nn.Module, x: Tensor, sample: Sample, decided: Decided) -> np.ndarray:
    """Exact Shapley values of v: features outside a coalition are those of the backgrounds."""
    value = value_on_the_way(sample, decided, net(x).detach())
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    count = x.shape[1]
    of_coalition = {}
    for known in itertools.product([False, True], repeat=count):
        with torch.no_grad():
            of_coalition[known] = float(value(net(torch.where(torch.tensor(known), here, there))))
    result = np.zeros(count)
    for known, feature in itertools.product(of_coalition, range(count)):
        if not known[feature]:
            more = tuple(k or i == feature for i, k in enumerate(known))
            size = sum(known)
            share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            result[feature] += share * (of_coalition[more] - of_coalition[known])
    return result
