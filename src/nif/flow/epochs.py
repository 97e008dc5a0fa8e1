"""Epochs of a training run: layers, silent units and communities that keep their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nif.core.errors import InputError
from nif.core.html import short, table
from nif.flow.communities import NO_COMMUNITY
from nif.flow.flow import Flow

MOST_FEATURES = 6
"""Features whose currents are shown: those of the largest at the end."""


def check_measured(flows: Mapping[int, Flow]) -> None:
    """Refuse a run without epochs."""
    if not flows:
        raise InputError("Nothing has been measured yet; call watch.step(epoch) in the training loop.")


class CurrentsOfRun(NamedTuple):
    """The total over the epochs and the largest features by name, with halves of 95 % intervals; in nats."""

    total: Float[np.ndarray, " epoch"]
    half: Float[np.ndarray, " epoch"]
    features: list[tuple[str, Float[np.ndarray, " epoch"], Float[np.ndarray, " epoch"]]]

    @classmethod
    def of(cls, seen: Sequence[Flow]) -> CurrentsOfRun:
        """Those of flows of currents."""
        totals = np.array([(flow.total.nats, flow.total.stderr) for flow in seen if flow.total is not None])
        tables = [flow.neurons()[["current", "stderr"]][: flow.graph.feature_count] for flow in seen]
        nats, errors = np.stack(tables).transpose(2, 0, 1)
        names, largest = seen[-1].attribution().index, np.argsort(-np.abs(nats[-1]), kind="stable")
        deviations = seen[-1].by_unit.deviations(0.95)
        features = [
            (str(names[place]), nats[:, place], deviations * errors[:, place])
            for place in largest[:MOST_FEATURES].tolist()
        ]
        return cls(totals[:, 0], deviations * totals[:, 1], features)


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
    from scipy.optimize import linear_sum_assignment  # here: a long import

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
        matched.insert(0, np.array([number.get(group, NO_COMMUNITY) for group in label]))
    return matched


MOST_LAYERS = 24


def html_table(title: str, flows: dict[int, Flow]) -> str:
    """The layers at the first epoch measured and at the last."""
    if not flows:
        return table(pd.DataFrame(), title=title)
    begin, end = min(flows), max(flows)
    first, last = (flows[epoch].by_unit.by_layer()[:MOST_LAYERS] for epoch in (begin, end))
    cells = {
        "layer": last["layer"].map(short),
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
    left_out = len(flows[end].layers) - MOST_LAYERS
    below = [f"{left_out:,} more layers are in table()"] if left_out > 0 else []
    below += [f"Modularity {flows[begin].modularity:.3f}, then {flows[end].modularity:.3f}"]
    return table(pd.DataFrame(cells), title=title, below=below, bars=bars)


def write_curves(writer: Any, epoch: int, flow: Flow) -> None:
    """One curve for each layer and quantity; of currents one for the total, which every layer carries."""
    table = flow.by_unit.by_layer()
    if flow.total is not None:
        writer.add_scalar("nif/total", float(flow.total), epoch)
    for column in ("inflow", "outflow", "silent") if flow.total is None else ("silent",):
        for layer, value in zip(table["layer"], table[column], strict=True):
            writer.add_scalar(f"nif/{column}/{layer}", float(value), epoch)
    writer.add_scalar("nif/modularity", flow.modularity, epoch)
