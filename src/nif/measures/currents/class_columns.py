"""The currents of the features for each class: slopes of all classes walk back together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.measures.currents.tape import Tape
from nif.measures.currents.walk import DECISION, Walk

AT_ONCE = 2**23
"""Numbers of the slopes of several classes at the largest value, beyond which fewer classes walk together."""

LARGEST_LEFT = 2**26
"""Numbers of the slopes that are kept over the steps of a block; more are walked back in every step."""


class ClassColumns:
    """The class columns of one block, over its steps.

    Args:
        columns: Of each outcome.
        bounds: First pair of each group of backgrounds, and the number of pairs.
        straight: Numbers of the values at which slopes are added up, see `nif.measures.currents.straight`.
    """

    def __init__(
        self, columns: Int64[Tensor, " outcome"], bounds: Sequence[int], straight: Set[int]
    ) -> None:
        self._columns, self._bounds, self._straight = columns, bounds, straight
        self._count = int(columns.max()) + 1
        self._left: dict[int, dict[int, Tensor]] = {}
        self._steps = 0
        self._sums: list[Tensor] = []

    def add(self, start: Tape, end: Tape, seeds: Float[Tensor, "row outcome"]) -> None:
        """Add a step, by the slopes at the information of all outcomes."""
        classes = torch.arange(self._count, device=seeds.device)
        masks = (self._columns == classes[:, None]).to(seeds)[:, None]
        ends = [start.shape(i).numel() for operation in start.operations for i in operation.read
                if i in self._straight and self._straight.isdisjoint(operation.written)]  # fmt: skip
        self._steps += 1
        kept = self._count * sum(ends) <= LARGEST_LEFT
        for part in self._parts(start):
            walk = Walk(start, end, stop=self._straight if kept else frozenset(), stacked=True)
            slopes = walk.back({start.outputs[0]: seeds * masks[part]})
            if not kept:
                self._add_currents(start, end, slopes, part)
            for index, ahead in walk.left.items():
                if index not in self._left:
                    shape = (self._count, *start.shape(index))
                    self._left[index] = {DECISION: ahead[DECISION].new_zeros(shape)}
                self._left[index][DECISION][part] += ahead[DECISION]

    def finish(self, start: Tape, end: Tape) -> list[Float[Tensor, "feature label"]]:
        """The sums of each group of backgrounds, from the tapes of both ends of the way."""
        for part in self._parts(start) if self._left else ():
            left = {i: {DECISION: slopes[DECISION][part] / self._steps} for i, slopes in self._left.items()}
            self._add_currents(start, end, Walk(start, end, stacked=True).on(left), part)
        self._left, self._steps = {}, 0
        return [group.T for group in self._sums]

    def _parts(self, tape: Tape) -> Iterator[slice]:
        """Classes that walk together."""
        largest = max(tape.shape(index).numel() for index in tape.moving)
        few = max(1, AT_ONCE // largest)
        return (slice(first, first + few) for first in range(0, self._count, few))

    def _add_currents(self, start: Tape, end: Tape, slopes: dict[int, Tensor], part: slice) -> None:
        count = len(range(self._count)[part])
        steps = [(index, end.values[index] - start.values[index]) for index in start.inputs]
        pairs = [(slopes[i] * step).expand(count, *step.shape).flatten(2) for i, step in steps]
        current = torch.cat(pairs, dim=2)
        for group, (first, last) in enumerate(pairwise(self._bounds)):
            if len(self._sums) <= group:
                self._sums.append(current.new_zeros(self._count, current.shape[2]))
            self._sums[group][part] += current[:, first:last].sum(1)
