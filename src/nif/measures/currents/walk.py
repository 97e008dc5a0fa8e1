"""From the decision back to the inputs: the current of every unit and every weight over one step.

The current of a unit is its step times its slope; of a weight, ``w * step of its source * slope of its
target``. Slopes are kept apart by the layer that they come back from, so that a unit's current is known for
each layer that it feeds.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nif.measures.currents.discrete_gradient import discrete_gradient, factor_of, inner
from nif.measures.currents.ends import Ends, Slopes
from nif.measures.currents.parts import by_parts
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape

DECISION = -1
"""The number, among layers, of what comes after the output."""

Left = dict[int, dict[int, Tensor]]
"""Slopes by the number of the value, and by the layer that they come back from."""

Collect = Callable[[int, int, Tensor, Ends], None]
"""Is given the position of a weight on the tape, the layer ahead, the slope, and both ends."""


@dataclass(eq=False)
class Walk:
    """The way back over one step.

    Attributes:
        start: Tape at the beginning of the step.
        end: Tape at its end.
        structure: Where layers and weights are; None for the inputs alone.
        collect: Called for every weight; None for none.
        general: Counts the uses of the general rule by operator.
        stop: Numbers of values at which the slopes are left, see `nif.measures.currents.straight`.
        layers: For each pair of layers, the step of the first times the slope that comes back from the
            second, in the shape of the activation.
        left: Slopes at the values to stop at, by layer ahead, are added to these.
        known: Both ends of each operation, by position, for another walk over the same step.
    """

    start: Tape
    end: Tape
    structure: Structure | None = None
    collect: Collect | None = None
    general: Counter[str] = field(default_factory=Counter)
    stop: Set[int] = frozenset()
    layers: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    left: Left = field(default_factory=dict)
    known: dict[int, Ends] | None = None

    def back(self, seeds: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Walk back from slopes at some values.

        Returns:
            For each input its slope; none where the walk stops before.
        """
        return self.on({index: {DECISION: slope} for index, slope in seeds.items()})

    @torch.no_grad()
    def on(self, left: Mapping[int, dict[int, Tensor]]) -> dict[int, Tensor]:
        """Walk on from slopes by layer ahead, as another walk has left them."""
        slopes: dict[int, dict[int, Tensor]] = defaultdict(dict, left)
        start = self.start
        for position in reversed(range(len(start.operations))):
            written = start.operations[position].written
            if not self.stop.isdisjoint(written) or slopes.keys().isdisjoint(written):
                continue
            ends = self._ends(position)
            given = [
                None if index is None else self._at(index, slopes.pop(index, None))
                for index in ends.operation.written
            ]
            if not ends.sources:
                continue
            for ahead in {ahead for one in given if one for ahead in one}:
                some = [one.get(ahead) if one else None for one in given]
                if (
                    self.collect
                    and self.structure
                    and position in self.structure.weighted
                    and some[0] is not None
                ):
                    self.collect(position, ahead, some[0], ends)
                if self._is_added(ends, some, ahead):
                    continue
                for index, slope in self._gradient(ends, some).items():
                    here = slopes[index]
                    here[ahead] = here[ahead] + slope if ahead in here else slope
        if self.stop:
            self._add_left({index: slopes[index] for index in self.stop & slopes.keys()})
            return {}
        inputs = {}
        for index in start.inputs:
            at_input = self._at(index, slopes.pop(index, None))
            nothing = torch.zeros((), device=start.values[index].device)
            inputs[index] = functools.reduce(torch.add, at_input.values()) if at_input else nothing
        return inputs

    def _gradient(self, ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
        """The slopes at what an operation reads, from those at its results."""
        return discrete_gradient(ends, given, self.general)

    def _is_added(self, ends: Ends, given: Sequence[Tensor | None], ahead: int) -> bool:
        """Add the slope that leads on from an elementwise operation to a value to stop at, in one pass over
        the numbers in place of two; False where that is not possible."""
        index = ends.sources[0]
        if len(ends.sources) > 1 or index not in self.stop:
            return False
        slope, factor = given[0], factor_of(ends)
        if slope is None or factor is None or slope.shape != factor.shape:
            return False
        if not slope.dtype == factor.dtype == self.start.values[index].dtype:
            return False
        here = self.left.setdefault(index, {})
        here[ahead] = here[ahead].addcmul_(slope, factor) if ahead in here else slope * factor
        return True

    def _add_left(self, slopes: Left) -> None:
        for index, of_value in slopes.items():
            here = self.left.setdefault(index, {})
            for ahead, slope in of_value.items():
                here[ahead] = here[ahead].add_(slope) if ahead in here else slope.clone()

    def _ends(self, position: int) -> Ends:
        if self.known is not None and position in self.known:
            return self.known[position]
        ends = Ends(self.start, self.end, self.start.operations[position], self.end.operations[position])
        if self.known is not None:
            self.known[position] = ends
        return ends

    def _at(self, index: int, slopes: dict[int, Tensor] | None) -> dict[int, Tensor] | None:
        """The slopes at a value that all who read it have added to; at a layer they begin anew."""
        if not slopes or self.structure is None or index not in self.structure.layers:
            return slopes
        layer = self.structure.layers[index]
        between = self.start.values[index], self.end.values[index]
        for ahead, slope in slopes.items():
            self.layers[layer, ahead] = _current(slope, *between)
        return {layer: functools.reduce(torch.add, slopes.values())}


def _current(slope: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The step times the slope."""
    if slope.is_complex():
        return inner(slope, end - start)
    return by_parts(lambda out, *of: torch.sub(of[2], of[1], out=out).mul_(of[0]), slope, start, end)


def mean_left(sums: Left, steps: int) -> Left:
    """The mean over the steps of slopes that were added up."""
    return {i: {ahead: slope / steps for ahead, slope in of_one.items()} for i, of_one in sums.items()}
