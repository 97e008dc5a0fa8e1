"""The share of a decision that chosen links or units of a network of ReLU layers carry.

The strongest share q of all is kept, or removed, for several q. What is not kept stands at its mean, or at
its value in another row. *Kept* and *lost* are shares of the decision, between that with nothing, 0, and with
all, 1, as averages over q: by *outcome*, the rows that are still given their class (for values, what is
explained of the output); and by *divergence*, of the decision with all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from faithfulness_data import Trained

DRAWS = 5
"""Of other rows."""

FIGURES = tuple(
    f"{what}, {name}, {by}"
    for by in ("outcome", "divergence")
    for name in ("mean", "other")
    for what in ("kept", "lost")
)

Ranked = list[np.ndarray]
"""A number for each link of each Linear module, ``[target, source]``, or for each unit of a hidden layer."""

Carried = Callable[[nn.Sequential, Tensor, Sequence[Tensor], Sequence[Tensor]], Tensor]
"""The output where only what the masks choose is what it is; given are the net, rows, masks, and the other
inputs of each Linear module."""


def linears(net: nn.Sequential) -> list[nn.Linear]:
    """The modules that have links."""
    return [module for module in net if isinstance(module, nn.Linear)]


def sources(net: nn.Sequential, x: Tensor) -> list[Tensor]:
    """The input of each Linear module."""
    found = []
    for module in net:
        if isinstance(module, nn.Linear):
            found.append(x)
        x = module(x)
    return found


def divergence(network: Trained, outputs: Tensor, others: Tensor) -> Tensor:
    """Of each row, from its decision: Kullback-Leibler's, or the squared error in variances of the output."""
    if network.classes:
        known = outputs.log_softmax(-1)
        return (known.exp() * (known - others.log_softmax(-1))).sum(-1)
    return ((outputs - others).square() / outputs.var(0)).sum(-1)


def strongest(ranked: Ranked, share: float, seed: int) -> list[Tensor]:
    """Masks of the strongest share of all, ties in random order."""
    strength = np.concatenate([values.ravel() for values in ranked])
    ties = np.random.default_rng(seed).random(len(strength))
    chosen = np.zeros(len(strength), bool)
    chosen[np.lexsort((ties, -strength))[: max(1, round(share * len(strength)))]] = True
    parts = np.split(chosen, np.cumsum([values.size for values in ranked])[:-1])
    return [torch.from_numpy(part.reshape(values.shape)) for part, values in zip(parts, ranked, strict=True)]


def decision_left(network: Trained, outputs: Tensor, others: Tensor, nothing: Tensor) -> dict[str, float]:
    """Share of the decision that other outputs still have, between that of nothing, 0, and all, 1."""
    gone = float(divergence(network, outputs, nothing).mean())
    left = 1 - float(divergence(network, outputs, others).mean()) / gone
    if not network.classes:
        return {"outcome": max(left, 0.0), "divergence": max(left, 0.0)}
    classes = outputs.argmax(1)
    same, chance = (float((some.argmax(1) == classes).double().mean()) for some in (others, nothing))
    return {"outcome": (same - chance) / (1 - chance), "divergence": max(left, 0.0)}


@torch.no_grad()
def figures(network: Trained, ranked: Ranked, carried: Carried, shares: Sequence[float]) -> dict[str, float]:
    """Share kept by the strongest, and lost without them, averaged over shares."""
    x, generator = network.test_x, torch.Generator().manual_seed(network.seed)
    outputs, at_rows = network.net(x), sources(network.net, x)
    replaced = [("mean", [h.mean(0).expand(len(x), -1) for h in sources(network.net, network.x)])]
    for _ in range(DRAWS):
        order = torch.randperm(len(x), generator=generator)
        replaced.append(("other", [h[order] for h in at_rows]))
    none = [torch.zeros(values.shape, dtype=torch.bool) for values in ranked]
    chosen = [strongest(ranked, share, network.seed) for share in shares]
    found: dict[str, list[float]] = {}
    for name, others in replaced:
        nothing = carried(network.net, x, none, others)
        for kept in chosen:
            for what, masks in (("kept", kept), ("lost", [~mask for mask in kept])):
                moved = carried(network.net, x, masks, others)
                for by, left in decision_left(network, outputs, moved, nothing).items():
                    part = left if what == "kept" else 1 - left
                    found.setdefault(f"{what}, {name}, {by}", []).append(part)
    return {name: float(np.mean(values)) for name, values in found.items()}
