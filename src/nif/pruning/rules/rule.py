"""The contract of a pruning rule, and what several rules need."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import PruningProblem

Rule = Callable[[PruningProblem, UnitIds, int], Float[np.ndarray, " unit"]]
"""``rule(problem, units, seed)``: one importance a unit, comparable across layers; the lowest are removed."""


def sum_over_layers(
    units: UnitIds, layers: Iterable[tuple[UnitIds, np.ndarray]]
) -> Float[np.ndarray, " unit"]:
    """Values of each layer in the order of `units`; those of places that are one unit are added.

    Example:
        >>> sum_over_layers(np.array([7, 3]), [(np.array([3, 7]), np.ones(2)), (np.array([3]), np.ones(1))])
        array([1., 2.])
    """
    total, order = np.zeros(len(units)), np.argsort(units)
    for labels, values in layers:
        known = np.isin(labels, units)
        np.add.at(total, order[np.searchsorted(units[order], labels[known])], values[known])
    return total


def ranks(units: UnitIds, order: UnitIds) -> Float[np.ndarray, " unit"]:
    """The place of each of `units` in `order`."""
    place = {label: rank for rank, label in enumerate(order.tolist())}
    return np.array([place[label] for label in units.tolist()], dtype=np.float64)
