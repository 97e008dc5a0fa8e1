"""A pruning rule without an information flow, for comparison: the norm of the weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem
from nif.pruning.rules.rule import sum_over_layers


def magnitude(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Norm of the weights that compute a unit, relative to the mean norm in its layer.

    For units that no Linear or full convolution computes it is that of the numbers which scale them.

    References:
        Li et al. (2017), Pruning filters for efficient convnets, https://arxiv.org/abs/1608.08710
    """
    weights, groups = problem.weights, problem.weights.groups
    computed = {name: groups.of(rows) for name, rows in weights.rows.items()}
    scaled = {name: groups.of(rows) for name, rows in weights.per_channel.items()}
    layers = []
    for name, labels in (*computed.items(), *scaled.items()):
        if name in scaled and any(np.isin(labels, others).any() for others in computed.values()):
            continue
        weight = problem.model.get_parameter(f"{name}.weight").detach().double()
        norms = weight.reshape(len(weight), -1).norm(dim=1).cpu().numpy()
        layers.append((labels, norms / max(norms.mean(), np.finfo(np.float64).tiny)))
    return sum_over_layers(units, layers)
