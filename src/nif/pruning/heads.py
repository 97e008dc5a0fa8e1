"""Heads of attention as units that are removed: their weights, a trial that they can go, and their choice."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nif.core.errors import unknown
from nif.network.unit_groups import UnitIds
from nif.network.units import UnitWeights
from nif.pruning.attention import Attention, attentions
from nif.pruning.problem import ATTENTION, PruningProblem, shared_weights
from nif.pruning.rules import Rule
from nif.pruning.selection import Candidates, check_fraction
from nif.pruning.trial import can_be_cut


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of a network that can be removed.

    Attributes:
        labels: Of the heads of each module of attention, by its name.
        left: Why other layers of attention are left whole.
    """

    labels: dict[str, UnitIds] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def rows(self, labels: UnitIds) -> list[tuple[str, str, int, int]]:
        """Module, name, index and label of those heads that are among some labels."""
        return [
            (name, f"head {index}", index, label)
            for name, heads in self.labels.items()
            for index, label in enumerate(heads.tolist())
            if label in labels
        ]


def with_heads(problem: PruningProblem) -> tuple[PruningProblem, Heads]:
    """The problem with a unit for each head, of all attention that a trial finds to lose heads safely.

    In the trial every second head of a module is removed, on a few rows: the outputs must be those of the
    network in which the output layer does not read these heads. Modules that do not work by themselves are
    tried with all of the same name in other blocks, as those of T5 read one table of positions.
    """
    shared, labels = shared_weights(problem.model), dict[str, UnitIds]()
    found = [
        attention
        for attention in attentions(problem.model)
        if attention.heads > 1
        and not shared.intersection(layers := _layers(attention))
        and problem.weights.rows.keys() & problem.weights.columns.keys() >= layers
    ]
    for together in (*([one] for one in found), *_by_name(found)):
        if all(one.name in labels for one in together):
            continue
        tried, heads = _joined(problem, together)
        if can_be_cut(tried, tried.weights.groups.of(heads)[::2], zeroed=False):
            problem, labels = tried, {**labels, **{one.name: heads for one in together}}
    labels = {name: problem.weights.groups.of(heads) for name, heads in labels.items()}
    left = {
        layer.name: "its module does not work with fewer heads"
        for layer in problem.flow.layers
        if layer.kind in ATTENTION
        and not any(layer.name == name or layer.name.startswith(f"{name}.") for name in labels)
    }
    return problem, Heads(labels, left)


def _layers(attention: Attention) -> set[str]:
    return {attention.output, *(layer for layer, _ in attention.blocks)}


def _by_name(found: Sequence[Attention]) -> list[list[Attention]]:
    """Attention of as many heads and of one name, but for numbers of blocks."""
    alike: dict[tuple[str, int], list[Attention]] = {}
    for one in found:
        alike.setdefault((re.sub(r"\d+", "", one.name), one.heads), []).append(one)
    return [several for several in alike.values() if len(several) > 1]


def _joined(problem: PruningProblem, together: Sequence[Attention]) -> tuple[PruningProblem, UnitIds]:
    """The problem in which each head is one unit, the same one in all of some modules."""
    weights = copy.deepcopy(problem.weights)
    first, *others = (_join(weights, attention) for attention in together)
    for heads in others:
        weights.groups.join(first, heads)
    return replace(problem, weights=weights), first


def _join(weights: UnitWeights, attention: Attention) -> UnitIds:
    """Make one unit of all weights of a head; one of the numbers of each."""
    columns = weights.columns[attention.output]
    first = weights.groups.new(attention.heads)
    for layer, places in attention.blocks:
        units = weights.groups.new(places.size)
        rows = weights.rows[layer].copy()
        rows[places.flatten()] = units
        weights.rows[layer] = rows
        weights.groups.join(units, np.repeat(first, places.shape[1]))
    read = weights.groups.new(len(columns))
    weights.columns[attention.output] = read
    weights.groups.join(read, np.repeat(first, len(columns) // attention.heads))
    if attention.table is not None:
        weights.tables[attention.table] = first
    return first


def chosen_heads(
    problem: PruningProblem, heads: Heads, fraction: float | Mapping[str, float], rule: Rule, seed: int
) -> Candidates:
    """The heads to remove, those of the least importance first; one of each module stays."""
    if isinstance(fraction, Mapping):
        for name in fraction:
            if name not in heads.labels:
                raise unknown("attention that can lose heads", str(name), heads.labels)
    named = fraction if isinstance(fraction, Mapping) else heads.labels
    units = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(heads.labels[name] for name in named)]))
    for share in fraction.values() if isinstance(fraction, Mapping) else [fraction]:
        check_fraction(share, "heads")
    if not len(units):
        return Candidates(units, units)
    ordered = units[np.argsort(rule(problem, units, seed), kind="stable")]
    last = [ordered[np.isin(ordered, labels)][-1:] for labels in heads.labels.values()]
    stays = np.isin(ordered, np.concatenate(last))
    if isinstance(fraction, Mapping):
        wanted = [
            ordered[np.isin(ordered, heads.labels[name])][: round(share * len(heads.labels[name]))]
            for name, share in fraction.items()
        ]
        chosen = np.isin(ordered, np.concatenate(wanted))
        return Candidates(ordered[chosen & ~stays], ordered[chosen & stays])
    return Candidates(ordered[~stays][: round(float(fraction) * len(units))], ordered[:0])
