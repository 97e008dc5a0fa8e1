"""One operation at both ends of a step of the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nif.measures.currents.tape import Operation, Tape, Value

Slopes = dict[int, Tensor]
"""A discrete gradient for each value, by its number."""


@dataclass(frozen=True, eq=False)
class Ends:
    """An operation, and the tapes of both ends of a step.

    A discrete gradient g of a function f between two ends x and x' fulfils ``g . (x' - x) = f(x') - f(x)``
    exactly, so what flows into an operation flows out of it at any length of the step (Gonzalez, 1996).

    Attributes:
        start: Tape at the beginning of the step.
        end: Tape at its end.
        operation: The operation at the start.
        last: The same operation at the end; its arguments other than tensors may differ.
    """

    start: Tape
    end: Tape
    operation: Operation
    last: Operation

    @property
    def sources(self) -> list[int]:
        """Numbers of the moving values that the operation reads, each once."""
        return [index for index in dict.fromkeys(self.operation.read) if index in self.start.moving]

    def moves(self, argument: Any) -> bool:
        """Whether an argument is a value that moves."""
        return isinstance(argument, Value) and argument.index in self.start.moving

    def both(self, argument: Any) -> tuple[Any, Any]:
        """An argument at the start and at the end."""
        return self.start.value(argument), self.end.value(argument)

    def values(self, index: int) -> tuple[Tensor, Tensor]:
        """A value at the start and at the end."""
        return self.start.values[index], self.end.values[index]

    def moved(self, index: int) -> Tensor:
        """The step of a value."""
        return move(*self.values(index))

    @property
    def same_choices(self) -> bool:
        """Whether masks, indices and numbers that depend on the data are equal at both ends."""
        return self.operation.like(self.last) and all(
            torch.equal(self.start.tensor(index), self.end.tensor(index))
            for index in self.operation.read
            if index in self.start.dependent
        )


def move(start: Tensor, end: Tensor) -> Tensor:
    """The step between two values; 0 between equal infinite ones, such as masks of minus infinity."""
    step = end - start
    return step if torch.isfinite(step.sum()) else torch.where(start == end, torch.zeros_like(step), step)


def middle(start: Any, end: Any) -> Any:
    """The value halfway between two; the end itself where they are equal, even if infinite."""
    if start is end or not isinstance(start, Tensor):
        return start
    half = (start + end) / 2
    return half if torch.isfinite(half.sum()) else torch.where(start == end, end, half)


def summed_to(slope: Tensor, shape: torch.Size) -> Tensor:
    """A slope summed over the axes along which its source was broadcast."""
    return slope.sum_to_size(shape) if slope.shape != shape else slope


def add(slopes: Slopes, index: int, slope: Tensor) -> None:
    """Add a slope to those of a value."""
    slopes[index] = slopes[index] + slope if index in slopes else slope
