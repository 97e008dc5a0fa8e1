"""Pruning rules that read the information flow: silent units, and throughput."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.network.unit_groups import UnitIds
from nif.pruning.problem import Subject
from nif.pruning.rules.rule import sum_over_layers


def silent(subject: Subject, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Minus the q-value of "no information flows through this unit"; constant units come before all others.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    table = subject.flow.neurons()
    worth = -table["q_value"].fillna(1.0)
    scores = {}
    for layer, constant in zip(subject.flow.layers, subject.flow.constant, strict=True):
        if layer.name in subject.hidden:
            scores[layer.name] = np.where(constant, -2.0, worth.loc[layer.name].to_numpy())
    return sum_over_layers(subject, units, scores)


def silent_units(subject: Subject, alpha: float) -> UnitIds:
    """Labels of the hidden units that are silent, in every layer where they are seen; constant ones first."""
    rows = subject.flow.silent(alpha).index
    quiet, heard = [], []
    for layer, labels in subject.hidden.items():
        names = next(found.units for found in subject.flow.layers if found.name == layer)
        mask = np.array([(layer, name) in rows for name in names], dtype=bool)
        quiet.append(labels[mask])
        heard.append(labels[~mask])
    found = (
        np.setdiff1d(np.concatenate(quiet), np.concatenate(heard)) if quiet else np.zeros(0, dtype=np.int64)
    )
    return found[np.argsort(silent(subject, found, 0), kind="stable")]


def throughput(subject: Subject, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Throughput of each unit in the flow, as a share of its layer's mean.

    Layers of different width carry different amounts; without the share a wide layer would go first.
    """
    table = subject.flow.neurons()["throughput"]
    scores = {}
    for layer in subject.hidden:
        values = table.loc[layer].to_numpy(dtype=np.float64)
        scores[layer] = values / max(float(np.abs(values).mean()), np.finfo(np.float64).tiny)
    return sum_over_layers(subject, units, scores)
