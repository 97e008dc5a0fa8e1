"""What the currents of the weights of a network are currents of: units of layers, and numbers of parameters.

Two pairs of a row and a background are run once, of which one does not move, so that it is seen where on the
tape the rows of each pair stand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nif.measures.currents.heads import heads_of
from nif.measures.currents.labels import MIXED, NONE, WEIGHTED, Forward, Labels, labels_ahead
from nif.measures.currents.parameters import ParameterCells, parameters_of
from nif.measures.currents.structure import Structure, Weighted
from nif.measures.currents.tape import Tape
from nif.measures.currents.unit_cells import PAIRS, UnitCells
from nif.network.axes import Axes

ANY = -2
"""In place of a layer: currents towards any."""

Units = Int[np.ndarray, " link"]


@dataclass(frozen=True, eq=False)
class LinkMaps:
    """Of a tape, by the position of its operations.

    Attributes:
        operations: Kinds of all operations, by which another tape of the same run is recognised.
        first: First unit of each layer among those of all.
        outer: How often all pairs stand one after the other in what a weight reads.
        cells: Units on the two sides of a weight, by its position and the layer ahead; missing where a number
            comes from or leads to several units.
        shortcuts: Units of two layers between which some current passes no weight, pair by pair; None where
            it passes from several to one and from one to several.
        parameters: What each weight is made of.
        convolutions: Of those with a kernel, whether they are transposed, and their groups.
        repeated: Positions of constants with a copy for each pair, which are no weights.
        heads: Head of attention that each number comes from that a weight reads; negative for none.
    """

    operations: tuple[str, ...]
    first: tuple[int, ...]
    outer: Mapping[int, int]
    cells: Mapping[tuple[int, int], UnitCells]
    shortcuts: Mapping[tuple[int, int], tuple[Units, Units] | None]
    parameters: Mapping[int, ParameterCells]
    convolutions: Mapping[int, tuple[bool, int]]
    heads: Mapping[int, Units]
    repeated: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        start: Tape,
        end: Tape,
        layers: Mapping[int, int],
        units: Sequence[Int[Tensor, "..."]],
        counts: Sequence[int],
        parameters: Collection[str],
        repeated: frozenset[int] = frozenset(),
    ) -> LinkMaps:
        """Follow the numbers of the layers back and forth.

        Args:
            start: Tape of two pairs, all values kept.
            end: The same; the first pair has moved, the second has not.
            layers: Number of the layer by the number of the value.
            units: Of each layer, the unit of each number, in the shape of its activation.
            counts: Units of each layer, of which some may have no number, as tokens that are not looked up.
            parameters: Their names.
            repeated: See `LinkMaps.repeated`.
        """
        structure = Structure.of(start, layers, repeated)
        first = tuple(np.cumsum([0, *counts]).tolist())
        outer = {
            position: _outer(start.operations[position].kind, weighted, start, end)
            for position, weighted in structure.weighted.items()
        }
        return cls(
            start.kinds,
            first,
            outer,
            _cells(start, structure, outer, units, first),
            _shortcuts(start, structure, units),
            parameters_of(start, {p: w.weight for p, w in structure.weighted.items()}, parameters),
            {
                position: (bool(operation.args[6]), int(operation.args[8]))
                for position, operation in enumerate(start.operations)
                if position in structure.weighted and operation.kind == "convolution"
            },
            heads_of(start, structure, outer),
            repeated,
        )

    def fits(self, tape: Tape) -> bool:
        """Whether a tape is one of the same run."""
        return self.operations == tape.kinds

    def key(self, position: int, ahead: int) -> tuple[int, int]:
        """What currents of a weight are added up under: for links by place, else with other uses of it."""
        if (position, ahead) in self.cells and self.cells[position, ahead].rows is None:
            return position, ahead
        return self._first_use.get(position, position), ANY

    @cached_property
    def _first_use(self) -> dict[int, int]:
        """The first position at which the same parameter is used in the same way."""
        first: dict[tuple[str, str, bool], int] = {}
        found = {}
        for position, cells in self.parameters.items():
            if cells.index is None:
                use = self.operations[position], cells.name, cells.transposed
                found[position] = first.setdefault(use, position)
        return found


def units_of_numbers(axes: Axes | None, shape: torch.Size, pairs: int = PAIRS) -> Int[Tensor, "..."]:
    """The unit of each number of an activation at some pairs, in its shape.

    Args:
        axes: Of the layer; None for an input, of which every number is a unit.
        shape: Of the activation.
        pairs: Their number.

    Example:
        >>> units_of_numbers(None, torch.Size([2, 3])).tolist()
        [[0, 1, 2], [0, 1, 2]]
    """
    places = torch.arange(shape.numel()).reshape(shape)
    if axes is None:
        return places % places[0].numel()
    arranged = axes.arranged(places, pairs)
    units = torch.arange(arranged.shape[1]).reshape(1, -1, *[1] * (arranged.dim() - 2)).expand(arranged.shape)
    return torch.zeros_like(places.flatten()).scatter(0, arranged.flatten(), units.flatten()).reshape(shape)


def _outer(kind: str, weighted: Weighted, start: Tape, end: Tape) -> int:
    """How often all pairs stand one after the other along the rows that a weight reads."""
    step = end.values[weighted.moving] - start.values[weighted.moving]
    axis = 1 if kind in ("mm", "addmm") and not weighted.first else 0
    moved = (step != 0).movedim(axis, 0).flatten(1).any(1)
    half, odd = divmod(len(moved), PAIRS)
    if odd:
        return 1
    divisors = [number for number in range(2, half) if half % number == 0]
    for outer in (1, half, *divisors):
        if not moved.reshape(outer, PAIRS, -1)[:, 1].any():
            return outer
    return 1


def _cells(
    tape: Tape,
    structure: Structure,
    outer: Mapping[int, int],
    units: Sequence[Int[Tensor, "..."]],
    first: Sequence[int],
) -> dict[tuple[int, int], UnitCells]:
    """See `LinkMaps.cells`; sources are numbered through all layers."""
    values = {layer: value for value, layer in structure.layers.items()}
    through = [
        torch.where(labels < 0, labels, labels + begin) for labels, begin in zip(units, first, strict=False)
    ]
    given = {value: through[layer].flatten() for layer, value in values.items()}
    forward = Forward.of(tape, given, structure.weighted, WEIGHTED)
    cells = {}
    for layer, value in values.items():
        others = set(structure.layers) - {value}
        ahead = labels_ahead(tape, value, units[layer].flatten(), structure.weighted, others)
        for position, weighted in structure.weighted.items():
            operation = tape.operations[position]
            result = operation.written[0]
            if result not in ahead or weighted.moving not in forward.labels:
                continue
            known = UnitCells.of(
                operation,
                weighted,
                tape.tensor(weighted.weight),
                forward.labels[weighted.moving].reshape(tape.shape(weighted.moving)),
                ahead[result].reshape(tape.shape(result)),
                outer[position],
            )
            if known is not None:
                cells[position, layer] = known
    return cells


def _shortcuts(
    tape: Tape, structure: Structure, units: Sequence[Int[Tensor, "..."]]
) -> dict[tuple[int, int], tuple[Units, Units] | None]:
    """See `LinkMaps.shortcuts`."""
    values = {layer: value for value, layer in structure.layers.items()}
    found = {}
    for target, value in values.items():
        for source in sorted(layer for layer, count in structure.origins_of(target) if count == 0):
            given = {
                index: units[layer].flatten() if layer in (source, target) else torch.full((1,), NONE)
                for layer, index in values.items()
            }
            given = {i: labels.expand(tape.shape(i).numel()) for i, labels in given.items()}
            span = slice(_position(tape, values[source]), _position(tape, value) + 1)
            arrived = Forward.of(tape, given, structure.weighted, NONE, span).arrived.get(value)
            found[source, target] = None if arrived is None else _matched(arrived, units[target].flatten())
    return found


def _position(tape: Tape, value: int) -> int:
    """Position of the operation that has written a value; 0 for an input."""
    written = (place for place, operation in enumerate(tape.operations) if value in operation.written)
    return next(written, 0)


def _matched(sources: Labels, targets: Labels) -> tuple[Units, Units] | None:
    """The pairs of units that meet; None where neither side of a pair has that pair alone."""
    if (sources == MIXED).any():
        return None
    both = torch.stack([sources, targets], 1)[sources >= 0]
    pairs = torch.unique(both, dim=0).numpy()
    alone = [len(np.unique(pairs[:, side])) == len(pairs) for side in (0, 1)]
    return (pairs[:, 0], pairs[:, 1]) if any(alone) else None
