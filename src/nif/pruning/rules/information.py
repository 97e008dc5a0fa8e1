"""Pruning rules that read the flow: silent units, throughput, and currents."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.core.errors import InputError
from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem, all_labels
from nif.pruning.rules.rule import sum_over_layers


def silent(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Minus the q-value of "no information flows through this unit"; constant units come before all others.

    In a flow of currents, the mean absolute current of a row, which is what makes a unit silent there.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    table = problem.flow.neurons()
    importance = -table["q_value"].fillna(1.0) if problem.flow.currents is None else table["absolute"]
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

    Layers of different width carry different amounts: unscaled, a wide layer would be removed first. In a
    flow of currents a unit that speaks against the decision is used as well: the sign does not count.
    """
    table = problem.flow.neurons()["throughput"].abs()
    layers = []
    for layer, labels in problem.hidden.items():
        values = table.loc[layer].to_numpy(dtype=np.float64)
        layers.append((labels, values / max(float(values.mean()), np.finfo(np.float64).tiny)))
    return sum_over_layers(units, layers)


def current(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Absolute value of the current through each unit, relative to the mean of its layer.

    Raises:
        InputError: The flow is not one of currents.
    """
    if problem.flow.currents is None:
        raise InputError(
            "rule='current' needs a flow of currents and this one is of association; measure with "
            "nif.Currents(), or use rule='throughput'."
        )
    return throughput(problem, units, seed)
