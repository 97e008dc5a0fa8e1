r"""Currents along single paths, within every row, background and step.

.. math:: \text{current}(i \to k \to \dots \to o) = \operatorname{E}_x \int
    \frac{\partial v}{\partial h_o} \dots \frac{\partial h_l}{\partial h_k} \,
    \frac{\partial h_k}{\partial x_i} \, dx_i

where each derivative is the discrete gradient of the operations between two recorded layers, past no other.
It is the current of the first link times, at each unit on the way, the share of its outflow that the next
link carries; as a product of a move and slopes it divides by no outflow, which may be 0. All paths sum to the
total in any network, with links that skip layers too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from nif.core.checkpoint import Stage
from nif.core.types import Advance
from nif.core.weights import PathCurrents
from nif.flow.path_currents import Places, proposed, strongest_features
from nif.flow.paths import Dag
from nif.measures.currents.block_sums import BlockSums, Sums
from nif.measures.currents.blocks import Block
from nif.measures.currents.class_columns import LARGEST_LEFT
from nif.measures.currents.errors import SMALLEST_SHARE, Jackknife
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.kinds import Samples
from nif.measures.currents.link_maps import units_of_numbers
from nif.measures.currents.parallel import integrated
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.path_walk import PathTree, PathWalk
from nif.measures.currents.size import Size
from nif.measures.currents.steps import ungrouped_blocks
from nif.measures.currents.structure import Structure
from nif.measures.currents.tape import Tape
from nif.measures.currents.walk import Left, mean_left
from nif.network.axes import Axes
from nif.network.precision import without_casts
from nif.network.preserve import one_thread, preserved

MOST_PAIRS = MOST_ROWS, MOST_BACKGROUNDS = 64, 8
"""Rows that paths are evaluated on, and backgrounds of each."""

MOST_PATHS = 40
"""Paths that are evaluated if no number is given, each of all features: they add less than a fifth to the
work."""

MOST_EVALUATED = 2**16
"""Paths of single features; of more features, those with the strongest links to the first unit are taken."""

MOST_KEPT = 1000
"""Paths of single features that are stored."""

FEWEST_PATHS, FEWEST_ROWS, FEWEST_BACKGROUNDS = 10, 10, 4
"""Of a large network, before fewer paths, rows or backgrounds are a fifth of the work."""

OF_A_PATH = 0.4
"""Work of a path at a pair, as a part of that of the pair in the measurement, of a convolution; others take
less."""

OF_THE_WORK = 0.2
"""Part of the work of the measurement that paths may add."""

AT_ONCE = 2**23
"""Numbers of the slopes of several paths at the largest value, beyond which fewer paths walk together."""


@dataclass(frozen=True)
class Effort:
    """How many paths are evaluated, and on how many pairs of a row and a background.

    Attributes:
        paths: At most, each of all features.
        rows: At most.
        backgrounds: Of each row, at most.
        small: Whether one thread is faster than several.
    """

    paths: int
    rows: int = MOST_ROWS
    backgrounds: int = MOST_BACKGROUNDS
    small: bool = False

    @classmethod
    def of(cls, paths: int | None, pairs: int, *, small: bool) -> Effort:
        """As many as are asked for; or those that add about a fifth to the work.

        Args:
            paths: What is asked for; None if nothing is.
            pairs: Of the measurement.
            small: Whether a block is small, so that its work hardly depends on the number of paths.

        Example:
            >>> Effort.of(None, 16_384, small=False)
            Effort(paths=13, rows=64, backgrounds=8, small=False)
            >>> Effort.of(None, 2_048, small=False)
            Effort(paths=10, rows=20, backgrounds=4, small=False)
            >>> Effort.of(None, 64, small=False)
            Effort(paths=5, rows=10, backgrounds=1, small=False)
        """
        if paths is not None or small:
            return cls(MOST_PATHS if paths is None else paths, small=small)
        most = OF_THE_WORK * pairs
        few = int(most / (1 + OF_A_PATH * FEWEST_PATHS))  # pairs of the fewest paths
        rows = min(MOST_ROWS, max(FEWEST_ROWS, few // FEWEST_BACKGROUNDS))
        backgrounds = min(MOST_BACKGROUNDS, max(1, few // rows))
        count = int((most / (rows * backgrounds) - 1) / OF_A_PATH)
        return cls(min(MOST_PATHS, max(FEWEST_PATHS // 2, count)), rows, backgrounds)


@dataclass(eq=False)
class BlockPaths(BlockSums):
    """The currents of paths in one block, over its steps.

    Attributes:
        paths: From the features of a layer to outputs.
        wanted: Features of each path.
        groups: Of all rows of data.
    """

    paths: Sequence[Places] = ()
    wanted: Sequence[Int64[np.ndarray, " feature"]] = ()
    groups: Int64[np.ndarray, " data"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.groups is not None
        order = self.block.order
        self._rows = self.groups[self.block.rows[order // self.block.backgrounds.shape[1]]]
        self._cells = torch.from_numpy(self._rows * GROUPS + self.block.background_groups.ravel()[order])
        self._columns = np.cumsum([0, *map(len, self.wanted)]).tolist()
        self._table = torch.zeros(GROUPS**2, self._columns[-1] + 1, dtype=torch.float64)
        self._trees: dict[int, list[tuple[int, PathTree]]] = {}

    def begin(self, start: Tape, structure: Structure, straight: frozenset[int] = frozenset()) -> None:
        """Begin to add steps of the same operations; see `BlockSums.begin`."""
        super().begin(start, structure, straight)
        largest = max(start.shape(index).numel() for index in start.moving)
        few = max(1, AT_ONCE // largest)
        if few not in self._trees:
            self._trees[few] = [
                (first, PathTree.of(self.paths[first : first + few]))
                for first in range(0, len(self.paths), few)
            ]
        self._now = self._trees[few]
        left = sum(start.shape(index).numel() for index in _last(start, straight))
        self._stop = straight if left * len(self.paths) <= LARGEST_LEFT else frozenset()
        self._slopes: list[Left] = [{} for _ in self._now]
        of_layers = {layer: start.shape(index) for index, layer in structure.layers.items()}
        self._labels = {
            layer: units_of_numbers(self._axes(layer), shape, self.bounds[-1])
            for layer, shape in of_layers.items()
            if layer >= self.inputs
        }

    def _axes(self, layer: int) -> Axes | None:
        return None if layer == len(self.places) - 1 else self.places[layer].axes

    def over(self, start: Tape, end: Tape, seeds: Tensor, general: Counter[str]) -> None:
        """Add the currents over one step, as far as what moves in a straight line."""
        self._steps += 1
        for (first, tree), slopes in zip(self._now, self._slopes, strict=True):
            walk = self._walk(start, end, tree, general, self._stop, slopes)
            walk.back({start.outputs[0]: seeds[None]})
            self._add_arrived(walk, first)

    def end(self, end: Tape, general: Counter[str]) -> None:
        """Add the currents over all steps since `begin` of what moves in a straight line."""
        for (first, tree), slopes in zip(self._now, self._slopes, strict=True):
            walk = self._walk(self._first, end, tree, general, frozenset(), {})
            walk.on(mean_left(slopes, self._steps))
            self._add_arrived(walk, first)

    def _walk(
        self,
        start: Tape,
        end: Tape,
        tree: PathTree,
        general: Counter[str],
        stop: frozenset[int],
        left: Left,
    ) -> PathWalk:
        return PathWalk(
            start,
            end,
            self.structure,
            general=general,
            stop=stop,
            left=left,
            along=tree,
            units=self._labels,
            inputs=self.inputs,
        )

    def _add_arrived(self, walk: PathWalk, first: int) -> None:
        """Add the currents of what has arrived at the features, of paths from `first` on."""
        if walk.total is not None and first == 0:
            self._table[:, -1].index_add_(0, self._cells, walk.total.to(self._table))
        values = {layer: index for index, layer in self.structure.layers.items()}
        for layer, slopes in walk.arrived.items():
            step = walk.end.values[values[layer]] - walk.start.values[values[layer]]
            for ahead, ends in walk.along.leaves.get(layer, {}).items():
                for end, place in ends.items() if ahead in slopes else ():
                    current = self._by_feature(layer, step * slopes[ahead][end])
                    some = current[:, torch.from_numpy(self.wanted[first + place])].to(self._table)
                    columns = slice(*self._columns[first + place : first + place + 2])
                    self._table[:, columns].index_add_(0, self._cells, some)

    def _by_feature(self, layer: int, current: Tensor) -> Tensor:
        by_feature = self.way.by_feature(layer, current)
        if self.feature_groups is None:
            return by_feature
        index = torch.from_numpy(self.feature_groups.index).to(by_feature.device)
        sums = by_feature.new_zeros(len(by_feature), len(self.feature_groups.names))
        return sums.index_add_(1, index, by_feature)

    def finish(self, sums: Sums) -> None:
        """Add the sums of the block to those of all."""
        table = self._table.reshape(GROUPS, GROUPS, -1)
        for group in np.unique(self._rows).tolist():
            sums.paths.add(group, list(table[group]))


def _last(tape: Tape, straight: frozenset[int]) -> set[int]:
    """The straight values that lead to others."""
    return {
        index
        for operation in tape.operations
        if straight.isdisjoint(index for index in operation.written if index is not None)
        for index in straight.intersection(operation.read)
    }


@dataclass(frozen=True, eq=False)
class AlongPaths(PathIntegral):
    """Integrates the currents along some paths.

    Attributes:
        along: The paths.
        wanted: Features of each path.
        groups: Of all rows of data.
    """

    along: Sequence[Places] = ()
    wanted: Sequence[Int64[np.ndarray, " feature"]] = ()
    groups: Int64[np.ndarray, " data"] | None = None

    def _sums_of(self, block: Block, sums: Sums) -> BlockSums:
        of_block = block, self.way(block), self.places, self.input_layers, self.feature_groups
        nothing = None, None, torch.zeros(()), False  # of weights and classes
        return BlockPaths(*of_block, *nothing, True, self.along, self.wanted, self.groups)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluates the paths that the mean currents propose, on some of the explained rows.

    Attributes:
        path: Of the measurement.
        samples: Of which some rows and backgrounds are taken.
        effort: Numbers of paths and of rows.
        n_jobs: See `nif.measures.currents.parallel`.
        size: Of blocks.
        stage: Of a checkpoint, if there is one.
        scratch: Folder for what processes share, if there is one.
    """

    path: PathIntegral
    samples: Samples
    effort: Effort
    n_jobs: int | None
    size: Size
    stage: Stage | None = None
    scratch: Path | None = None

    def along(self, graph: Dag, jackknife: Jackknife, total: float, advance: Advance) -> PathCurrents | None:
        """The currents along the strongest of the paths; None if none carries anything.

        They are those of some rows as shares of their total, times the total of all explained rows.

        Args:
            graph: Layers and links of the measurement.
            jackknife: Of all rows.
            total: Of all explained rows.
            advance: Called with the part of this work that was done since the last call.
        """
        count = len(self.samples.rows)
        along = proposed(graph, self.effort.paths, count)
        if not along:
            return None
        most = max(1, MOST_EVALUATED // len(along))
        wanted = [strongest_features(graph, one[0][0], one[1], most, count) for one in along]
        rows, backgrounds = self.effort.rows, self.effort.backgrounds
        whole = self.samples.pairs <= rows * backgrounds
        few = self.samples if whole else self.samples.pilot(rows, backgrounds)
        sums = self._sums(few, along, wanted, advance)
        own = float(sums.total[-1])
        scale = total / own if abs(own) > SMALLEST_SHARE * abs(total) else 1.0
        sums = sums.map(lambda values: values * scale)
        if jackknife.known:
            share = np.bincount(few.groups[few.rows], weights=few.weights, minlength=GROUPS)
            jackknife = Jackknife.of(jackknife.totals, sums.map(lambda values: values[-1]), share)
        of_paths = sums.map(lambda values: values[:-1])
        kept = np.argsort(-np.abs(of_paths.total), kind="stable")[: max(MOST_KEPT, self.effort.paths)]
        kept = kept[of_paths.total[kept] != 0]
        deviations = np.ascontiguousarray(jackknife.deviations(of_paths)[:, kept])
        units, counts = (
            _units(along, wanted, len(graph.sizes)),
            (len(few.rows), few.each, len(of_paths.total)),
        )
        return PathCurrents(units[kept], of_paths.total[kept], deviations, *counts) if len(kept) else None

    def _sums(
        self,
        few: Samples,
        along: Sequence[Places],
        wanted: Sequence[Int64[np.ndarray, " feature"]],
        advance: Advance,
    ) -> GroupedSum:
        """The sums along all paths, and last of the total."""
        path, blocks = self.path, ungrouped_blocks(few, self.size)
        known = {name: getattr(path, name) for name in PathIntegral.__dataclass_fields__}
        known |= {"columns": None, "along": along, "wanted": wanted, "groups": self.samples.groups}
        integral, work = AlongPaths(**known), few.pairs * path.runs
        call, threads = path.target.call, one_thread() if self.effort.small else nullcontext()
        with preserved(call.model), without_casts(call, path.inputs), threads:
            return integrated(
                integral,
                blocks,
                self.n_jobs,
                lambda done: advance(done / work),
                room=self.size.room,
                with_weights=False,
                stage=self.stage,
                scratch=self.scratch,
            ).paths


def _units(
    along: Sequence[Places], features: Sequence[Int64[np.ndarray, " feature"]], layers: int
) -> Int64[np.ndarray, "path layer"]:
    """The unit of each layer, or -1, of every path of a single feature."""
    parts = []
    for places, of_path in zip(along, features, strict=True):
        units = np.full((len(of_path), layers), -1, dtype=np.int64)
        units[:, [layer for layer, _ in places]] = [unit for _, unit in places]
        units[:, places[0][0]] = of_path
        parts.append(units)
    return np.concatenate(parts)
