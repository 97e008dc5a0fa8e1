"""The unit that every number on a tape comes from, or leads to.

A number that is moved, scaled or bent keeps its unit; where two units meet in one number, it has none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from nif.measures.currents.dependence import Dependence, dependence
from nif.measures.currents.tape import Tape

NONE = -1
"""Label of a number that comes from no unit."""

MIXED = -2
"""Label of a number that may come from several units."""

WEIGHTED = -3
"""Label of a number behind a weight, where that is told from no unit."""

_LARGEST = 2**62

Labels = Int[Tensor, "..."]


def merged(some: Labels, others: Labels) -> Labels:
    """The label of numbers that come from two others.

    Example:
        >>> merged(torch.tensor([3, 3, NONE]), torch.tensor([3, 4, 4])).tolist()
        [3, -2, 4]
    """
    both = torch.where((some == others) | (others == NONE), some, MIXED)
    return torch.where(some == NONE, others, both)


def spread(labels: Labels, begin: Labels | None, end: Labels, count: int) -> Labels:
    """Labels carried from numbers in groups to numbers that depend on these groups.

    Args:
        labels: Of the numbers at the beginning.
        begin: Their groups; None if each is its own; -1 for none.
        end: Groups of the numbers at the end.
        count: The number of groups.
    """
    if begin is not None:
        inside = (begin >= 0) & (labels != NONE)
        begin, labels = begin[inside], labels[inside]
        lowest = torch.full((count,), _LARGEST).scatter_reduce(0, begin, labels, "amin")
        highest = torch.full((count,), -_LARGEST).scatter_reduce(0, begin, labels, "amax")
        labels = torch.where(lowest == highest, lowest, MIXED)
        labels = torch.where(lowest == _LARGEST, NONE, labels)
    return torch.where(end >= 0, labels[end.clamp_min(0)], NONE)


def agreed(labels: Int[Tensor, "channel position"]) -> Labels:
    """The label of each channel, if all positions that have one agree."""
    channels = torch.arange(len(labels))
    return spread(labels.flatten(), channels.repeat_interleave(labels.shape[1]), channels, len(labels))


@dataclass(eq=False)
class Forward:
    """Labels of all values behind some whose labels are given.

    Attributes:
        labels: Flat, by the number of the value; a value without them comes from no unit.
        arrived: Of given values that are computed from others, the labels before their own.
    """

    labels: dict[int, Labels]
    arrived: dict[int, Labels] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tape: Tape,
        given: Mapping[int, Labels],
        weights: Collection[int],
        behind_weights: int,
        span: slice = slice(None),
    ) -> Forward:
        """Follow the tape.

        Args:
            tape: Whose values are all kept.
            given: Labels that begin anew, by the number of the value.
            weights: Positions of the operations with weights.
            behind_weights: Label of their results.
            span: Positions to follow; all if left out.
        """
        forward = cls(dict(given))
        for position in range(*span.indices(len(tape.operations))):
            operation = tape.operations[position]
            known = [index for index in dict.fromkeys(operation.read) if index in forward.labels]
            for place, index in enumerate(operation.written):
                if index is None or not known:
                    continue
                count = tape.shape(index).numel()
                if position in weights:
                    labels = torch.full((count,), behind_weights)
                elif all((forward.labels[source] == MIXED).all() for source in known):
                    labels = torch.full((count,), MIXED)
                else:
                    labels = forward._from(known, dependence(tape, operation, place), count)
                if index in given:
                    forward.arrived[index] = labels
                elif (labels != NONE).any():
                    forward.labels[index] = labels
        return forward

    def _from(self, known: list[int], dependences: Mapping[int, Dependence] | None, count: int) -> Labels:
        result = torch.full((count,), NONE)
        for index in known:
            labels = self.labels[index]
            if dependences is None:
                return torch.full((count,), MIXED)
            if index in dependences:
                groups = dependences[index]
                result = merged(result, spread(labels, groups.source, groups.result, len(labels)))
        return result


def labels_ahead(
    tape: Tape, value: int, labels: Labels, weights: Collection[int] = (), others: Collection[int] = ()
) -> dict[int, Labels]:
    """The unit of one value that each number before it leads to, past no weight and no other layer.

    Args:
        tape: Whose values are all kept.
        value: Number of the activation of a layer.
        labels: Of this value.
        weights: Positions of the operations with weights.
        others: Numbers of the activations of other layers.

    Returns:
        Labels by the number of the value; none where all numbers lead to several units.
    """
    ahead: dict[int, Labels] = {value: labels}
    lost: set[int] = set()  # all of whose numbers lead to several units
    for position in reversed(range(len(tape.operations))):
        operation = tape.operations[position]
        if position in weights:
            continue
        sources = (tape.moving | tape.dependent).intersection(operation.read).difference(others)
        if not lost.isdisjoint(operation.written):
            lost |= sources
            continue
        for place, index in enumerate(operation.written):
            if index is None or index not in ahead:
                continue
            dependences = dependence(tape, operation, place)
            for source in sources:
                back = _back(tape, source, ahead[index], dependences)
                ahead[source] = merged(ahead[source], back) if source in ahead else back
                lost |= {source} if (ahead[source] == MIXED).all() else set()
    return {index: of_value for index, of_value in ahead.items() if index not in lost}


def _back(tape: Tape, source: int, labels: Labels, dependences: Mapping[int, Dependence] | None) -> Labels:
    """Labels of a source from those of a result."""
    count = tape.shape(source).numel()
    if dependences is None:
        return torch.full((count,), MIXED if (labels != NONE).any() else NONE)
    if source not in dependences:
        return torch.full((count,), NONE)
    groups = dependences[source]
    of_source = torch.arange(count) if groups.source is None else groups.source
    return spread(labels, groups.result, of_source, count)
