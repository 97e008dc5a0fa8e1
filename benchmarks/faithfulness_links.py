"""How much of a decision the strongest links of a network carry, by several ways to rank them.

The strongest 2 to 50 % of all links are kept, or removed; see `faithfulness_decision.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nif
from faithfulness_attributions import measured
from faithfulness_data import Trained
from faithfulness_decision import FIGURES, Ranked, divergence, figures, linears, sources
from faithfulness_tables import differences

HIDDEN, SEEDS = (1, 2, 4), 1

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Of all links, kept or removed."""

EAP_ROWS, EAP_OTHERS, EAP_STEPS = 512, 8, 16


def currents(network: Trained) -> Ranked:
    """Mean currents, by their size."""
    return currents_by(network, nif.Currents(by_class=False))


def currents_by(network: Trained, method: nif.Currents) -> Ranked:
    """The same with other options."""
    flow = measured(network, method)
    return [np.abs(links.nats.T) for links in flow.links]


def association(network: Trained) -> Ranked:
    """Mutual information of the two units, less redundancy."""
    flow = measured(network, nif.Association(nif.Binned()))
    return [links.nats.T for links in flow.links]


def weight_times_deviation(network: Trained) -> Ranked:
    """The size of a weight times the deviation of its source."""
    with torch.no_grad():
        deviations = [h.std(0) for h in sources(network.net, network.x)]
        return [
            (module.weight.abs() * deviation).numpy()
            for module, deviation in zip(linears(network.net), deviations, strict=True)
        ]


def at_random(network: Trained) -> Ranked:
    """Random numbers."""
    generator = np.random.default_rng(network.seed)
    return [generator.random(module.weight.shape) for module in linears(network.net)]


def eap_ig(network: Trained) -> Ranked:
    """Edge attribution patching with integrated gradients.

    References:
        Hanna, Pezzelle & Belinkov (2024), "Have faith in faithfulness", https://arxiv.org/abs/2403.17806
    """
    return patching(network, [(step + 0.5) / EAP_STEPS for step in range(EAP_STEPS)])


def eap(network: Trained) -> Ranked:
    """Edge attribution patching, with the gradient at the other row; that at the row itself is 0.

    References:
        Syed, Rager & Conmy (2023), https://arxiv.org/abs/2310.10348
    """
    return patching(network, [0.0])


def patching(network: Trained, stops: Sequence[float]) -> Ranked:
    """The size of: change of the source from another row to the row, times weight, times a mean gradient.

    The gradient is with respect to the target before its activation function, of the divergence from the
    decision at the row, at some stops of the straight way of the inputs from the other row. Summed over rows
    and several others each.
    """
    generator = torch.Generator().manual_seed(network.seed)
    rows = torch.randperm(len(network.x), generator=generator)[:EAP_ROWS].repeat(EAP_OTHERS)
    x = network.x[rows]
    z = network.x[torch.randint(len(network.x), (len(rows),), generator=generator)]
    with torch.no_grad():
        outputs = network.net(x)
        moved = [
            here - there for here, there in zip(sources(network.net, x), sources(network.net, z), strict=True)
        ]
    weights = [module.weight.detach() for module in linears(network.net)]
    found = [torch.zeros_like(weight) for weight in weights]
    for stop in stops:
        targets, there = targets_at(network.net, z + stop * (x - z))
        slopes = torch.autograd.grad(divergence(network, outputs, there).sum(), targets)
        for place, (weight, slope, move) in enumerate(zip(weights, slopes, moved, strict=True)):
            found[place] += weight * (slope.T @ move) / len(stops)
    return [matrix.abs().numpy() for matrix in found]


def targets_at(net: nn.Sequential, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """What each Linear module returns, and the output."""
    found, x = [], x.clone().requires_grad_()
    for module in net:
        x = module(x)
        if isinstance(module, nn.Linear):
            found.append(x)
    return found, x


def with_links(net: nn.Sequential, x: Tensor, kept: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """The output where only some links carry what their source is; that of all others is given."""
    place = 0
    for module in net:
        if isinstance(module, nn.Linear):
            here, there = module.weight * kept[place], module.weight * ~kept[place]
            x = x @ here.T + others[place] @ there.T + module.bias
            place += 1
        else:
            x = module(x)
    return x


RANKINGS: dict[str, Callable[[Trained], Ranked]] = {
    "currents": currents,
    "EAP-IG": eap_ig,
    "EAP": eap,
    "weight x deviation": weight_times_deviation,
    "association": association,
    "random": at_random,
}


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each ranking of the links of a network."""
    return [
        {**network.kind, "of": name, **figures(network, rank(network), with_links, SHARES)}
        for name, rank in RANKINGS.items()
    ]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, currents over EAP-IG, and paired differences."""
    means = rows.groupby("of")[list(FIGURES)].mean().loc[list(RANKINGS)]
    means.loc["currents / EAP-IG"] = means.loc["currents"] / means.loc["EAP-IG"]
    return {"means": means.round(3).T, "currents, minus the others": differences(rows, FIGURES).T}
