"""How much of a decision the strongest links of a network carry, by several ways to rank them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nif
from faithfulness_data import Trained
from faithfulness_features import differences, measured

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Of all links, kept or deleted."""

OTHERS = 5
"""Draws of other rows."""

EAP_ROWS, EAP_OTHERS, EAP_STEPS = 512, 8, 16

FIGURES = tuple(
    f"{what}, {name}, {by}"
    for by in ("outcome", "divergence")
    for name in ("mean", "other")
    for what in ("kept", "lost")
)

Matrices = list[np.ndarray]
"""For each Linear module a number for each link, ``[target, source]`` as its weights."""


def linears(net: nn.Sequential) -> list[nn.Linear]:
    """The modules that have links."""
    return [module for module in net if isinstance(module, nn.Linear)]


def sources(net: nn.Sequential, x: Tensor) -> list[Tensor]:
    """What each Linear module is given."""
    found = []
    for module in net:
        if isinstance(module, nn.Linear):
            found.append(x)
        x = module(x)
    return found


def currents(network: Trained) -> Matrices:
    """Mean currents, by their size."""
    flow = measured(network, nif.Currents())
    return [np.abs(links.nats.T) for links in flow.links]


def association(network: Trained) -> Matrices:
    """Mutual information of the two units, less redundancy."""
    flow = measured(network, nif.Association(nif.Binned()))
    return [links.nats.T for links in flow.links]


def weight_times_deviation(network: Trained) -> Matrices:
    """The size of a weight times the deviation of its source."""
    with torch.no_grad():
        deviations = [h.std(0) for h in sources(network.net, network.x)]
        return [
            (module.weight.abs() * deviation).numpy()
            for module, deviation in zip(linears(network.net), deviations, strict=True)
        ]


def at_random(network: Trained) -> Matrices:
    """Random numbers."""
    generator = np.random.default_rng(network.seed)
    return [generator.random(module.weight.shape) for module in linears(network.net)]


def eap_ig(network: Trained) -> Matrices:
    """Edge attribution patching with integrated gradients, in absolute value.

    The change of the source from another row to the row, times the weight, times the gradient with respect to
    the target before its activation function: of the divergence from the decision at the row, averaged along
    the straight way of the inputs from the other row. Summed over rows and several others each.

    References:
        Hanna, Pezzelle & Belinkov (2024), "Have faith in faithfulness", https://arxiv.org/abs/2403.17806
    """
    generator = torch.Generator().manual_seed(network.seed)
    rows = torch.randperm(len(network.x), generator=generator)[:EAP_ROWS].repeat(EAP_OTHERS)
    x = network.x[rows]
    z = network.x[torch.randint(len(network.x), (len(rows),), generator=generator)]
    with torch.no_grad():
        outputs = network.net(x)
        moved = [a - b for a, b in zip(sources(network.net, x), sources(network.net, z), strict=True)]
    weights = [module.weight.detach() for module in linears(network.net)]
    found = [torch.zeros_like(weight) for weight in weights]
    for step in range(EAP_STEPS):
        at = z + (step + 0.5) / EAP_STEPS * (x - z)
        targets, there = _targets(network.net, at)
        slopes = torch.autograd.grad(divergence(network, outputs, there).sum(), targets)
        for place, (weight, slope, move) in enumerate(zip(weights, slopes, moved, strict=True)):
            found[place] += weight * (slope.T @ move) / EAP_STEPS
    return [matrix.abs().numpy() for matrix in found]


def _targets(net: nn.Sequential, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """What each Linear module returns, and the output."""
    found, x = [], x.clone().requires_grad_()
    for module in net:
        x = module(x)
        if isinstance(module, nn.Linear):
            found.append(x)
    return found, x


def divergence(network: Trained, outputs: Tensor, others: Tensor) -> Tensor:
    """Of each row, from its decision: Kullback-Leibler's, or the squared error in variances of the output."""
    if network.classes:
        known = outputs.log_softmax(-1)
        return (known.exp() * (known - others.log_softmax(-1))).sum(-1)
    return ((outputs - others).square() / outputs.var(0)).sum(-1)


@torch.no_grad()
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


def strongest(ranked: Matrices, share: float, seed: int) -> list[Tensor]:
    """Masks of the strongest share of all links, ties in random order."""
    sizes = [matrix.shape for matrix in ranked]
    strength = np.concatenate([matrix.ravel() for matrix in ranked])
    ties = np.random.default_rng(seed).random(len(strength))
    chosen = np.zeros(len(strength), bool)
    chosen[np.lexsort((ties, -strength))[: max(1, round(share * len(strength)))]] = True
    parts = np.split(chosen, np.cumsum([rows * columns for rows, columns in sizes])[:-1])
    return [torch.from_numpy(part.reshape(size)) for part, size in zip(parts, sizes, strict=True)]


def decision_left(network: Trained, outputs: Tensor, others: Tensor, nothing: Tensor) -> dict[str, float]:
    """Share of the decision that other outputs still have, between that of no links, 0, and all, 1.

    By the outcome: rows that are still given their class, or for values what is explained of the output. By
    divergence: what is left of it, of that without links.
    """
    gone = float(divergence(network, outputs, nothing).mean())
    left = 1 - float(divergence(network, outputs, others).mean()) / gone
    if not network.classes:
        return {"outcome": max(left, 0.0), "divergence": max(left, 0.0)}
    classes = outputs.argmax(1)
    same, chance = (float((some.argmax(1) == classes).double().mean()) for some in (others, nothing))
    return {"outcome": (same - chance) / (1 - chance), "divergence": max(left, 0.0)}


def figures(network: Trained, ranked: Matrices) -> dict[str, float]:
    """Share kept by the strongest links, and lost without them, averaged over `SHARES`."""
    x, generator = network.test_x, torch.Generator().manual_seed(network.seed)
    with torch.no_grad():
        outputs, at_rows = network.net(x), sources(network.net, x)
        means = [h.mean(0).expand(len(x), -1) for h in sources(network.net, network.x)]
    baselines = {"mean": [means], "other": []}
    for _ in range(OTHERS):
        order = torch.randperm(len(x), generator=generator)
        baselines["other"].append([h[order] for h in at_rows])
    found: dict[str, list[float]] = {}
    for name, several in baselines.items():
        for others in several:
            none = [torch.zeros(matrix.shape, dtype=torch.bool) for matrix in ranked]
            nothing = with_links(network.net, x, none, others)
            for share in SHARES:
                kept = strongest(ranked, share, network.seed)
                for what, masks in (("kept", kept), ("lost", [~mask for mask in kept])):
                    moved = with_links(network.net, x, masks, others)
                    for by, left in decision_left(network, outputs, moved, nothing).items():
                        part = left if what == "kept" else 1 - left
                        found.setdefault(f"{what}, {name}, {by}", []).append(part)
    return {name: float(np.mean(values)) for name, values in found.items()}


RANKINGS: dict[str, Callable[[Trained], Matrices]] = {
    "currents": currents,
    "EAP-IG": eap_ig,
    "weight x deviation": weight_times_deviation,
    "association": association,
    "random": at_random,
}


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each ranking of the links of a network."""
    kind = {
        "data": network.data.name,
        "classes": network.classes,
        "hidden": network.hidden,
        "seed": network.seed,
    }
    return [{**kind, "of": name, **figures(network, rank(network))} for name, rank in RANKINGS.items()]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over networks, and currents over EAP-IG."""
    means = rows.groupby("of")[list(FIGURES)].mean().loc[list(RANKINGS)]
    means.loc["currents / EAP-IG"] = means.loc["currents"] / means.loc["EAP-IG"]
    return means


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Currents minus the others, over networks."""
    return differences(rows, FIGURES).T
