"""Which numbers of a parameter the numbers of a weight are.

A weight is a parameter as it is, in another shape, a part of it, or scaled number by number, as by a mask.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nif.measures.currents.dependence import MOVES, dependence
from nif.measures.currents.operation import Operation
from nif.measures.currents.tape import Tape


@dataclass(frozen=True, eq=False)
class ParameterCells:
    """The numbers of a parameter that a weight is made of.

    Attributes:
        name: Of the parameter.
        shape: Of the parameter.
        transposed: Whether the weight is the parameter with its last two axes exchanged; without `index`.
        index: Of each number of the weight, its place in the flat parameter, or -1; None for all, in order.
    """

    name: str
    shape: tuple[int, ...]
    transposed: bool = False
    index: Int[np.ndarray, "..."] | None = None


def parameters_of(
    tape: Tape, weights: Mapping[int, int], names: Collection[str]
) -> dict[int, ParameterCells]:
    """What each weight is made of, if it is one parameter.

    Args:
        tape: Whose values are all kept.
        weights: Number of the weight by the position of its operation.
        names: Of the parameters; all others that the tape names are constants.
    """
    search = _Search(tape, {index for index, name in tape.parameters.items() if name in names})
    found = {position: search.cells(number) for position, number in weights.items()}
    return {position: cells for position, cells in found.items() if cells is not None}


class _Search:
    """From weights back to parameters."""

    def __init__(self, tape: Tape, parameters: Collection[int]) -> None:
        self.tape, self.parameters = tape, parameters
        self.made = set(parameters)
        self.writers: dict[int, tuple[Operation, int]] = {}
        for operation in tape.operations:
            for place, index in enumerate(operation.written):
                if index is not None:
                    self.writers[index] = operation, place
                    self.made |= set() if self.made.isdisjoint(operation.read) else {index}

    def cells(self, number: int) -> ParameterCells | None:
        """Without an index where the weight is the whole parameter, which may be large."""
        if number in self.parameters:
            return ParameterCells(self.tape.parameters[number], tuple(self.tape.shape(number)))
        operation = self.writers[number][0] if number in self.writers else None
        if operation is not None and operation.kind in ("t", "transpose"):
            before = operation.read[0]
            if before in self.parameters and self.tape.tensor(before).dim() == 2:
                return ParameterCells(self.tape.parameters[before], tuple(self.tape.shape(before)), True)
        found = self._places(number)
        if found is None:
            return None
        parameter, places = found
        shape = tuple(self.tape.shape(parameter))
        index = places.reshape(self.tape.shape(number)).numpy()
        return ParameterCells(self.tape.parameters[parameter], shape, index=index)

    def _places(self, number: int) -> tuple[int, Tensor] | None:
        """A parameter, and the place in it of each number of a value; None if it is made of several."""
        if number in self.parameters:
            return number, torch.arange(self.tape.shape(number).numel())
        if number not in self.writers:
            return None
        operation, place = self.writers[number]
        found = []
        for source, places in self._scaled(operation, place, number).items():
            if source not in self.made:
                continue
            before = self._places(source)
            if before is None:
                return None
            found.append((before[0], torch.where(places >= 0, before[1][places.clamp_min(0)], -1)))
        return found[0] if len(found) == 1 else None

    def _scaled(self, operation: Operation, place: int, number: int) -> dict[int, Tensor]:
        """The sources whose numbers a value holds, moved or scaled, and their places."""
        count = self.tape.shape(number).numel()
        if operation.kind == "_weight_norm_interface" and place == 0:
            return {operation.read[0]: torch.arange(count)}
        moves = operation.kind in MOVES
        return {
            source: groups.result
            for source, groups in (dependence(self.tape, operation, place) or {}).items()
            if groups.source is None and (moves or self.tape.shape(source).numel() == count)
        }
