"""The currents of blocks of rows, along the way from their backgrounds, summed in block order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.data.groups import Groups
from nif.measures.currents.backgrounds import Backgrounds
from nif.measures.currents.discrete_gradient import values_read_by_rules
from nif.measures.currents.ends import Ends
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.information import Decided, information, own_log_likelihood
from nif.measures.currents.orders import Orders, Share, straight
from nif.measures.currents.structure import Structure, Weighted
from nif.measures.currents.tape import Tape, record
from nif.measures.currents.walk import Walk
from nif.measures.currents.weights import by_channel, by_position, weight_products
from nif.network.forward import Forward
from nif.network.layers import Place
from nif.network.tracing import Tracer, traced_run
from nif.network.unit_maps import tensors_in

MOST_PAIRS = 2048
"""Pairs of a row and a background in one block."""

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
        weights: ``[source, target]`` of each weight, by its place on the tape and the layer ahead.
        classes: Of each feature for each class.
        structure: Of the tape.
        general: Uses of the general rule by operator.
    """

    units: dict[int, list[np.ndarray]] = field(default_factory=dict)
    absolute: dict[int, np.ndarray] = field(default_factory=dict)
    between: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    weights: dict[tuple[int, int], GroupedSum] = field(default_factory=dict)
    classes: GroupedSum = field(default_factory=GroupedSum)
    structure: Structure | None = None
    general: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """Integrates the currents of a network along the way from backgrounds to rows.

    Attributes:
        call: Runs the network.
        places: Its layers.
        inputs: Rows of data, as the network takes them.
        decided: The decision.
        outputs: Of all rows.
        parameters: Of the network, by name.
        steps: Of the way.
        by_class: Whether the features are also shown for each class.
        background_inputs: Rows that the backgrounds are among; those of data if None.
        feature_groups: Of the features that are measured together; None for each by itself.
        orders: In which groups of features move; None for the straight way.
    """

    call: Forward
    places: Sequence[Place]
    inputs: tuple[Tensor, ...]
    decided: Decided
    outputs: Float[Tensor, "pool output"]
    parameters: Mapping[str, Tensor]
    steps: int
    by_class: bool = True
    background_inputs: tuple[Tensor, ...] | None = None
    feature_groups: Groups | None = None
    orders: Orders | None = None

    @property
    def runs(self) -> int:
        """Steps of all ways of a pair."""
        return self.steps * (1 if self.orders is None else len(self.orders))

    def ways(self, block: Block) -> Iterator[tuple[float, Iterable[Share]]]:
        """Ways from the backgrounds to the rows, by the shares where they stop, and their weights."""
        if self.orders is None:
            return straight(self.steps)
        rows = block.rows[block.order // block.backgrounds.shape[1]]
        return self.orders.ways(rows, self.steps)

    def tape(self, block: Block, share: Share, kept: set[int] | None = None) -> Tape:
        """The run at a share of the way; its output is the information of each row and outcome."""
        device = self.outputs.device
        order = torch.from_numpy(block.order).to(device)
        pairs = np.divmod(block.order, block.backgrounds.shape[1])
        here = torch.from_numpy(block.rows[pairs[0]]).to(device)
        there = torch.from_numpy(block.backgrounds[pairs]).to(device)
        pool = self.inputs if self.background_inputs is None else self.background_inputs
        shares: Sequence[float | Tensor] = [share] * len(pool) if isinstance(share, float) else share
        ends = zip(pool, self.inputs, shares, strict=True)
        moved = [_between(start[there], end[here], part) for start, end, part in ends]
        rows = torch.from_numpy(block.rows).to(device)
        outcomes = self.decided.outcomes(self.outputs[rows], rows)
        log_weights = torch.from_numpy(block.log_weights).to(self.outputs)
        own = None
        if block.own > 0:
            own = own_log_likelihood(outcomes, self.outputs[rows]) + math.log(block.own)
        back = torch.argsort(order)

        def run(mark: Callable[[str, Tensor], None], *inputs: Tensor) -> list[Tensor]:
            output = self._marked_run(mark, inputs)
            by_row = output.index_select(0, back).reshape(*block.backgrounds.shape, -1)
            return [information(outcomes, by_row, log_weights, own)]

        tape = record(run, moved, self.parameters)
        tape.forget(kept if kept is not None else self._kept(tape))
        return tape

    def _marked_run(self, mark: Callable[[str, Tensor], None], inputs: Sequence[Tensor]) -> Tensor:
        """Run the network, mark its layers, and return the outputs as ``[pair, output]``."""
        hidden = {place.name: place.name for place in self.places[len(self.inputs) : -1]}
        with traced_run(self.call.model, _Marks(mark, hidden)):
            output = self.call(inputs)
        mark(self.places[-1].name, output)
        return self.places[-1].axes.arranged(output, len(inputs[0])).flatten(1).float()

    def _kept(self, tape: Tape) -> set[int]:
        return values_read_by_rules(tape) | set((tape.marks or {}).values())

    def layers_of(self, tape: Tape) -> dict[int, int]:
        """Number of the layer by number of the value."""
        marks = tape.marks or {}
        layers = {index: layer for layer, index in enumerate(tape.inputs)}
        missing = [place.name for place in self.places[len(self.inputs) :] if place.name not in marks]
        if missing:
            raise InputError(
                f"Layer {missing[0]!r} ran on some rows of the data and not on others; choose layers that "
                "always run, with layers=."
            )
        numbers = {place.name: layer for layer, place in enumerate(self.places)}
        return layers | {index: numbers[name] for name, index in marks.items()}

    def add(self, block: Block, sums: Sums, advance: Callable[[float], None]) -> None:
        """Add the currents of a block."""
        of_block, kept = None, None
        for weight, shares in self.ways(block):
            start, seeds = None, weight * self._seeds(block)
            for share in shares:
                end = self.tape(block, share, kept)
                if of_block is None or kept is None:
                    kept = self._kept(end)
                    of_block = _BlockSums(self, block, Structure.of(end, self.layers_of(end)))
                if start is not None:
                    self._add_step(start, end, seeds, of_block, sums)
                    advance(float(block.backgrounds.size))
                start = end
        if of_block is not None:
            of_block.finish(sums)

    def _add_step(self, start: Tape, end: Tape, seeds: Tensor, of_block: _BlockSums, sums: Sums) -> None:
        """Add the currents of one step of a block."""
        if not start.like(end):
            raise InputError("The model runs different operations along the way from one row to another.")
        walk = Walk(start, end, of_block.structure, of_block.collect, sums.general)
        walk.back({start.outputs[0]: seeds})
        of_block.add(walk)
        if self.by_class:
            of_block.add_classes(start, end, seeds)

    def _seeds(self, block: Block) -> Tensor:
        """Slope of the sum of v at the information of each row and outcome: probability and weight."""
        rows = torch.from_numpy(block.rows).to(self.outputs.device)
        weight = self.decided.outcomes(self.outputs[rows], rows).weight
        return weight * torch.from_numpy(block.weights).to(weight)[:, None]


class _BlockSums:
    """The sums of one block, over its steps."""

    def __init__(self, path: PathIntegral, block: Block, structure: Structure) -> None:
        self.path, self.block, self.structure = path, block, structure
        self.bounds = block.bounds.tolist()
        self.units: dict[tuple[int, int], Tensor] = {}
        self.weights: dict[tuple[int, int], list[Tensor]] = {}
        self.products: dict[tuple[int, int], tuple[Ends, Weighted]] = {}
        self.classes: list[Tensor] = []

    def collect(self, position: int, ahead: int, slope: Tensor, ends: Ends) -> None:
        """Add the products of the steps and slopes of a weight."""
        weighted, key = self.structure.weighted[position], (position, ahead)
        parts = None
        if weighted.moving in self.structure.input_views:
            parts = by_position(ends, weighted, slope, self.bounds)
        if parts is None:
            parts = weight_products(ends, weighted, slope, self.bounds)
            self.products[key] = ends, weighted
        if key in self.weights:
            for before, part in zip(self.weights[key], parts, strict=True):
                before.add_(part)
        else:
            self.weights[key] = parts

    def add(self, walk: Walk) -> None:
        """Add the currents of the units over one step."""
        count = self.bounds[-1]
        for (layer, ahead), current in walk.layers.items():
            units = self._by_unit(layer, current, count)
            key = layer, ahead
            self.units[key] = self.units[key] + units if key in self.units else units

    def _by_unit(self, layer: int, current: Tensor, count: int) -> Tensor:
        if layer < len(self.path.inputs):
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
            steps = [(end.values[i] - start.values[i]) * slopes[i] for i in start.inputs]
            parts.append(torch.cat([step.flatten(1) for step in steps], dim=1))
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
        for key, products in self.weights.items():
            links = products
            if key in self.products:
                links = [by_channel(*self.products[key], part) for part in products]
            sums.weights.setdefault(key, GroupedSum()).add(self.block.group, links)
        sums.structure = self.structure
        if self.classes:
            sums.classes.add(self.block.group, self.classes)

    def _absolute(self, layer: int, units: Tensor, rows: Tensor) -> np.ndarray:
        """See `Sums.absolute`; of the pairs of each unit, and the row of each pair."""
        counts = torch.tensor(self.bounds).diff()
        place = rows * GROUPS + torch.arange(GROUPS).repeat_interleave(counts)
        table = units.new_zeros(len(self.block.rows) * GROUPS, units.shape[1])
        table = table.index_add_(0, place.to(units.device), units).reshape(-1, GROUPS, units.shape[1])
        groups = self.path.feature_groups
        if groups is not None and layer < len(self.path.inputs):
            index = torch.from_numpy(groups.index).to(table.device)
            table = table.new_zeros(*table.shape[:2], len(groups.names)).index_add_(2, index, table)
        whole = table.sum(1, keepdim=True)
        sizes = torch.cat([whole - table, whole], dim=1).abs().double().sum(0)
        sizes[self.block.group] = 0.0
        return sizes.numpy(force=True)


class _Marks(Tracer):
    """Marks the layers of a run."""

    def __init__(self, mark: Callable[[str, Tensor], None], names: Mapping[str, str]) -> None:
        self._mark, self._names = mark, names

    def step(self, name: str, kind: str, given: object, returned: object, *, nonlinear: bool) -> None:
        if name in self._names:
            self._mark(self._names[name], tensors_in(returned)[0])


def _between(start: Tensor, end: Tensor, share: float | Tensor) -> Tensor:
    """A point of the way; its two ends are exact."""
    if isinstance(share, Tensor):
        share = share.to(start)
        return torch.where(share == 1, end, torch.where(share == 0, start, start + share * (end - start)))
    if share in (0.0, 1.0):
        return (end if share else start).clone()
    return start + share * (end - start)
