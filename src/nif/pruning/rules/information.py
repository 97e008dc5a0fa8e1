"""Pruning rules that read the information flow: silent units, and throughput."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem, all_labels
from nif.pruning.rules.rule import sum_over_layers


def silent(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Minus the q-value of "no information flows through this unit"; constant units come before all others.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    importance = -problem.flow.neurons()["q_value"].fillna(1.0)
    layers = [
        (problem.hidden[layer.name], np.where(constant, -2.0, importance.loc[layer.name].to_numpy()))
        for layer, constant in zip(problem.flow.layers, problem.flow.constant, strict=True)
        if layer.name in problem.hidden
    ]
    return sum_over_layers(units, layers)


def silent_units(problem: PruningProblem, alpha: float) -> UnitIds:
    """Labels of the hidden units that are silent in every layer where they appear; constant ones first."""
    rows = problem.flow.silent(alpha).index
    silent_in, active_in = {}, {}
    for layer in problem.flow.layers:
        if layer.name in problem.hidden:
            mask = np.array([(layer.name, unit) in rows for unit in layer.units], dtype=bool)
            labels = problem.hidden[layer.name]
            silent_in[layer.name], active_in[layer.name] = labels[mask], labels[~mask]
    units = np.setdiff1d(all_labels(silent_in), all_labels(active_in))
    return units[np.argsort(silent(problem, units, 0), kind="stable")]


def throughput(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Throughput of each unit in the flow, relative to the mean of its layer.

    Layers of different width carry different amounts: unscaled, a wide layer would be removed first.
    """
    table = problem.flow.neurons()["throughput"]
    layers = []
    for layer, labels in problem.hidden.items():
        values = table.loc[layer].to_numpy(dtype=np.float64)
        layers.append((labels, values / max(float(np.abs(values).mean()), np.finfo(np.float64).tiny)))
    return sum_over_layers(units, layers)
