"""What is kept of one epoch beside its flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from nif.core.html import Cell, Row, short, table
from nif.flow import communities as structure
from nif.flow.flow import Flow
from nif.flow.significance import silent_units


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The units of a flow, layer after layer, without what takes long to compute (betweenness).

    Attributes:
        flow: What was measured.
        inflow: Nats into each unit.
        outflow: Nats out of it.
        silent: Whether it is silent, as in `nif.Flow.neurons`.
        community: Its community, -1 for none.
        modularity: How clear the communities are.
    """

    flow: Flow
    inflow: Float[np.ndarray, " unit"]
    outflow: Float[np.ndarray, " unit"]
    silent: Bool[np.ndarray, " unit"]
    community: Int[np.ndarray, " unit"]
    modularity: float

    @classmethod
    def of(cls, flow: Flow) -> Snapshot:
        """Look at a flow.

        Example:
            >>> from nif.flow.flow import example
            >>> Snapshot.of(example()).inflow.round(3).tolist()
            [0.0, 0.0, 0.5, 0.3, 0.2]
        """
        sizes = [len(layer) for layer in flow.layers]
        graph = structure.Graph.of(sizes, flow.links, structure.MOST_LINKS)
        grouping = structure.communities(graph, seed=flow.measurement.seed)
        return cls(
            flow,
            structure.inflow(sizes, flow.links),
            structure.outflow(sizes, flow.links),
            silent_units(flow.links, flow.constant),
            grouping.label,
            grouping.modularity,
        )

    @property
    def first(self) -> Int[np.ndarray, " layer"]:
        """The first unit of each layer."""
        return np.cumsum([0, *(len(layer) for layer in self.flow.layers[:-1])])

    def table(self) -> pd.DataFrame:
        """One row for each layer."""
        ends = self.first[1:]
        return pd.DataFrame(
            {
                "layer": [layer.name for layer in self.flow.layers],
                "units": [len(layer) for layer in self.flow.layers],
                "inflow": np.add.reduceat(self.inflow, self.first),
                "outflow": np.add.reduceat(self.outflow, self.first),
                "silent": np.add.reduceat(self.silent.astype(int), self.first),
                "communities": [len(np.unique(part[part >= 0])) for part in np.split(self.community, ends)],
                "modularity": self.modularity,
            }
        )


def silent_since(epochs: Sequence[int], silent: Bool[np.ndarray, "epoch unit"]) -> list[int | None]:
    """The first epoch from which a unit was silent to the end; None if it is not silent at the end.

    Example:
        >>> silent_since([0, 5, 9], np.array([[True, False], [False, False], [True, False]]))
        [9, None]
    """
    still = np.logical_and.accumulate(silent[::-1])[::-1]
    return [
        epochs[int(first)] if ends else None for first, ends in zip(still.argmax(0), still[-1], strict=True)
    ]


def match_communities(labels: Sequence[Int[np.ndarray, " unit"]]) -> list[Int[np.ndarray, " unit"]]:
    """Communities renumbered so that one keeps its number while its units stay together.

    The last epoch keeps its numbers; going back, every epoch takes those that leave most units with the
    number they have one epoch later (an assignment problem). Groups without a successor get numbers of their
    own.

    Example:
        >>> [each.tolist() for each in match_communities([np.array([1, 1, 0, 2]), np.array([0, 0, 1, 1])])]
        [[0, 0, 1, 2], [0, 0, 1, 1]]
    """
    found = [labels[-1]]
    free = int(labels[-1].max(initial=-1)) + 1
    for label in reversed(labels[:-1]):
        groups, after = np.unique(label[label >= 0]), np.unique(found[0][found[0] >= 0])
        together = np.array([[((label == a) & (found[0] == b)).sum() for b in after] for a in groups])
        chosen = linear_sum_assignment(-together) if together.size else ((), ())
        number = {groups[a]: int(after[b]) for a, b in zip(*chosen, strict=True) if together[a, b]}
        for group in groups:
            if group not in number:
                number[group] = free
                free += 1
        found.insert(0, np.array([number.get(group, structure.NO_COMMUNITY) for group in label]))
    return found


MOST_LAYERS = 24


def html_table(title: str, seen: dict[int, Snapshot]) -> str:
    """What the layers were at the first epoch measured and are at the last."""
    if not seen:
        return table([], [], title=title)
    first, last = (seen[epoch].table() for epoch in (min(seen), max(seen)))
    most = max(float(last["inflow"].max()), 1e-300)
    rows: list[Row] = [
        [
            short(str(name)),
            f"{units:,}",
            f"{before:.3f}",
            Cell(f"{after:.3f}", filled=after / most),
            f"{awake:,}",
            Cell(f"{quiet:,}", filled=quiet / units),
        ]
        for name, units, before, after, awake, quiet in zip(
            last["layer"],
            last["units"],
            first["inflow"],
            last["inflow"],
            first["silent"],
            last["silent"],
            strict=True,
        )
    ]
    left_out = len(rows) - MOST_LAYERS
    below = [f"{left_out:,} more layers are in table()"] if left_out > 0 else []
    head = ["layer", "units"]
    head += [f"{what}, epoch {epoch}" for what in ("nats in", "silent") for epoch in (min(seen), max(seen))]
    below += [f"Modularity {seen[min(seen)].modularity:.3f}, then {seen[max(seen)].modularity:.3f}"]
    return table(head, rows[:MOST_LAYERS], title=title, below=below)
