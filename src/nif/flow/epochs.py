"""Epochs of a training run: layers, silent units and communities that keep their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from nif.core.html import short, table
from nif.flow import communities as structure
from nif.flow.flow import Flow
from nif.flow.significance import silent_units


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The units of a flow, layer after layer, without betweenness, which takes long to compute.

    Attributes:
        flow: The measured flow.
        inflow: Nats into each unit.
        outflow: Nats out of each unit.
        silent: Whether each unit is silent, as in `nif.Flow.neurons`.
        community: The community of each unit, -1 for none.
        modularity: Clarity of the communities.
    """

    flow: Flow
    inflow: Float[np.ndarray, " unit"]
    outflow: Float[np.ndarray, " unit"]
    silent: Bool[np.ndarray, " unit"]
    community: Int[np.ndarray, " unit"]
    modularity: float

    @classmethod
    def of(cls, flow: Flow) -> Snapshot:
        """The snapshot of a flow.

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

    The last epoch keeps its numbers; going back, every epoch takes the numbers with which most units keep the
    number that they have one epoch later (an assignment problem). Groups without a successor get new numbers.

    Example:
        >>> matched = match_communities([np.array([1, 1, 0, 2]), np.array([0, 0, 1, 1])])
        >>> [label.tolist() for label in matched]
        [[0, 0, 1, 2], [0, 0, 1, 1]]
    """
    matched = [labels[-1]]
    free = int(labels[-1].max(initial=-1)) + 1
    for label in reversed(labels[:-1]):
        groups, after = np.unique(label[label >= 0]), np.unique(matched[0][matched[0] >= 0])
        together = np.array([[((label == a) & (matched[0] == b)).sum() for b in after] for a in groups])
        chosen = linear_sum_assignment(-together) if together.size else ((), ())
        number = {groups[a]: int(after[b]) for a, b in zip(*chosen, strict=True) if together[a, b]}
        for group in groups:
            if group not in number:
                number[group] = free
                free += 1
        matched.insert(0, np.array([number.get(group, structure.NO_COMMUNITY) for group in label]))
    return matched


MOST_LAYERS = 24


def html_table(title: str, snapshots: dict[int, Snapshot]) -> str:
    """The layers at the first epoch measured and at the last."""
    if not snapshots:
        return table(pd.DataFrame(), title=title)
    begin, end = min(snapshots), max(snapshots)
    first, last = (snapshots[epoch].table()[:MOST_LAYERS] for epoch in (begin, end))
    cells = {
        "layer": [short(str(name)) for name in last["layer"]],
        "units": last["units"].map("{:,}".format),
        f"nats in, epoch {begin}": first["inflow"].map("{:.3f}".format),
        f"nats in, epoch {end}": last["inflow"].map("{:.3f}".format),
        f"silent, epoch {begin}": first["silent"].map("{:,}".format),
        f"silent, epoch {end}": last["silent"].map("{:,}".format),
    }
    bars = {
        f"nats in, epoch {end}": (last["inflow"] / max(last["inflow"].max(), 1e-300)).tolist(),
        f"silent, epoch {end}": (last["silent"] / last["units"]).tolist(),
    }
    left_out = len(snapshots[end].flow.layers) - MOST_LAYERS
    below = [f"{left_out:,} more layers are in table()"] if left_out > 0 else []
    below += [f"Modularity {snapshots[begin].modularity:.3f}, then {snapshots[end].modularity:.3f}"]
    return table(pd.DataFrame(cells), title=title, below=below, bars=bars)
