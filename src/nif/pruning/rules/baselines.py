"""A pruning rule without an information flow, for comparison: the norm of the weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.network.units import UnitWeights
from nif.pruning.problem import PruningProblem


def magnitude(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Norm of the weights that compute a unit, relative to the mean norm in its layer.

    References:
        Li et al. (2017), Pruning filters for efficient convnets, https://arxiv.org/abs/1608.08710
    """
    labels, total = problem.weights.groups, np.zeros(len(units))
    order = np.argsort(units)
    computing = {**problem.weights.rows, **_only_scaled(problem.weights)}
    for name, rows in computing.items():
        computed = labels.of(rows)
        weight = problem.model.get_parameter(f"{name}.weight").detach().double()
        norms = weight.reshape(len(weight), -1).norm(dim=1).cpu().numpy()
        relative = norms / max(norms.mean(), np.finfo(np.float64).tiny)
        known = np.isin(computed, units)
        np.add.at(total, order[np.searchsorted(units[order], computed[known])], relative[known])
    return total


def _only_scaled(weights: UnitWeights) -> dict[str, UnitIds]:
    """Units that no Linear or full convolution computes, by the module with a number for each of them."""
    made = {label for units in weights.rows.values() for label in weights.groups.of(units).tolist()}
    return {
        name: units
        for name, units in weights.per_channel.items()
        if made.isdisjoint(weights.groups.of(units).tolist())
    }
