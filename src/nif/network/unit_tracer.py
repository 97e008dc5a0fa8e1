"""Follow the units of every tensor through a run, by the table of operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nif.core.random import same_random_state
from nif.network.operators import BY_NAME, function_name, unit_map
from nif.network.tracing import Tracer
from nif.network.unit_maps import Call, UnitMap, tensors_in

CHANGES = 2
"""Times that some of the numbers are changed, to see what changes behind a module."""


class UnitTracer(Tracer):
    """Is called with every torch function of a run, and with the maps from each tensor to each result.

    A subclass says where the units of a tensor are, and what it does with a call.
    """

    def __init__(self) -> None:
        self._alive: list[Any] = []
        """All tensors, so that no address is used twice."""

    def function(self, function: Any, given: Any, returned: Any) -> None:
        read = tensors_in(given)
        name = function_name(function)
        written = tensors_in(returned) or (read[:1] if name == "__setitem__" else [])
        self._alive += written
        args, kwargs = given
        axes = tuple(self.axis_of(values) for values in read)
        self.called(Call(name, function, tuple(args), kwargs or {}, tuple(read), axes, tuple(written)))

    def axis_of(self, values: Tensor) -> int | None:
        """The axis of the units of a tensor; None where it has none that are followed."""
        raise NotImplementedError

    def called(self, call: Call) -> None:
        """A function has been called."""
        raise NotImplementedError


def maps_to(call: Call, result: int) -> dict[int, UnitMap]:
    """The maps to one result of a call from every tensor whose units are known, by its place."""
    return {place: unit_map(call, place, result) for place, axis in enumerate(call.axes) if axis is not None}


def is_constant(name: str) -> bool:
    """Whether the result depends on nothing but the shape of what a function reads."""
    return name in BY_NAME and BY_NAME[name].effect.name == "CONSTANT"


def treats_numbers_apart(module: nn.Module, given: Tensor) -> bool:
    """Whether a module without weights treats every number by itself, tried on changed numbers.

    Example:
        >>> treats_numbers_apart(nn.Hardshrink(), torch.ones(2, 8)), treats_numbers_apart(
        ...     nn.Softmax(-1), torch.ones(2, 8)
        ... )
        (True, False)
    """
    if next(module.parameters(), None) is not None or next(module.buffers(), None) is not None:
        return False
    try:
        with torch.no_grad(), same_random_state():
            return _only_what_changes_moves(module, given)
    except Exception:  # the user's code: it may need more than one tensor, and raise anything
        return False


def _only_what_changes_moves(module: nn.Module, given: Tensor) -> bool:
    before = module.forward(given.clone())
    if not isinstance(before, Tensor) or before.shape != given.shape:
        return False
    generator = torch.Generator().manual_seed(0)
    for _ in range(CHANGES):
        chosen = (torch.rand(given.shape, generator=generator) < 0.5).to(given.device)
        after = module.forward(torch.where(chosen, given + 1, given))
        if not torch.equal(before[~chosen], after[~chosen]):
            return False
    return True
