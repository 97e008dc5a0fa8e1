"""Where the layers and the weights of a network stand on the tape of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass

from torch import Tensor

from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.products import factors_of
from nif.measures.currents.tape import Tape

Origins = frozenset[tuple[int, int]]
"""Layers that a value comes from past no other, each with the number of weights on the way, at most 2."""


@dataclass(frozen=True)
class Weighted:
    """An operation that multiplies what moves with a constant tensor that is made of parameters.

    Attributes:
        moving: Number of the value that moves.
        weight: Number of the constant factor.
        first: Whether the value that moves is the first factor.
        targets: Layers that its result leads to past no other.
    """

    moving: int
    weight: int
    first: bool
    targets: frozenset[int]


@dataclass(frozen=True, eq=False)
class Structure:
    """The layers and weights of a tape.

    Attributes:
        layers: Number of the layer that a value is the activation of, by the number of the value.
        weighted: Operations with weights, by their position on the tape.
        origins: Of every value that moves, before it counts as a layer itself.
    """

    layers: Mapping[int, int]
    weighted: Mapping[int, Weighted]
    origins: Mapping[int, Origins]

    @classmethod
    def of(cls, tape: Tape, layers: Mapping[int, int], repeated: Container[int] = frozenset()) -> Structure:
        """Follow the tape back and forth.

        Args:
            tape: Of a run.
            layers: Number of the layer by the number of the value.
            repeated: Positions that have no weight, see `repeated_for_each`.
        """
        targets = _targets(tape, layers)
        made = _made_of_parameters(tape)
        weighted = {}
        for position, operation in enumerate(tape.operations):
            numbers = _weighted(tape, operation, made)
            if numbers is not None and position not in repeated:
                result = operation.written[0] or 0
                ahead = {layers[result]} if result in layers else targets[result]
                weighted[position] = Weighted(*numbers, frozenset(ahead))
        return cls(layers, weighted, _origins(tape, layers, set(weighted)))

    def feeding(self, value: int) -> Origins:
        """Where a value comes from: a layer itself, or what it was made of."""
        if value in self.layers:
            return frozenset({(self.layers[value], 0)})
        return self.origins.get(value, frozenset())

    def origins_of(self, layer: int) -> Origins:
        """What a layer was made of; nothing, if it does not move, as a layer of whole numbers."""
        value = next(index for index, other in self.layers.items() if other == layer)
        return self.origins.get(value, frozenset())

    def between(self, source: int, target: int) -> list[int] | None:
        """Positions of the weights that carry the links of two layers; None where a path has several."""
        if (source, 2) in self.origins_of(target):
            return None
        return [
            position
            for position, weighted in self.weighted.items()
            if target in weighted.targets and (source, 0) in self.feeding(weighted.moving)
        ]


def repeated_for_each(tape: Tape, other: Tape) -> frozenset[int]:
    """Positions at which a constant that is made of parameters has a copy for each pair: it is no weight.

    Such are learned queries, and embeddings of relative positions, that attention repeats for each row.

    Args:
        tape: Of some pairs.
        other: Of another number of pairs.
    """
    if tape.calls != other.calls:
        return frozenset()
    weighted = Structure.of(tape, {}).weighted
    return frozenset(
        position for position, one in weighted.items() if tape.shape(one.weight) != other.shape(one.weight)
    )


def _targets(tape: Tape, layers: Mapping[int, int]) -> dict[int, set[int]]:
    """For each value the layers that it leads to past no other."""
    targets: dict[int, set[int]] = defaultdict(set)
    for operation in reversed(tape.operations):
        ahead: set[int] = set()
        for index in operation.written:
            if index is not None:
                ahead |= {layers[index]} if index in layers else targets[index]
        for index in operation.read:
            targets[index] |= ahead
    return targets


def _origins(tape: Tape, layers: Mapping[int, int], weighted: set[int]) -> dict[int, Origins]:
    origins: dict[int, Origins] = {index: frozenset() for index in tape.inputs}
    for position, operation in enumerate(tape.operations):
        read: set[tuple[int, int]] = set()
        for index in operation.read:
            read |= {(layers[index], 0)} if index in layers else origins.get(index, frozenset())
        more = int(position in weighted)
        after = frozenset((layer, min(2, count + more)) for layer, count in read)
        origins.update({index: after for index in operation.written if index in tape.moving})
    return origins


def _made_of_parameters(tape: Tape) -> set[int]:
    made = set(tape.parameters)
    for operation in tape.operations:
        if not made.isdisjoint(operation.read):
            made.update(index for index in operation.written if index is not None)
    return made


def _weighted(tape: Tape, operation: Operation, made: set[int]) -> tuple[int, int, bool] | None:
    """Numbers of the value that moves and of the weight, and whether the first of them comes first."""
    factors = factors_of(operation)
    if factors is None or not all(isinstance(factor, Value) for factor in factors):
        return None
    first, second = (factor.index for factor in factors)
    if (first in tape.moving) == (second in tape.moving):
        return None
    moving, weight = (first, second) if first in tape.moving else (second, first)
    value = tape.values[weight]
    constant = weight not in tape.dependent and isinstance(value, Tensor) and value.dim() >= 2
    return (moving, weight, moving == first) if constant and weight in made else None
