"""The currents of blocks of rows, along the way from their backgrounds."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.types import Advance
from nif.data.groups import Groups
from nif.measures.currents.block_sums import BlockSums, Sums
from nif.measures.currents.blocks import Block
from nif.measures.currents.branches import by_both_ends
from nif.measures.currents.class_columns import Columns
from nif.measures.currents.discrete_gradient import values_read_by_rules
from nif.measures.currents.distinct_rows import DistinctRows
from nif.measures.currents.information import Decided, information, own_log_likelihood
from nif.measures.currents.link_maps import LinkMaps, units_of_numbers
from nif.measures.currents.moves import Moves, Way
from nif.measures.currents.orders import Orders, Share, between, straight
from nif.measures.currents.straight import (
    StraightProducts,
    results_of,
    straight_products,
    straight_values,
)
from nif.measures.currents.structure import Structure, repeated_for_each
from nif.measures.currents.tape import Known, Tape, nothing_known, record
from nif.measures.currents.targets import Found, Target
from nif.measures.currents.unit_cells import PAIRS
from nif.network.layers import Place
from nif.network.tracing import traced_run
from nif.network.unit_maps import tensors_in

EVERYTHING = range(2**31)
"""Numbers of all values of a tape."""

SMALL_STEP, MOST_AT_ONCE = 2**14, 2**17
"""Numbers of a value on the tape of a step that is so small that several are taken at once, and on the tape
of all of these: calls of operations take longer than what they compute."""

_ONE_RUN = threading.RLock()
"""Hooks and switches of torch are those of a process: threads run the network in turns."""


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
        columns: The classes that the features are also shown for; None for none.
        background_inputs: Rows that the backgrounds are among; those of data if None.
        feature_groups: Of the features that are measured together; None for each by itself.
        orders: In which groups of features move; None for the straight way.
        numbers: On the tape of one pair, in the mean over values; where they are few, several steps are taken
            at once.
    """

    target: Target
    places: Sequence[Place]
    moves: Moves
    inputs: tuple[Tensor, ...]
    decided: Decided
    outputs: Float[Tensor, "pool output"]
    parameters: Mapping[str, Tensor]
    steps: int
    columns: Columns | None = None
    background_inputs: tuple[Tensor, ...] | None = None
    feature_groups: Groups | None = None
    orders: Orders | None = None
    numbers: float = 0.0

    @property
    def runs(self) -> int:
        """Steps of all ways of a pair."""
        return self.steps * (1 if self.orders is None else len(self.orders))

    @property
    def weights(self) -> int:
        """Numbers of all parameters and buffers."""
        return sum(values.numel() for values in self.parameters.values())

    def ways(self, block: Block) -> Iterator[tuple[float, Iterable[Share]]]:
        """Ways from the backgrounds to the rows, by the shares where they stop, and their weights."""
        if self.orders is None:
            return straight(self.steps)
        rows = block.rows[block.order // block.backgrounds.shape[1]]
        return self.orders.ways(rows, self.steps)

    def way(self, block: Block) -> Way:
        """From the backgrounds of a block to its rows."""
        device = self.outputs.device
        there, here = (torch.from_numpy(index).to(device) for index in block.ends)
        pool = self.inputs if self.background_inputs is None else self.background_inputs
        start, end = [values[there] for values in pool], [values[here] for values in self.inputs]
        with _ONE_RUN:
            return Way(self.moves, start, end, self.target.run)

    def tape(
        self,
        block: Block,
        share: Share,
        kept: Container[int] | None = None,
        way: Way | None = None,
        products: StraightProducts | None = None,
    ) -> Tape:
        """The run at a share of the way; its output is the information of each row and outcome."""
        device, way = self.outputs.device, self.way(block) if way is None else way
        order = torch.from_numpy(block.order).to(device)
        rows = torch.from_numpy(block.rows).to(device)
        outcomes = self.decided.outcomes(self.outputs[rows], rows)
        log_weights = torch.from_numpy(block.log_weights).to(self.outputs)
        own = None
        if block.own > 0:
            own = own_log_likelihood(outcomes, self.outputs[rows]) + math.log(block.own)
        back, outputs = torch.argsort(order), list[Tensor]()

        def run(mark: Callable[[str, Tensor], None], *moved: Tensor) -> list[Tensor]:
            with way.inputs(moved) as inputs:
                output = self._marked_run(mark, inputs)
            outputs.append(output)
            by_row = output.index_select(0, back).reshape(*block.backgrounds.shape, -1)
            return [information(outcomes, by_row, log_weights, own)]

        with _ONE_RUN:
            tape = record(run, way.at(share), self.parameters, self._known(block, share, products))
        way.check(outputs[0], share)
        tape.forget(kept if kept is not None else self._kept(tape))
        return tape

    def _known(self, block: Block, share: Share, products: StraightProducts | None) -> Known:
        """What need not be computed of a run."""
        if not isinstance(share, float):
            return nothing_known
        if share not in (0.0, 1.0):
            return nothing_known if products is None else partial(products.result, share)
        if self.moves.embedded:  # what is looked up may stand in another order
            return nothing_known
        return DistinctRows.of(block.ends[int(share)], self.outputs.device).result

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
        kept = values_read_by_rules(tape) | set((tape.marks or {}).values())
        return kept | results_of(straight_products(tape, straight_values(tape)))

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

    def add(self, block: Block, sums: Sums, advance: Advance) -> None:
        """Add the currents of a block."""
        of_block = self._of_several_steps(block, sums, advance)
        if of_block is None:
            of_block = self._sums_of(block, sums)
            for weight, shares in self.ways(block):
                self._add_way(of_block, iter(shares), weight * self._seeds(block), sums, advance)
        of_block.finish(sums)

    def _of_several_steps(self, block: Block, sums: Sums, advance: Advance) -> BlockSums | None:
        """The sums of a small block, with several of its steps at once.

        Returns:
            None if each step is to be taken by itself: the block is not small, or ends run different
            operations.
        """
        steps = self._steps_at_once(block)
        if steps == 1:
            return None
        of_block, general = self._sums_of(block.of_steps(steps), sums), Counter[str]()
        block, way, seeds = of_block.block, of_block.way, self._seeds(of_block.block)
        begun: Tape | None = None
        for first in range(0, self.steps, steps):
            before, after = (way.shares((block.step + stop) / self.steps) for stop in (first, first + 1))
            if before is None or after is None:
                return None
            start, end = self.tape(block, before, way=way), self.tape(block, after, way=way)
            if begun is None:
                begun = start
                of_block.begin(start, self._structure(of_block, start))
            if not (begun.like(start) and start.like(end)):
                return None
            of_block.over(start, end, seeds, general)
            advance(float(block.backgrounds.size))
        sums.general.update(general)
        return of_block

    def _steps_at_once(self, block: Block) -> int:
        """As many as a tape has room for, of those that the number of steps can be divided into."""
        size = self.numbers * block.backgrounds.size
        if not 0 < size <= SMALL_STEP or self.orders is not None:
            return 1
        most = min(self.steps, int(MOST_AT_ONCE / size))
        return max(number for number in range(1, most + 1) if self.steps % number == 0)

    def _sums_of(self, block: Block, sums: Sums) -> BlockSums:
        return BlockSums(
            block,
            self.way(block),
            self.places,
            self.input_layers,
            self.feature_groups,
            sums.maps,
            self.columns,
            self._seeds(block),
            max(self.decided.independent) > 0,
            sums.loose,
        )

    def _add_way(
        self, of_block: BlockSums, shares: Iterator[Share], seeds: Tensor, sums: Sums, advance: Advance
    ) -> None:
        """Add the currents along one way."""
        block, way, share = of_block.block, of_block.way, next(shares)
        start = self.tape(block, share, way=way)
        kept = self._begin(of_block, start)
        products = self._products(of_block, start, kept)
        for stop in shares:
            end = products.last if products and stop == 1.0 else self.tape(block, stop, kept, way, products)
            if start.like(end):
                of_block.over(start, end, seeds, sums.general)
            else:
                of_block.end(start, sums.general)
                end = self.tape(block, stop, way=way)
                self._by_both_ends(of_block, (share, stop), (start, end), seeds, sums)
                kept, products = self._begin(of_block, end), None
            share, start = stop, end
            advance(float(block.backgrounds.size))
        of_block.end(start, sums.general)

    def _begin(self, of_block: BlockSums, start: Tape) -> set[int]:
        """Begin with the operations of a tape; returns the numbers of the values that their rules read."""
        values = straight_values(start) if self.orders is None else frozenset()
        of_block.begin(start, self._structure(of_block, start), values)
        return self._kept(start)

    def _products(self, of_block: BlockSums, start: Tape, kept: set[int]) -> StraightProducts | None:
        """What is known on the straight way from its first end, and the last."""
        if self.orders is not None:
            return None
        last = self.tape(of_block.block, 1.0, kept, of_block.way)
        return StraightProducts.of(start, last, straight_values(start)) if start.like(last) else None

    def _structure(self, of_block: BlockSums, start: Tape) -> Structure:
        maps = of_block.maps
        repeated = maps.repeated if maps is not None and maps.fits(start) else frozenset[int]()
        return Structure.of(start, self.layers_of(start), repeated)

    def _by_both_ends(
        self,
        of_block: BlockSums,
        stops: tuple[Share, Share],
        ends: tuple[Tape, Tape],
        seeds: Tensor,
        sums: Sums,
    ) -> None:
        """Add a step whose ends run different operations."""

        def inputs(part: float) -> list[Tensor]:
            return of_block.way.at(between(*stops, part))

        of_block.loose = True
        parts, missed = by_both_ends(*ends, inputs, seeds)
        for start, end, slopes in parts:
            of_block.begin(start, self._structure(of_block, start))
            of_block.over(start, end, slopes, sums.general)
            of_block.end(end, sums.general)
        of_block.missed = of_block.missed + missed.double().sum(1)
        sums.branches += 1

    def maps(self, block: Block) -> LinkMaps | None:
        """What the weights are weights of, from two pairs of a row of a block: with a background, and with
        itself; None if these run different operations."""
        alone, pilot = self._pilot(block)
        way = alone.way(pilot)
        start, end = (alone.tape(pilot, share, EVERYTHING, way) for share in (0.0, 1.0))
        if start.calls != end.calls:
            return None
        layers = self.layers_of(start)
        shapes = {layer: start.shape(value) for value, layer in layers.items()}
        axes = [place.axes for place in self.places[self.input_layers : -1]]
        units = [
            *(way.features_of(place, shapes[place]) for place in range(self.input_layers)),
            *(
                units_of_numbers(of_layer, shapes[layer])
                for layer, of_layer in enumerate(axes, self.input_layers)
            ),
            units_of_numbers(None, shapes[len(self.places) - 1]),
        ]
        features = [math.prod(self.inputs[number].shape[1:]) for number in self.moves.moving]
        counts = [*features, *(int(labels.max()) + 1 for labels in units[self.input_layers :])]
        names = [name for name, value in self.parameters.items() if isinstance(value, nn.Parameter)]
        alone, more = self._pilot(block, PAIRS + 1)
        repeated = repeated_for_each(start, alone.tape(more, 0.0, EVERYTHING))
        return LinkMaps.of(start, end, layers, units, counts, names, repeated)

    def _pilot(self, block: Block, pairs: int = PAIRS) -> tuple[PathIntegral, Block]:
        """A row of a block with a background that differs from it, and with itself, once or more."""
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
            torch.stack([values[there], *[own[here]] * (pairs - 1)])
            for values, own in zip(pool, self.inputs, strict=True)
        )
        pilot = Block(
            np.full(pairs, here),
            np.full(pairs, 1 / pairs),
            np.arange(pairs)[:, None],
            np.zeros((pairs, 1)),
            block.own,
            np.zeros(pairs, dtype=np.int64),
            np.zeros((pairs, 1), dtype=np.int64),
        )
        return replace(self, background_inputs=both), pilot

    def _seeds(self, block: Block) -> Tensor:
        """Slope of the sum of v at the information of each row and outcome: probability and weight."""
        rows = torch.from_numpy(block.rows).to(self.outputs.device)
        weight = self.decided.outcomes(self.outputs[rows], rows).weight
        return weight * torch.from_numpy(block.weights).to(weight)[:, None]


class _Marks(Found):
    """Marks the layers of a run, and keeps the result of that of the target."""

    def __init__(self, mark: Callable[[str, Tensor], None], names: Sequence[str], target: Target) -> None:
        super().__init__(target.place.name)
        self._mark, self._names = mark, frozenset(names)

    def step(self, name: str, kind: str, given: object, returned: object, *, nonlinear: bool) -> None:
        super().step(name, kind, given, returned, nonlinear=nonlinear)
        if name in self._names:
            self._mark(name, tensors_in(returned)[0])
