"""One call of an operator on the tape: what it read, what it wrote, and how to run it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Value:
    """A tensor on the tape, by its number."""

    index: int


def mapped(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Arguments with a function applied to all in tuples, lists and dictionaries."""
    if isinstance(arguments, tuple | list):
        return type(arguments)([mapped(function, argument) for argument in arguments])
    if isinstance(arguments, dict):
        return {name: mapped(function, argument) for name, argument in arguments.items()}
    return function(arguments)


def values_among(arguments: Any) -> list[Value]:
    """The values among arguments, in tuples, lists and dictionaries too."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    nested = arguments if isinstance(arguments, tuple | list) else ()
    return [value for argument in nested for value in values_among(argument)]


@dataclass(frozen=True, eq=False)
class Operation:
    """One call of an `aten` operator.

    Attributes:
        function: The operator.
        kind: Its name without overload and without the underscore of operations in place.
        args: Positional arguments; tensors on the tape are `Value`.
        kwargs: Arguments by name.
        read: Numbers of the values among the arguments.
        written: Numbers of its results; None for a result that is no tensor.
        several: Whether it returns a tuple.
        in_place: Whether it writes into its first argument.
    """

    function: Any
    kind: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    read: tuple[int, ...]
    written: tuple[int | None, ...]
    several: bool = False
    in_place: bool = False

    def again(self, value_of: Callable[[int], Any]) -> list[Any]:
        """Its results for other values of what it read."""
        args, kwargs = mapped(
            lambda leaf: value_of(leaf.index) if isinstance(leaf, Value) else leaf,
            (self.args, dict(self.kwargs)),
        )
        if self.in_place:
            args = (args[0].clone(), *args[1:])
        result = self.function(*args, **kwargs)
        return list(result) if self.several else [result]

    def argument(self, position: int, default: Any = None) -> Any:
        """A positional argument, or its default where the call omits it."""
        return self.args[position] if len(self.args) > position else default

    def like(self, other: Operation) -> bool:
        """Whether it is the same call: the same operator, with equal arguments other than tensors."""
        return (
            self.function == other.function
            and self.args == other.args
            and self.kwargs == other.kwargs
            and self.written == other.written
        )
