"""A few rows with their own decision and their own currents, beside the average of all."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import lambertw

from nif.core.types import CurrentTables
from nif.flow.currents import of_features

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_CLASSES = 5
"""Classes that have an example; of more, those that most rows are decided for."""

MOST_FEATURES = 20_000
"""Above, the page holds no examples: their numbers would be most of it."""

CLOSE = 0.01
"""How far the probabilities of a row may sum from 1."""

LEAST_TERM = -1 / np.e * (1 - 1e-15)
"""Of p log p; at -1/e itself, as of a probability of 1/e, scipy gives NaN."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows to show.

    Attributes:
        meta: Of each, its number, why it was chosen, its decision and the nats that its features give.
        currents: Of its features.
        values: What its features are; None if the flow does not hold them, as one from a file.
    """

    meta: list[dict[str, Any]]
    currents: Float[np.ndarray, "row feature"]
    values: Float[np.ndarray, "row feature"] | None


def examples(flow: Flow) -> Examples | None:
    """One usual row of each class that the network decides for, and the least certain row.

    A usual row has the median of the information of all rows that are decided as it is. Where no classes are
    decided, the rows are at the quartiles of the information.

    Returns:
        None where the flow holds no currents of rows, or has too many features.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> found = examples(nif.measure(net, torch.randn(40, 3), progress=False))
        >>> found.meta[-1]["why"], found.currents.shape == (len(found.meta), 3)
        ('the least certain', True)
    """
    tables = flow.currents
    currents = None if tables is None else of_features(tables, flow.graph.features, "rows")
    if tables is None or tables.rows is None or currents is None or currents.shape[1] > MOST_FEATURES:
        return None
    decided, gained = decisions(flow, tables), currents.sum(axis=1)
    chosen = _at_quartiles(gained) if decided is None else _of_classes(decided, gained, tables.classes)
    meta = [
        {
            "number": int(tables.rows[place]),
            "why": why,
            "decision": None if decided is None else _decision(decided[place], tables.classes),
            "nats": float(gained[place]),
        }
        for place, why in chosen.items()
    ]
    places, values = list(chosen), tables.row_features
    numbers = values is not None and values.dtype.kind in "buif" and values.shape == currents.shape
    shown = values[places].astype(np.float64) if values is not None and numbers else None
    return Examples(meta, currents[places], shown)


def decisions(flow: Flow, tables: CurrentTables) -> Float[np.ndarray, "row class"] | None:
    """The probabilities of the classes in each explained row; None where no classes are decided.

    A flow holds :math:`p \\log p` of every class. Each has two solutions, one on either side of 1/e; at most
    two classes are above 1/e, so the one choice whose probabilities sum to 1 is found by trying them all.
    """
    count = len(tables.classes)
    every = count in (len(flow.layers[-1]), 2 * len(flow.layers[-1])) and count > 1
    if tables.row_value is None or not every or tables.row_value.shape[1] != count:
        return None
    if str(flow.measurement.options.get("decision", "")).startswith("the label"):
        return None
    terms = np.clip(tables.row_value, LEAST_TERM, 0)
    terms = np.where(terms > -np.finfo(np.float64).tiny, 0.0, terms)  # of these scipy gives NaN
    high, low = (np.exp(np.real(lambertw(terms, branch))) for branch in (0, -1))
    several = [chosen for size in range(3) for chosen in itertools.combinations(range(count), size)]
    above = np.array([[number in chosen for number in range(count)] for chosen in several])
    sums = low.sum(axis=1)[:, None] + (high - low) @ above.T
    best = above[np.abs(sums - 1).argmin(axis=1)]
    found = np.where(best, high, low)
    return None if (np.abs(found.sum(axis=1) - 1) > CLOSE).any() else found


def _of_classes(
    decided: Float[np.ndarray, "row class"], gained: Float[np.ndarray, " row"], names: tuple[str, ...]
) -> dict[int, str]:
    """Places of the rows, and why they are chosen."""
    label = decided.argmax(axis=1)
    classes, counts = np.unique(label, return_counts=True)
    most = np.sort(classes[np.argsort(-counts, kind="stable")[:MOST_CLASSES]])
    chosen = {}
    for number in most.tolist():
        members = np.flatnonzero(label == number)
        order = members[np.argsort(gained[members], kind="stable")]
        chosen[int(order[len(order) // 2])] = f"usual for {names[number]}"
    least = int(decided.max(axis=1).argmin())
    return chosen | {least: "the least certain"}


def _at_quartiles(gained: Float[np.ndarray, " row"]) -> dict[int, str]:
    order = np.argsort(gained, kind="stable")
    names = ("least information", "first quartile", "median", "third quartile", "most information")
    places = np.linspace(0, len(order) - 1, len(names)).round().astype(int)
    return {int(order[place]): name for place, name in zip(places, names, strict=True)}


def _decision(probabilities: Float[np.ndarray, " class"], names: tuple[str, ...]) -> list[tuple[str, float]]:
    """The most probable classes."""
    order = np.argsort(-probabilities, kind="stable")[:3]
    return [(names[number], float(probabilities[number])) for number in order]
