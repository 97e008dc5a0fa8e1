"""How much of a decision the strongest links of a network carry, by several ways to rank them.

The strongest 2 to 50 % of all links are kept, or removed; see `faithfulness_decision.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nif
from faithfulness_attributions import measured
from faithfulness_data import Trained
from faithfulness_decision import FIGURES, Ranked, figures, linears, sources
from faithfulness_tables import differences
from nif.comparison import link_rankings
from nif.comparison.link_problem import LinkProblem
from nif.measures.currents.decisions import decided_by
from nif.network.decision import Decision
from nif.network.forward import Forward

HIDDEN, SEEDS = (1, 2, 4), 1

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Of all links, kept or removed."""


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


def problem(network: Trained) -> LinkProblem:
    """For the rankings that NIF compares itself with; its flow is not read by those."""
    net = copy.deepcopy(network.net).requires_grad_(False)
    modules = {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    decision = Decision.of(Forward(net), (network.x,))
    decided = decided_by(decision, net(network.x), None, 0.2, None)
    unread: Any = None
    return LinkProblem(net, modules, decided, network.x, unread, unread, network.seed)


def eap_ig(network: Trained) -> Ranked:
    """Edge attribution patching with integrated gradients, as in `nif.compare_links`."""
    return list(link_rankings.eap_ig(problem(network)).values())


def eap(network: Trained) -> Ranked:
    """Edge attribution patching, with the gradient at the other row; that at the row itself is 0.

    References:
        Syed, Rager & Conmy (2023), https://arxiv.org/abs/2310.10348
    """
    links = problem(network)
    return list(link_rankings.patching(links, *link_rankings.pairs(links), [0.0]).values())


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
    means = rows.groupby("of")[list(FIGURES)].mean().loc[list(RANKINGS)].T
    means["currents / EAP-IG"] = means["currents"] / means["EAP-IG"]
    return {"means": means.round(3), "currents, minus the others": differences(rows, FIGURES).T}
