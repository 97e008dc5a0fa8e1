"""One operation at both ends of a step of the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.tape import Tape

T = TypeVar("T")

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
        kept: What rules have computed of the values alone, for the next slope at the same results.
    """

    start: Tape
    end: Tape
    operation: Operation
    last: Operation
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def sources(self) -> list[int]:
        """Numbers of the values whose slopes are needed: those that move, and choices that change."""
        moving = self.start.moving
        return [index for index in dict.fromkeys(self.operation.read) if index in moving] + self.changed

    @cached_property
    def changed(self) -> list[int]:
        """Numbers of the masks, indices and whole numbers that it reads and that differ between the ends."""
        return [
            index
            for index in dict.fromkeys(self.operation.read)
            if index in self.start.dependent and not torch.equal(*self.values(index))
        ]

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """What is computed of the values alone, the first time that it is asked for."""
        if name not in self.kept:
            self.kept[name] = compute()
        result: T = self.kept[name]
        return result

    def moves(self, argument: Any) -> bool:
        """Whether an argument is a value whose slope is needed."""
        if not isinstance(argument, Value):
            return False
        return argument.index in self.start.moving or argument.index in self.changed

    def both(self, argument: Any) -> tuple[Any, Any]:
        """An argument at the start and at the end."""
        return self.start.value(argument), self.end.value(argument)

    def middle(self, argument: Any) -> Any:
        """An argument in the middle of the step; what does not move, as it is."""
        if not self.moves(argument):
            return as_number(self.start.value(argument))
        return self.once(f"middle of {argument.index}", lambda: middle(*self.both(argument)))

    def values(self, index: int) -> tuple[Tensor, Tensor]:
        """A value at the start and at the end."""
        return self.start.values[index], self.end.values[index]

    def results(self, place: int = 0) -> tuple[Tensor, Tensor]:
        """A result at the start and at the end."""
        index = self.operation.written[place]
        assert index is not None
        return self.values(index)

    def moved(self, index: int) -> Tensor:
        """The step of a value."""
        return self.once(f"move of {index}", lambda: move(*self.values(index)))


def as_number(value: Any) -> Any:
    """A mask or a whole number as a floating-point one."""
    if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex():
        return value
    return value.to(torch.float32 if value.device.type == "mps" else torch.float64)


def conjugate(weight: Any) -> Any:
    """Of a complex tensor, or number of Python."""
    if isinstance(weight, complex):
        return weight.conjugate()
    return weight.conj() if isinstance(weight, Tensor) and weight.is_complex() else weight


def move(start: Tensor, end: Tensor) -> Tensor:
    """The step between two values; 0 between equal infinite ones, such as masks of minus infinity."""
    start, end = as_number(start), as_number(end)
    step = end - start
    return step if torch.isfinite(step.sum()) else torch.where(start == end, torch.zeros_like(step), step)


def middle(start: Any, end: Any) -> Any:
    """The value halfway between two; the end itself where they are equal, even if infinite."""
    start, end = as_number(start), as_number(end)
    if start is end or not isinstance(start, Tensor):
        return start
    half = (start + end).div_(2)
    return half if torch.isfinite(half.sum()) else torch.where(start == end, end, half)


def summed_to(slope: Tensor, shape: torch.Size) -> Tensor:
    """A slope summed over the axes along which its source was broadcast."""
    return slope.sum_to_size(shape) if slope.shape != shape else slope


def add(slopes: Slopes, index: int, slope: Tensor) -> None:
    """Add a slope to those of a value."""
    slopes[index] = slopes[index] + slope if index in slopes else slope
