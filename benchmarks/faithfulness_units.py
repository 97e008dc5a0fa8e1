"""How much of a decision the strongest hidden units of a network carry, by several ways to rank them.

The strongest 5 to 50 % of the units of all hidden layers are kept, or removed; see
`faithfulness_decision.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nif
from faithfulness_attributions import losses, measured, predicted
from faithfulness_data import Trained
from faithfulness_decision import FIGURES, Ranked, divergence, figures, linears, sources
from faithfulness_tables import differences
from nif.core.random import isolated_library

HIDDEN, SEEDS = (1, 2, 4), 1

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Of all hidden units, kept or removed."""

ROWS, OTHERS, STEPS = 256, 8, 16


def of_currents(network: Trained) -> dict[str, Ranked]:
    """The size of the mean current, and the mean size of the current of a row."""
    flow = measured(network, nif.Currents(by_class=False))
    assert flow.currents is not None
    hidden = flow.currents.units[1:-1]
    return {
        "currents": [np.abs(layer.nats) for layer in hidden],
        "currents, absolute": [layer.absolute for layer in hidden],
    }


def hidden_at(net: nn.Sequential, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Activations of the hidden layers, and the output."""
    found, x = [], x.clone().requires_grad_()
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            found.append(x)
    return found, x


def taylor(network: Trained) -> Ranked:
    """Mean size of activation times gradient of the loss, over rows; divided by the norm of its layer.

    References:
        Molchanov et al. (2017), https://arxiv.org/abs/1611.06440
    """
    hidden, outputs = hidden_at(network.net, network.x)
    outputs = outputs.softmax(-1) if network.classes else outputs
    slopes = torch.autograd.grad(losses(network, outputs, network.y).sum(), hidden)
    sizes = [(h * slope).abs().mean(0).detach().numpy() for h, slope in zip(hidden, slopes, strict=True)]
    return [size / np.linalg.norm(size) for size in sizes]


def patching(network: Trained) -> Ranked:
    """The change of a unit from another row to the row, times the mean gradient of the divergence: EAP-IG of
    nodes."""
    generator = torch.Generator().manual_seed(network.seed)
    rows = torch.randperm(len(network.x), generator=generator)[:ROWS].repeat(OTHERS)
    x = network.x[rows]
    z = network.x[torch.randint(len(network.x), (len(rows),), generator=generator)]
    with torch.no_grad():
        ends = [sources(network.net, rows)[1:] for rows in (x, z)]
        moved, outputs = [here - there for here, there in zip(*ends, strict=True)], network.net(x)
    found = [torch.zeros(move.shape[1]) for move in moved]
    for step in range(STEPS):
        hidden, there = hidden_at(network.net, z + (step + 0.5) / STEPS * (x - z))
        slopes = torch.autograd.grad(divergence(network, outputs, there).sum(), hidden)
        for place, (slope, move) in enumerate(zip(slopes, moved, strict=True)):
            found[place] += (slope * move).sum(0) / STEPS
    return [units.abs().numpy() for units in found]


def conductance(network: Trained) -> Ranked:
    """Mean size of ``captum.attr.LayerConductance`` from the mean row, over rows and outputs.

    References:
        Dhamdhere, Sundararajan & Yan (2018), https://arxiv.org/abs/1805.12233
    """
    with isolated_library():
        from captum.attr import LayerConductance

    x, mean = network.x[:ROWS], network.x.mean(0, keepdim=True)
    outputs = predicted(network, x[:1]).shape[1]
    found = []
    for module in network.net:
        if isinstance(module, nn.ReLU):
            with isolated_library(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                method = LayerConductance(network.net, module)
                values = [method.attribute(x, mean, target=k, n_steps=STEPS) for k in range(outputs)]
            found.append(torch.stack(values).abs().mean(dim=(0, 1)).detach().numpy())
    return found


@torch.no_grad()
def weight_times_deviation(network: Trained) -> Ranked:
    """The deviation of a unit times the sum of the sizes of its outgoing weights."""
    hidden, modules = sources(network.net, network.x)[1:], linears(network.net)[1:]
    return [
        (h.std(0) * module.weight.abs().sum(0)).numpy() for h, module in zip(hidden, modules, strict=True)
    ]


def association(network: Trained) -> Ranked:
    """Information through a unit, the smaller one of what flows in and out."""
    flow = measured(network, nif.Association(nif.Binned()))
    through = flow.neurons()["throughput"]
    return [through.loc[layer.name].to_numpy() for layer in flow.layers[1:-1]]


def at_random(network: Trained) -> Ranked:
    """Random numbers."""
    generator = np.random.default_rng(network.seed)
    return [generator.random(module.out_features) for module in linears(network.net)[:-1]]


def with_units(net: nn.Sequential, x: Tensor, kept: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """The output where only some hidden units are what they are; those of all others are given."""
    place = 0
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            x = torch.where(kept[place], x, others[place + 1])
            place += 1
    return x


OTHER_RANKINGS: dict[str, Callable[[Trained], Ranked]] = {
    "EAP-IG of units": patching,
    "Taylor": taylor,
    "conductance": conductance,
    "weight x deviation": weight_times_deviation,
    "association": association,
    "random": at_random,
}


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each ranking of the hidden units of a network."""
    ranked = {**of_currents(network), **{name: rank(network) for name, rank in OTHER_RANKINGS.items()}}
    return [
        {**network.kind, "of": name, **figures(network, each, with_units, SHARES)}
        for name, each in ranked.items()
    ]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and paired differences."""
    order = rows["of"].drop_duplicates()
    means = rows.groupby("of")[list(FIGURES)].mean().loc[order].round(3).T
    return {"means": means, "currents, minus the others": differences(rows, FIGURES).T}
