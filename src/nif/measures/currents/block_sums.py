"""The sums of currents: over the steps of one block of rows, and over all blocks in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.data.groups import Groups
from nif.measures.currents.blocks import Block
from nif.measures.currents.class_columns import ClassColumns, Columns
from nif.measures.currents.ends import Ends
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.link_maps import LinkMaps
from nif.measures.currents.moves import Way
from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.parts import joined
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Calls, Tape
from nif.measures.currents.walk import Collect, Left, Walk, mean_left
from nif.measures.currents.weights import LateProducts, by_channel, read_by_row, weight_products
from nif.network.layers import Place


@dataclass(eq=False)
class Sums:
    """Sums of currents over all pairs.

    Attributes:
        maps: What the weights are weights of; None if that is not known.
        rows: Indices of the explained rows, a part for each block.
        row_weights: Of these rows.
        units: Of the units of each layer, by row, a part for each block.
        absolute: Absolute currents of rows, summed, of the units of each layer: without each group, and of
            all rows, ``[group + 1, unit]``.
        between: Of the units of a layer, by the later layer that they lead to past no other.
        weights: ``[source, target]`` of each weight, by the `LinkMaps.key` of its place on the tape and the
            layer ahead.
        links: Currents between units where weights do not tell them, by the same place and layer.
        classes: Of each feature for each class.
        class_rows: The same by row, a part for each block, if they are kept.
        paths: Of single paths, and last of the total, see `nif.measures.currents.path_sums`.
        structure: Of the tape.
        general: Uses of the general rule by operator.
        calls: Operations that ran in the last block.
        loose: Whether no place on the tape stands for a weight, as other operations ran in some block.
        missed: What steps whose ends run different operations miss of the information of rows, absolute.
        branches: Number of such steps.
    """

    maps: LinkMaps | None = None
    rows: list[np.ndarray] = field(default_factory=list)
    row_weights: list[np.ndarray] = field(default_factory=list)
    units: dict[int, list[np.ndarray]] = field(default_factory=dict)
    absolute: dict[int, np.ndarray] = field(default_factory=dict)
    between: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    weights: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    links: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    classes: GroupedSum = field(default_factory=GroupedSum)
    class_rows: list[np.ndarray] = field(default_factory=list)
    paths: GroupedSum = field(default_factory=GroupedSum)
    structure: Structure | None = None
    general: Counter[str] = field(default_factory=Counter)
    calls: Calls | None = None
    loose: bool = False
    missed: float = 0.0
    branches: int = 0

    def include(self, block: Sums) -> None:
        """Add the sums of the next block."""
        self.rows.extend(block.rows)
        self.row_weights.extend(block.row_weights)
        for layer, parts in block.units.items():
            self.units.setdefault(layer, []).extend(parts)
            self.absolute[layer] = self.absolute.get(layer, 0.0) + block.absolute[layer]
        self.ran(block.calls, loose=block.loose)
        of_weights = () if self.loose else ((self.weights, block.weights), (self.links, block.links))
        for sums, of_block in ((self.between, block.between), *of_weights):
            for key, part in of_block.items():
                sums.setdefault(key, GroupedSum()).include(part)
        self.classes.include(block.classes)
        self.class_rows.extend(block.class_rows)
        self.paths.include(block.paths)
        self.structure = block.structure
        self.general.update(block.general)
        self.missed += block.missed
        self.branches += block.branches

    def ran(self, calls: Calls | None, *, loose: bool) -> None:
        """Compare the operations of a block with those before: sums of weights need the same ones."""
        self.loose |= loose or self.calls not in (None, calls)
        self.calls = calls
        if self.loose:
            self.weights.clear()
            self.links.clear()


@dataclass(eq=False)
class BlockSums:
    """The sums of one block, over its steps.

    Attributes:
        block: Of rows.
        way: From their backgrounds to them.
        places: The layers that are measured, of which the first are inputs that move.
        inputs: Number of these inputs.
        feature_groups: Of the features that are measured together; None for each by itself.
        maps: What the weights are weights of.
        columns: Of the attribution; None for none.
        weight: Of the outcomes of each row, at each step that the block takes at once.
        apart: Whether columns are decisions of their own.
        loose: Whether no place on the tape stands for a weight.
    """

    block: Block
    way: Way
    places: Sequence[Place]
    inputs: int
    feature_groups: Groups | None
    maps: LinkMaps | None
    columns: Columns | None
    weight: Tensor
    apart: bool
    loose: bool

    def __post_init__(self) -> None:
        self.bounds = self.block.bounds.tolist()
        self.calls: Calls | None = None
        self.missed = torch.zeros(())
        self._units: dict[tuple[int, int], Tensor] = {}
        self._weights: dict[tuple[int, int], list[Tensor | None]] = {}
        self._links: dict[tuple[int, int], list[Tensor | None]] = {}
        self._late: dict[tuple[int, int], LateProducts] = {}
        self._weight: dict[tuple[int, int], tuple[Operation, Tensor, bool]] = {}
        self._pairs, self._first_step = torch.from_numpy(self.block.row), slice(None, None, self.block.steps)
        self._classes = None
        if self.columns is not None:
            self._classes = ClassColumns(
                self.columns,
                self.weight[self._first_step],
                self._pairs,
                self.bounds,
                self.way.features,
                apart=self.apart,
            )

    def begin(self, start: Tape, structure: Structure, straight: frozenset[int] = frozenset()) -> None:
        """Begin to add steps of the same operations.

        Args:
            start: Where they begin.
            structure: Of their tapes.
            straight: Numbers of the values that move in a straight line, in equal steps.
        """
        self.structure, self._straight, self._first = structure, straight, start.part(straight)
        self._left: Left = {}
        self._steps = 0
        if self._classes is not None:
            self._classes.begin(straight)
        if self.calls is None:
            self.calls = tuple((str(function), read, written) for function, read, written in start.calls)
            self.loose |= self.maps is None or not self.maps.fits(start)

    def over(self, start: Tape, end: Tape, seeds: Tensor, general: Counter[str]) -> None:
        """Add the currents over one step, as far as what moves in a straight line."""
        known = None if self._classes is None else dict[int, Ends]()
        walk = Walk(
            start,
            end,
            self.structure,
            self._collect_weights,
            general,
            stop=self._straight,
            left=self._left,
            known=known,
        )
        walk.back({start.outputs[0]: seeds})
        self._add(walk)
        self._steps += 1
        if self._classes is not None:
            self._classes.add(start, end, seeds, known or {})

    def end(self, end: Tape, general: Counter[str]) -> None:
        """Add the currents over all steps since `begin` of what moves in a straight line."""
        walk = Walk(self._first, end, self.structure, self._collect_weights, general)
        walk.on(mean_left(self._left, self._steps))
        self._add(walk)
        if self._classes is not None:
            self._classes.end(self._first, end)

    @property
    def _collect_weights(self) -> Collect | None:
        return None if self.loose else self._collect

    def _collect(self, position: int, ahead: int, slope: Tensor, ends: Ends) -> None:
        """Add the products of the steps and slopes of a weight."""
        weighted = self.structure.weighted[position]
        self.loose |= not read_by_row(ends, weighted, self.bounds[-1])
        if self.loose or self.maps is None:
            return
        cells, outer = self.maps.cells.get((position, ahead)), self.maps.outer[position]
        if cells is not None and cells.rows is not None:
            parts = cells.products(ends, weighted, slope, self.bounds, outer)
            _add_parts(self._links, (position, ahead), parts)
        key = self.maps.key(position, ahead)
        if outer == 1 and LateProducts.suit(ends, weighted, self.bounds[-1]):
            if key not in self._late:
                self._late[key] = LateProducts.of(ends, weighted)
            self._late[key].add(ends, slope)
            return
        weight = ends.start.value(Value(weighted.weight))  # alone: the ends would keep their tapes
        self._weight[key] = ends.operation, weight, weighted.first
        _add_parts(self._weights, key, weight_products(ends, weighted, slope, self.bounds, outer))

    def _add(self, walk: Walk) -> None:
        """Add the currents of the units over one step."""
        for (layer, ahead), current in walk.layers.items():
            units = self._by_unit(layer, current)
            key = layer, ahead
            self._units[key] = self._units[key].add_(units) if key in self._units else units

    def _by_unit(self, layer: int, current: Tensor) -> Tensor:
        if layer < self.inputs:
            return self.way.by_feature(layer, current)
        if layer == len(self.places) - 1:
            return current.flatten(1)
        place = self.places[layer]
        arranged = place.axes.arranged(current, self.bounds[-1])
        if len(arranged) != self.bounds[-1]:
            raise InputError(
                f"Layer {place.name!r} ran on {len(arranged)} of {self.bounds[-1]} rows, such as an expert "
                "to which only some are sent; choose layers that run on all rows, with layers=."
            )
        return arranged.flatten(2).sum(2) if arranged.dim() > 2 else arranged

    def finish(self, sums: Sums) -> None:
        """Add the sums of the block to those of all."""
        explained = self.block.rows[self._first_step]
        sums.rows.append(explained)
        sums.row_weights.append(self.block.weights[self._first_step])
        by_layer: dict[int, Tensor] = {}
        for unread in set(range(self.inputs)) - {layer for layer, _ in self._units}:
            self._units[unread, len(self.places) - 1] = self.way.none_of(unread)
        for (layer, ahead), units in self._units.items():
            by_group = [units[first:last].sum(0) for first, last in pairwise(self.bounds)]
            self._add_to(sums.between.setdefault((layer, ahead), GroupedSum()), by_group)
            by_layer[layer] = by_layer[layer] + units if layer in by_layer else units
        for layer, units in by_layer.items():
            rows = units.new_zeros(len(explained), units.shape[1])
            rows = rows.index_add_(0, self._pairs.to(units.device), units)
            sums.units.setdefault(layer, []).append(rows.numpy(force=True))
            absolute = self._absolute(layer, units, self._pairs)
            sums.absolute[layer] = sums.absolute.get(layer, 0.0) + absolute
        sums.ran(self.calls, loose=self.loose)
        if not sums.loose:
            self._finish_weights(sums)
        sums.missed += float(self.missed.abs().sum())
        sums.structure = self.structure
        if self._classes is not None:
            whole = joined([by_layer[layer] for layer in range(self.inputs)], 1)
            self._add_to(sums.classes, self._classes.sums(whole))
            if self._classes.of_rows is not None:
                sums.class_rows.append(self._classes.of_rows.permute(1, 2, 0).numpy(force=True))

    def _finish_weights(self, sums: Sums) -> None:
        """Add the currents of weights, and of units where these do not tell them."""
        for key, late in self._late.items():
            late.add_to(sums.weights.setdefault(key, GroupedSum()), self.block)
        for key, products in self._weights.items():
            links = [None if part is None else by_channel(*self._weight[key], part) for part in products]
            self._add_to(sums.weights.setdefault(key, GroupedSum()), links)
        for key, links in self._links.items():
            self._add_to(sums.links.setdefault(key, GroupedSum()), links)

    def _add_to(self, sums: GroupedSum, parts: Sequence[Tensor | None]) -> None:
        """Add the sums over each slice of pairs."""
        for group, of_group in self.block.by_group(parts):
            sums.add(group, of_group)

    def _absolute(self, layer: int, units: Tensor, rows: Tensor) -> np.ndarray:
        """See `Sums.absolute`; of the pairs of each unit, and the row of each pair."""
        counts = torch.tensor(self.bounds).diff()
        place = rows * GROUPS + (torch.arange(len(counts)) % GROUPS).repeat_interleave(counts)
        groups_of_rows = torch.from_numpy(self.block.groups[self._first_step])
        table = units.new_zeros(len(groups_of_rows) * GROUPS, units.shape[1])
        table = table.index_add_(0, place.to(units.device), units).reshape(-1, GROUPS, units.shape[1])
        groups = self.feature_groups
        if groups is not None and layer < self.inputs:
            index = torch.from_numpy(groups.index).to(table.device)
            table = table.new_zeros(*table.shape[:2], len(groups.names)).index_add_(2, index, table)
        whole = table.sum(1, keepdim=True)
        sizes = torch.cat([whole - table, whole], dim=1).abs().double()
        sizes[torch.arange(len(sizes)), groups_of_rows] = 0.0
        return sizes.sum(0).numpy(force=True)


def _add_parts(
    sums: dict[tuple[int, int], list[Tensor | None]], key: tuple[int, int], parts: Sequence[Tensor | None]
) -> None:
    """Add to the parts of a sum in place."""
    for before, part in zip(sums.get(key, ()), parts, strict=False):
        if before is not None and part is not None:
            before.add_(part)
    sums.setdefault(key, list(parts))
