"""Whether currents stay inside the circuit of a network whose circuit is known.

The transformers of `handmade.py` have a few weights that do the work and many more that do nothing. The
circuit is also found by force: a weight is in it if the output changes once it is set to 0. Printed for each
way to rank the weights that are not 0:

- *mass*: the part of the sum of sizes that is on the circuit;
- *AUC*: the probability that a weight of the circuit is ranked ahead of another one, ties counting half;
- *AUC, moved*: the same, where of the circuit only those weights count whose input depends on the data.
  Others, such as those that make a head attend to the position before, hold what the data cannot move, so
  that no information flows through them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import nif
from handmade import HAND_MADE, HandMade
from nif.comparison.link_problem import LinkProblem
from nif.comparison.link_rankings import patching
from nif.measures.currents.decisions import decided_by
from nif.network.decision import Decision
from nif.network.forward import Forward

ROWS, SMALL_ROWS = 120, 60

OTHERS, STEPS = 4, 16

FELT = 1e-3
"""Part of the largest output that a weight of the circuit changes at least one output by, without it."""

Ranked = dict[str, np.ndarray]
"""A number for each weight, by the name of the Linear module."""


def linears(net: nn.Module) -> dict[str, nn.Linear]:
    """The modules that have weights."""
    return {name: module for name, module in net.named_modules() if isinstance(module, nn.Linear)}


@torch.no_grad()
def circuit(made: HandMade) -> dict[str, np.ndarray]:
    """Which weights change an output once they are set to 0."""
    before = made.net(made.x)
    least, found = FELT * float(before.abs().max()), {}
    for name, module in linears(made.net).items():
        felt = np.zeros(module.weight.shape, bool)
        for place in zip(*np.nonzero(module.weight.numpy()), strict=True):
            value = float(module.weight[place])
            module.weight[place] = 0
            felt[place] = float((made.net(made.x) - before).abs().max()) > least
            module.weight[place] = value
        found[name] = felt
    return found


def observed(net: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Inputs and outputs of all Linear modules, and the output of the network."""
    inputs, outputs, handles = dict[str, Tensor](), dict[str, Tensor](), []
    for name, module in linears(net).items():

        def keep(_: nn.Module, given: tuple[Tensor, ...], returned: Tensor, name: str = name) -> None:
            inputs[name], outputs[name] = given[0], returned

        handles.append(module.register_forward_hook(keep))
    try:
        output = net(x)
    finally:
        for handle in handles:
            handle.remove()
    return inputs, outputs, output


def currents(made: HandMade) -> Ranked:
    """The size of the current through each weight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = nif.measure(made.net, made.x, nif.Currents(by_class=False), progress=False)
    return {name: np.abs(flow.weights(f"{name}.weight").nats) for name in linears(made.net)}


def eap_ig(made: HandMade) -> Ranked:
    """Edge attribution patching with integrated gradients, for each weight.

    References:
        Hanna, Pezzelle & Belinkov (2024), https://arxiv.org/abs/2403.17806
    """
    generator = torch.Generator().manual_seed(0)
    x = made.x.repeat(OTHERS, 1, 1)
    z = made.x[torch.randint(len(made.x), (len(x),), generator=generator)]
    return patching(problem(made), x, z, [(step + 0.5) / STEPS for step in range(STEPS)])


def problem(made: HandMade) -> LinkProblem:
    """For the rankings that NIF compares itself with; its flow is not read by those."""
    net, unread = copy.deepcopy(made.net).requires_grad_(False), cast(Any, None)
    decision = Decision.of(Forward(net), (made.x,))
    decided = decided_by(decision, net(made.x), None, 0.2, None)
    return LinkProblem(net, linears(net), decided, made.x, unread, unread, seed=0)


def taylor(made: HandMade) -> Ranked:
    """The size of a weight times the gradient of the loss.

    References:
        Molchanov et al. (2019), https://arxiv.org/abs/1906.10771
    """
    weights = {name: module.weight for name, module in linears(made.net).items()}
    outputs = made.net(made.x)
    if made.right.dtype == torch.int64:
        loss = nn.functional.cross_entropy(outputs, made.right)
    else:
        loss = nn.functional.mse_loss(outputs, made.right + 0.1)  # where it is right, the slope is 0
    slopes = torch.autograd.grad(loss, list(weights.values()))
    return {
        name: (weight * slope).abs().detach().numpy()
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }


def weight_times_deviation(made: HandMade) -> Ranked:
    """The size of a weight times the deviation of its source over rows and positions."""
    with torch.no_grad():
        inputs, _, _ = observed(made.net, made.x)
    return {
        name: (module.weight.abs() * inputs[name].flatten(0, -2).std(0)).detach().numpy()
        for name, module in linears(made.net).items()
    }


def weight(made: HandMade) -> Ranked:
    """The size of a weight."""
    return {name: module.weight.abs().detach().numpy() for name, module in linears(made.net).items()}


RANKINGS: dict[str, Callable[[HandMade], Ranked]] = {
    "currents": currents,
    "EAP-IG": eap_ig,
    "Taylor": taylor,
    "weight x deviation": weight_times_deviation,
    "weight": weight,
}


def moved(made: HandMade) -> dict[str, np.ndarray]:
    """Whether the source of each weight depends on the data, at any position."""
    with torch.no_grad():
        inputs, _, _ = observed(made.net, made.x)
    return {
        name: np.broadcast_to(
            (inputs[name] - inputs[name][:1]).flatten(0, -2).abs().amax(0).numpy() > 0, module.weight.shape
        )
        for name, module in linears(made.net).items()
    }


def of_network(made: HandMade) -> list[dict[str, object]]:
    """One row for each ranking."""
    net = made.net
    real = np.concatenate([(each.weight != 0).numpy().ravel() for each in linears(net).values()])
    felt, fed = (
        np.concatenate([each.ravel() for each in found(made).values()])[real] for found in (circuit, moved)
    )
    outputs = net(made.x).detach()
    if made.right.dtype == torch.int64:
        right = float((outputs.argmax(1) == made.right).float().mean())
    else:
        right = 1 - float((outputs - made.right).square().mean() / made.right.var())
    rows: list[dict[str, object]] = []
    for name, rank in RANKINGS.items():
        sizes = np.concatenate([each.ravel() for each in rank(made).values()]).astype(np.float64)[real]
        seen = ~felt | fed
        rows.append(
            {
                "network": made.name,
                "right": right,
                "weights": int(real.sum()),
                "in circuit": int(felt.sum()),
                "of": name,
                "mass": float(sizes[felt].sum() / sizes.sum()),
                "AUC": float(roc_auc_score(felt, sizes)),
                "AUC, moved": float(roc_auc_score(felt[seen], sizes[seen])),
            }
        )
    return rows


def tables(*, small: bool) -> dict[str, pd.DataFrame]:
    """One row for each network and ranking."""
    rows = SMALL_ROWS if small else ROWS
    makers = HAND_MADE[2:] if small else HAND_MADE
    made = [make(rows, torch.Generator().manual_seed(0)) for make in makers]
    found = pd.DataFrame([row for each in made for row in of_network(each)])
    found = found.set_index(["network", "right", "weights", "in circuit", "of"])
    return {"weights of networks written by hand": found.round(4)}
