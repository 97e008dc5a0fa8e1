"""What moves in a straight line along the way: its slopes are added up over steps and walked back once.

The inputs move in equal steps, and so does all that is a linear function of them, up to a constant: the
first weights of a network, and views, sums and norms with given statistics around them. There the discrete
gradient of an operation is the same in every step, so the current over all steps is the whole move times the
mean of the slopes; and what it computes on the way is known from both ends. For many networks most of the
work of a step is in its first weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nif.measures.currents.discrete_gradient import ONE_RESULT, rule_of
from nif.measures.currents.linear import TRANSPOSES
from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.products import factors_of
from nif.measures.currents.selections import SELECTIONS
from nif.measures.currents.tape import Tape
from nif.network.operators import Rule

STATISTICS_GIVEN = {"native_batch_norm": True, "_native_batch_norm_legit_no_training": False}
"""Norms by statistics that may be given; whether their argument 5 says that those of the batch are used."""


def straight_values(tape: Tape) -> frozenset[int]:
    """Numbers of the values that are a linear function of the inputs, up to a constant.

    Example:
        >>> import torch
        >>> from nif.measures.currents.tape import record
        >>> weight = torch.ones(2, 2)
        >>> tape = record(lambda mark, x: [(x @ weight + 1).relu()], [torch.ones(1, 2)], {"w": weight})
        >>> [operation.kind for operation in tape.operations]
        ['mm', 'add', 'relu']
        >>> sorted(straight_values(tape)) == sorted([*tape.inputs, *tape.operations[1].read[:1],
        ...     *tape.operations[1].written])
        True
    """
    straight = set(tape.inputs)
    for operation in tape.operations:
        moving = tape.moving.intersection(operation.read)
        fixed = tape.dependent.isdisjoint([*operation.read, *filter(None, operation.written)])
        if moving and fixed and moving <= straight and _is_linear(tape, operation):
            straight.update(tape.moving.intersection(operation.written))
    return frozenset(straight)


def _is_linear(tape: Tape, operation: Operation) -> bool:
    """Whether it is a linear function of what moves among its arguments, up to a constant."""

    def moves(argument: Any) -> bool:
        return isinstance(argument, Value) and argument.index in tape.moving

    kind, args = operation.kind, operation.args
    if kind in TRANSPOSES or kind in ("as_strided", "as_strided_scatter"):
        return True
    if kind == "mul":
        return not (moves(args[0]) and moves(args[1]))
    if kind == "div":
        return not moves(args[1]) and operation.kwargs.get("rounding_mode") is None
    factors = factors_of(operation)
    if factors is not None:
        bias = kind == "convolution" and moves(args[2])
        return not (moves(factors[0]) and moves(factors[1])) and not bias
    if kind in STATISTICS_GIVEN:
        return not (any(map(moves, args[1:5])) or (STATISTICS_GIVEN[kind] and args[5]))
    return rule_of(operation) is Rule.LINEAR and kind not in ONE_RESULT and kind not in SELECTIONS


@dataclass(frozen=True, eq=False)
class StraightProducts:
    """The products with weights on a straight line, whose values on the way need not be computed.

    Attributes:
        first: Tape at the beginning of the way.
        last: Tape of the same operations at its end.
        products: Operations by position on the tape.
    """

    first: Tape
    last: Tape
    products: Mapping[int, Operation]

    @classmethod
    def of(cls, first: Tape, last: Tape, straight: frozenset[int]) -> StraightProducts:
        """The products that read straight values and parameters alone."""
        return cls(first, last, straight_products(first, straight))

    def result(self, share: float, tape: Tape, function: Any, arguments: tuple[Any, Any]) -> Tensor | None:
        """What an operation computes at a share of the way; None if that is not known.

        Args:
            share: Of the way.
            tape: Of the run before it; where its operations are others, such as of a branch, it may read
                something else.
            function: The operator.
            arguments: By position and by name.
        """
        ran = tape.operations
        product = self.products.get(len(ran))
        if product is None or (product.function, product.args, product.kwargs) != (function, *arguments):
            return None
        if not all(one.like(two) for one, two in zip(ran, self.first.operations, strict=False)):
            return None
        before, after = (tape.tensor(_result(product)) for tape in (self.first, self.last))
        return torch.lerp(before, after, share)


def straight_products(tape: Tape, straight: frozenset[int]) -> dict[int, Operation]:
    """Matrix products and convolutions of straight values with parameters, by position on the tape."""
    of_parameters, products = set(tape.parameters), {}
    for position, operation in enumerate(tape.operations):
        if operation.read and of_parameters.issuperset(operation.read):
            of_parameters.update(index for index in operation.written if index is not None)
        known = of_parameters.union(straight).issuperset(operation.read)
        if factors_of(operation) and known and straight.issuperset(operation.written):
            products[position] = operation
    return products


def results_of(products: Mapping[int, Operation]) -> set[int]:
    """Numbers of what some products compute."""
    return {_result(operation) for operation in products.values()}


def _result(product: Operation) -> int:
    number = product.written[0]
    assert number is not None
    return number
