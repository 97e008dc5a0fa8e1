"""The currents of blocks of rows, along the straight way from their backgrounds, summed in block order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.data.groups import Groups
from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.branches import by_both_ends
from nif.measures.currents.discrete_gradient import values_read_by_rules
from nif.measures.currents.ends import Ends
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.information import Decided, information, own_log_likelihood
from nif.measures.currents.link_maps import LinkMaps, units_of_numbers
from nif.measures.currents.moves import Moves, Way
from nif.measures.currents.structure import Structure, Weighted
from nif.measures.currents.tape import Calls, Tape, record
from nif.measures.currents.targets import Found, Target
from nif.measures.currents.walk import Walk
from nif.measures.currents.weights import by_channel, read_by_row, weight_products
from nif.network.layers import Place
from nif.network.tracing import traced_run
from nif.network.unit_maps import tensors_in

MOST_PAIRS = 2048
"""Pairs of a row and a background in one block."""

EVERYTHING = range(2**31)
"""Numbers of all values of a tape."""

LARGEST_TAPE = 2**26
"""Numbers on the tape of one block; blocks are small enough for that."""


@dataclass(frozen=True, eq=False)
class Block:
    """Explained rows of one group, and their backgrounds.

    Attributes:
        rows: Indices of the rows.
        weights: Of the rows; those of all blocks sum to 1.
        backgrounds: Indices of the background rows.
        log_weights: Of the backgrounds.
        own: Weight of the row itself among its backgrounds.
        group: Of the rows.
        background_groups: Of the backgrounds.
    """

    rows: Int64[np.ndarray, " row"]
    weights: Float[np.ndarray, " row"]
    backgrounds: Int64[np.ndarray, "row background"]
    log_weights: Float[np.ndarray, "row background"]
    own: float
    group: int
    background_groups: Int64[np.ndarray, "row background"]

    @property
    def order(self) -> Int64[np.ndarray, " pair"]:
        """Pairs by the group of the background, so that each group is one slice."""
        return np.argsort(self.background_groups.ravel(), kind="stable")

    @property
    def bounds(self) -> Int64[np.ndarray, " edge"]:
        """First pair of each group, and the number of pairs."""
        return np.searchsorted(np.sort(self.background_groups.ravel()), np.arange(GROUPS + 1))


def blocks(
    rows: Int64[np.ndarray, " row"],
    weights: Float[np.ndarray, " row"],
    backgrounds: Backgrounds,
    groups: Int64[np.ndarray, " pool"],
    most_pairs: int,
    pool_groups: Int64[np.ndarray, " pool"] | None = None,
) -> Iterator[Block]:
    """Blocks of rows, group by group; backgrounds of a pool of their own have groups of their own."""
    pool_groups = groups if pool_groups is None else pool_groups
    size = max(1, most_pairs // backgrounds.index.shape[1])
    for group in range(GROUPS):  # so that all rows of a block are left out together
        members = np.flatnonzero(groups[rows] == group)
        for first in range(0, len(members), size):
            part = members[first : first + size]
            yield Block(
                rows[part],
                weights[part],
                backgrounds.index[part],
                backgrounds.log_weights[part],
                backgrounds.own,
                group,
                pool_groups[backgrounds.index[part]],
            )


@dataclass(eq=False)
class Sums:
    """Sums of currents over all pairs.

    Attributes:
        units: Of the units of each layer, by row, a part for each block.
        absolute: Absolute currents of rows, summed, of the units of each layer: without each group, and of
            all rows, ``[group + 1, unit]``.
        between: Of the units of a layer, by the later layer that they lead to past no other.
        weights: ``[source, target]`` of each weight, by the `LinkMaps.key` of its place on the tape and the
            layer ahead.
        links: Currents between units where weights do not tell them, by the same place and layer.
        classes: Of each feature for each class.
        structure: Of the tape.
        maps: What the weights are weights of.
        general: Uses of the general rule by operator.
        calls: Operations that ran in the last block.
        loose: Whether other operations ran in some block, so that no place on the tape stands for a weight.
        missed: What steps whose ends run different operations miss of the information of rows, absolute.
        branches: Number of such steps.
    """

    units: dict[int, list[np.ndarray]] = field(default_factory=dict)
    absolute: dict[int, np.ndarray] = field(default_factory=dict)
    between: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    weights: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    links: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    classes: GroupedSum = field(default_factory=GroupedSum)
    structure: Structure | None = None
    maps: LinkMaps | None = None
    general: Counter[str] = field(default_factory=Counter)
    calls: Calls | None = None
    loose: bool = False
    missed: float = 0.0
    branches: int = 0


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """Integrates the currents of a network along the way from backgrounds to rows.

    Attributes:
        target: What of a run is decided.
        places: The layers that are measured: inputs that move, hidden ones, and that of the target.
        moves: Which inputs move.
        inputs: Rows of data, as the network takes them.
        decided: The decision.
        outputs: Of all rows.
        parameters: Of the network, by name.
        steps: Of the way.
        by_class: Whether the features are also shown for each class.
        background_inputs: Rows that the backgrounds are among; those of data if None.
        feature_groups: Of the features that are measured together; None for each by itself.
    """

    target: Target
    places: Sequence[Place]
    moves: Moves
    inputs: tuple[Tensor, ...]
    decided: Decided
    outputs: Float[Tensor, "pool output"]
    parameters: Mapping[str, Tensor]
    steps: int
    by_class: bool = True
    background_inputs: tuple[Tensor, ...] | None = None
    feature_groups: Groups | None = None
    _ways: WeakKeyDictionary[Block, Way] = field(default_factory=WeakKeyDictionary, repr=False)

    def way(self, block: Block) -> Way:
        """From the backgrounds of a block to its rows."""
        if block not in self._ways:
            device = self.outputs.device
            pairs = np.divmod(block.order, block.backgrounds.shape[1])
            here = torch.from_numpy(block.rows[pairs[0]]).to(device)
            there = torch.from_numpy(block.backgrounds[pairs]).to(device)
            pool = self.inputs if self.background_inputs is None else self.background_inputs
            start, end = [values[there] for values in pool], [values[here] for values in self.inputs]
            self._ways[block] = Way(self.moves, start, end, self.target.run)
        return self._ways[block]

    def tape(self, block: Block, share: float, kept: Container[int] | None = None) -> Tape:
        """The run at a share of the way; its output is the information of each row and outcome."""
        device = self.outputs.device
        order, way = torch.from_numpy(block.order).to(device), self.way(block)
        rows = torch.from_numpy(block.rows).to(device)
        outcomes = self.decided.outcomes(self.outputs[rows], rows)
        log_weights = torch.from_numpy(block.log_weights).to(self.outputs)
        own = None
        if block.own > 0:
            own = own_log_likelihood(outcomes, self.outputs[rows]) + math.log(block.own)
        back = torch.argsort(order)

        outputs: list[Tensor] = []

        def run(mark: Callable[[str, Tensor], None], *moved: Tensor) -> list[Tensor]:
            with way.inputs(moved) as inputs:
                output = self._marked_run(mark, inputs)
            outputs.append(output)
            by_row = output.index_select(0, back).reshape(*block.backgrounds.shape, -1)
            return [information(outcomes, by_row, log_weights, own)]

        tape = record(run, way.at(share), self.parameters)
        way.check(outputs[0], share)
        tape.forget(kept if kept is not None else self._kept(tape))
        return tape

    def _marked_run(self, mark: Callable[[str, Tensor], None], inputs: Sequence[Tensor]) -> Tensor:
        """Run the network, mark its layers, and return the outputs as ``[pair, output]``."""
        marks = _Marks(mark, [place.name for place in self.places[self.input_layers : -1]], self.target)
        with traced_run(self.target.call.model, marks):
            output = self.target.call(inputs)
        output = self.target(marks.result if self.target.hidden else output, inputs)
        mark(self.places[-1].name, output)
        return output

    @property
    def input_layers(self) -> int:
        """How many of the layers are inputs."""
        return len(self.moves.moving)

    def _kept(self, tape: Tape) -> set[int]:
        return values_read_by_rules(tape) | set((tape.marks or {}).values())

    def layers_of(self, tape: Tape) -> dict[int, int]:
        """Number of the layer by number of the value."""
        marks = tape.marks or {}
        layers = {index: layer for layer, index in enumerate(tape.inputs)}
        missing = [place.name for place in self.places[self.input_layers :] if place.name not in marks]
        if missing:
            raise InputError(
                f"Layer {missing[0]!r} ran on some rows of the data and not on others; choose layers that "
                "always run, with layers=."
            )
        numbers = {place.name: layer for layer, place in enumerate(self.places)}
        return layers | {index: numbers[name] for name, index in marks.items()}

    def add(self, block: Block, sums: Sums, advance: Callable[[float], None]) -> None:
        """Add the currents of a block."""
        start, seeds, kept = self.tape(block, 0.0), self._seeds(block), None
        if not sums.loose and (sums.maps is None or not sums.maps.fits(start)):
            sums.maps = self._maps(block, start)
        structure = Structure.of(start, self.layers_of(start))
        of_block = _BlockSums(self, block, structure, sums.maps, start.calls)
        for step in range(self.steps):
            kept = self._kept(start) if kept is None else kept
            end = self.tape(block, (step + 1) / self.steps, kept)
            if start.like(end):
                of_block.over(start, end, seeds, sums.general)
            else:
                end, kept = self.tape(block, (step + 1) / self.steps), None
                self._by_both_ends(of_block, step, (start, end), seeds, sums.general)
                sums.branches += 1
            start = end
            advance(float(block.backgrounds.size))
        of_block.finish(sums)

    def _maps(self, block: Block, tape: Tape) -> LinkMaps | None:
        """From two pairs of a row: with a background, and with itself; None if other operations run there."""
        alone, pilot = self._pilot(block)
        start, end = (alone.tape(pilot, share, EVERYTHING) for share in (0.0, 1.0))
        if start.calls != end.calls or start.kinds != tape.kinds:
            return None
        layers = self.layers_of(start)
        shapes = {layer: start.shape(value) for value, layer in layers.items()}
        axes = [place.axes for place in self.places[self.input_layers : -1]]
        units = [
            *(alone.way(pilot).features_of(place, shapes[place]) for place in range(self.input_layers)),
            *(
                units_of_numbers(of_layer, shapes[layer])
                for layer, of_layer in enumerate(axes, self.input_layers)
            ),
            units_of_numbers(None, shapes[len(self.places) - 1]),
        ]
        names = [name for name, value in self.parameters.items() if isinstance(value, nn.Parameter)]
        return LinkMaps.of(start, end, layers, units, names)

    def _pilot(self, block: Block) -> tuple[PathIntegral, Block]:
        """A row of a block with a background that differs from it, and with itself."""
        here = int(block.rows[0])
        pool = self.inputs if self.background_inputs is None else self.background_inputs
        differs = [
            any(
                bool((values[there] != own[here]).any())
                for values, own in zip(pool, self.inputs, strict=True)
            )
            for there in block.backgrounds[0].tolist()
        ]
        there = int(block.backgrounds[0, int(np.argmax(differs))])
        both = tuple(
            torch.stack([values[there], own[here]]) for values, own in zip(pool, self.inputs, strict=True)
        )
        pilot = Block(
            np.array([here, here]),
            np.full(2, 0.5),
            np.array([[0], [1]]),
            np.zeros((2, 1)),
            block.own,
            0,
            np.zeros((2, 1), dtype=np.int64),
        )
        return replace(self, background_inputs=both), pilot

    def _by_both_ends(
        self, of_block: _BlockSums, step: int, ends: tuple[Tape, Tape], seeds: Tensor, general: Counter[str]
    ) -> None:
        """Add a step whose ends run different operations."""

        def inputs(share: float) -> list[Tensor]:
            return self.way(of_block.block).at((step + share) / self.steps)

        of_block.loose = True
        parts, missed = by_both_ends(*ends, inputs, seeds)
        for start, end, slopes in parts:
            of_block.structure = Structure.of(start, self.layers_of(start))
            of_block.over(start, end, slopes, general)
        of_block.missed = of_block.missed + missed.double().sum(1)

    def _seeds(self, block: Block) -> Tensor:
        """Slope of the sum of v at the information of each row and outcome: probability and weight."""
        rows = torch.from_numpy(block.rows).to(self.outputs.device)
        weight = self.decided.outcomes(self.outputs[rows], rows).weight
        return weight * torch.from_numpy(block.weights).to(weight)[:, None]


class _BlockSums:
    """The sums of one block, over its steps."""

    def __init__(
        self, path: PathIntegral, block: Block, structure: Structure, maps: LinkMaps | None, calls: Calls
    ) -> None:
        self.path, self.block, self.structure, self.maps, self.calls = path, block, structure, maps, calls
        self.loose, self.missed = maps is None, torch.zeros(())
        self.bounds = block.bounds.tolist()
        self.units: dict[tuple[int, int], Tensor] = {}
        self.weights: dict[tuple[int, int], list[Tensor]] = {}
        self.links: dict[tuple[int, int], list[Tensor]] = {}
        self.products: dict[tuple[int, int], tuple[Ends, Weighted]] = {}
        self.classes: list[Tensor] = []

    def collect(self, position: int, ahead: int, slope: Tensor, ends: Ends) -> None:
        """Add the products of the steps and slopes of a weight."""
        weighted = self.structure.weighted[position]
        self.loose |= not read_by_row(ends, weighted, self.bounds[-1])
        if self.loose or self.maps is None:
            return
        cells, outer = self.maps.cells.get((position, ahead)), self.maps.outer[position]
        if cells is not None and cells.rows is not None:
            parts = cells.products(ends, weighted, slope, self.bounds, outer)
            _add_parts(self.links, (position, ahead), parts)
        key = self.maps.key(position, ahead)
        self.products[key] = ends, weighted
        _add_parts(self.weights, key, weight_products(ends, weighted, slope, self.bounds, outer))

    def over(self, start: Tape, end: Tape, seeds: Tensor, general: Counter[str]) -> None:
        """Add the currents over one step."""
        walk = Walk(start, end, self.structure, None if self.loose else self.collect, general)
        walk.back({start.outputs[0]: seeds})
        self.add(walk)
        if self.path.by_class:
            self.add_classes(start, end, seeds)

    def add(self, walk: Walk) -> None:
        """Add the currents of the units over one step."""
        count = self.bounds[-1]
        for (layer, ahead), current in walk.layers.items():
            units = self._by_unit(layer, current, count)
            key = layer, ahead
            self.units[key] = self.units[key] + units if key in self.units else units

    def _by_unit(self, layer: int, current: Tensor, count: int) -> Tensor:
        if layer < self.path.input_layers:
            return self.path.way(self.block).by_feature(layer, current)
        if layer == len(self.path.places) - 1:
            return current.flatten(1)
        arranged = self.path.places[layer].axes.arranged(current, count)
        return arranged.flatten(2).sum(2) if arranged.dim() > 2 else arranged

    def add_classes(self, start: Tape, end: Tape, seeds: Tensor) -> None:
        """Add the currents of the features for each class: each has its own way back."""
        columns = torch.tensor(self.path.decided.columns, device=seeds.device)
        parts = []
        for column in range(int(columns.max()) + 1):
            walk = Walk(start, end)
            slopes = walk.back({start.outputs[0]: seeds * (columns == column)})
            moves = [(end.values[i] - start.values[i]) * slopes[i] for i in start.inputs]
            features = [self._by_unit(layer, move, self.bounds[-1]) for layer, move in enumerate(moves)]
            parts.append(torch.cat(features, dim=1))
        current = torch.stack(parts, dim=2)
        by_group = [current[a:b].sum(0) for a, b in zip(self.bounds, self.bounds[1:], strict=False)]
        self.classes = (
            [x + y for x, y in zip(self.classes, by_group, strict=True)] if self.classes else by_group
        )

    def finish(self, sums: Sums) -> None:
        """Add the sums of the block to those of all."""
        pairs = torch.from_numpy(np.divmod(self.block.order, self.block.backgrounds.shape[1])[0])
        by_layer: dict[int, Tensor] = {}
        for (layer, ahead), units in self.units.items():
            parts = [units[a:b].sum(0) for a, b in zip(self.bounds, self.bounds[1:], strict=False)]
            sums.between.setdefault((layer, ahead), GroupedSum()).add(self.block.group, parts)
            by_layer[layer] = by_layer[layer] + units if layer in by_layer else units
        for layer, units in by_layer.items():
            rows = units.new_zeros(len(self.block.rows), units.shape[1])
            rows = rows.index_add_(0, pairs.to(units.device), units)
            sums.units.setdefault(layer, []).append(rows.numpy(force=True))
            absolute = self._absolute(layer, units, pairs)
            sums.absolute[layer] = sums.absolute.get(layer, 0.0) + absolute
        sums.loose |= self.loose or sums.calls not in (None, self.calls)
        sums.calls = self.calls
        if sums.loose:
            sums.weights.clear()
            sums.links.clear()
        else:
            self._finish_weights(sums)
        sums.missed += float(self.missed.abs().sum())
        sums.structure = self.structure
        if self.classes:
            sums.classes.add(self.block.group, self.classes)

    def _finish_weights(self, sums: Sums) -> None:
        """Add the currents of weights, and of units where these do not tell them."""
        for key, products in self.weights.items():
            links = [by_channel(*self.products[key], part) for part in products]
            sums.weights.setdefault(key, GroupedSum()).add(self.block.group, links)
        for key, links in self.links.items():
            sums.links.setdefault(key, GroupedSum()).add(self.block.group, links)

    def _absolute(self, layer: int, units: Tensor, rows: Tensor) -> np.ndarray:
        """See `Sums.absolute`; of the pairs of each unit, and the row of each pair."""
        counts = torch.tensor(self.bounds).diff()
        place = rows * GROUPS + torch.arange(GROUPS).repeat_interleave(counts)
        table = units.new_zeros(len(self.block.rows) * GROUPS, units.shape[1])
        table = table.index_add_(0, place.to(units.device), units).reshape(-1, GROUPS, units.shape[1])
        groups = self.path.feature_groups
        if groups is not None and layer < self.path.input_layers:
            index = torch.from_numpy(groups.index).to(table.device)
            table = table.new_zeros(*table.shape[:2], len(groups.names)).index_add_(2, index, table)
        whole = table.sum(1, keepdim=True)
        sizes = torch.cat([whole - table, whole], dim=1).abs().double().sum(0)
        sizes[self.block.group] = 0.0
        return sizes.numpy(force=True)


def _add_parts(sums: dict[tuple[int, int], list[Tensor]], key: tuple[int, int], parts: list[Tensor]) -> None:
    """Add to the parts of a sum in place."""
    for before, part in zip(sums.get(key, ()), parts, strict=False):
        before.add_(part)
    sums.setdefault(key, parts)


class _Marks(Found):
    """Marks the layers of a run, and keeps the result of that of the target."""

    def __init__(self, mark: Callable[[str, Tensor], None], names: Sequence[str], target: Target) -> None:
        super().__init__(target.place.name)
        self._mark, self._names = mark, frozenset(names)

    def step(self, name: str, kind: str, given: object, returned: object, *, nonlinear: bool) -> None:
        super().step(name, kind, given, returned, nonlinear=nonlinear)
        if name in self._names:
            self._mark(name, tensors_in(returned)[0])
