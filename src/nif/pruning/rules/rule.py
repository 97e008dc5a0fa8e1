"""What a pruning rule is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import Subject

Rule = Callable[[Subject, UnitIds, int], Float[np.ndarray, " unit"]]
"""``rule(subject, units, seed)``: one score for each unit, comparable across layers; the lowest go first."""


def sum_over_layers(
    subject: Subject, units: UnitIds, by_layer: dict[str, np.ndarray]
) -> Float[np.ndarray, " unit"]:
    """Scores by layer, put in the order of `units`; those of units that are one are added up."""
    total = np.zeros(len(units))
    order = np.argsort(units)
    for layer, scores in by_layer.items():
        labels = subject.hidden[layer]
        known = np.isin(labels, units)
        place = order[np.searchsorted(units[order], labels[known])]
        np.add.at(total, place, np.asarray(scores, dtype=np.float64)[known])
    return total


def ranks(units: UnitIds, order: UnitIds) -> Float[np.ndarray, " unit"]:
    """The place of each of `units` in `order`.

    Example:
        >>> ranks(np.array([7, 3, 5]), np.array([5, 7, 3])).tolist()
        [1.0, 2.0, 0.0]
    """
    place = {label: rank for rank, label in enumerate(order.tolist())}
    return np.array([place[label] for label in units.tolist()], dtype=np.float64)
