"""Products with the first weights at an end of the way, where pairs share rows.

All pairs of an explained row have it at one end, and a background is that of several rows at the other: each
distinct row is multiplied once. On the way between the ends all pairs differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from nif.measures.currents.operation import mapped, values_among
from nif.measures.currents.tape import Tape

MOVING_FACTOR = {"mm": 0, "addmm": 1, "convolution": 0}
"""Place of the factor that has rows among the arguments of a product with a weight."""

VIEWS = frozenset(["view", "_unsafe_view", "_reshape_alias"])
"""Operations that leave the numbers of one pair after those of another."""

FEWER = 0.75
"""Distinct rows, as a part of the pairs, up to which it pays to gather them and their products."""


@dataclass(frozen=True, eq=False)
class DistinctRows:
    """Which pairs have the same row at an end of the way.

    Attributes:
        first: Of each distinct row, a pair that has it.
        place: Of each pair, its distinct row.
    """

    first: Int64[Tensor, " row"]
    place: Int64[Tensor, " pair"]

    @classmethod
    def of(cls, rows: Int64[np.ndarray, " pair"], device: torch.device) -> DistinctRows:
        """Of the row of each pair.

        Example:
            >>> distinct = DistinctRows.of(np.array([7, 3, 7]), torch.device("cpu"))
            >>> distinct.first.tolist(), distinct.place.tolist()
            ([1, 0], [1, 0, 1])
        """
        _, first, place = np.unique(rows, return_index=True, return_inverse=True)
        return cls(torch.from_numpy(first).to(device), torch.from_numpy(place).to(device))

    def result(self, tape: Tape, function: Any, arguments: tuple[Any, Any]) -> Tensor | None:
        """A product of inputs and a weight; None of any other operation, and where too few rows are shared.

        Args:
            tape: Of the run before it.
            function: The operator.
            arguments: By position and by name.
        """
        factor = MOVING_FACTOR.get(function.overloadpacket.__name__)
        if factor is None or len(self.first) > FEWER * len(self.place):
            return None
        rows = arguments[0][factor].index
        reached = [v.index for v in values_among(arguments) if v.index in tape.moving | tape.dependent]
        if reached != [rows] or not self._by_pair(tape, rows):
            return None
        args, kwargs = mapped(tape.value, arguments)
        if factor and args[0].dim() > 1:  # what is added to the product may differ by row
            return None
        args = list(args)
        args[factor] = self._taken(args[factor], self.first, len(self.place))
        product: Tensor = function(*args, **kwargs)
        return self._taken(product, self.place, len(self.first))

    def _by_pair(self, tape: Tape, index: int) -> bool:
        """Whether a value is an input, or a view of one, with the numbers of each pair at their place."""
        pairs = len(self.place)
        known = {number for number in tape.inputs if tape.shape(number)[:1] == (pairs,)}
        for operation in tape.operations:
            if operation.kind in VIEWS and operation.read[0] in known:
                known.update(number for number in operation.written if number is not None)
        return index in known and tape.shape(index)[0] % pairs == 0

    @staticmethod
    def _taken(values: Tensor, index: Tensor, count: int) -> Tensor:
        """Of `count` equal parts of the leading axis some, one after the other."""
        if len(values) == count:
            return values.index_select(0, index)
        return values.unflatten(0, (count, -1)).index_select(0, index).flatten(0, 1)
