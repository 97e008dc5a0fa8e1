"""The way back from the decision along some paths alone.

At a recorded layer the slopes of all units but one are set to 0, once for each end of a path from there.
Paths that end alike share their way until they part. What arrives at a layer of features is the slope of each
of them, so a path is one of all features at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from nif.flow.path_currents import Places
from nif.measures.currents.discrete_gradient import discrete_gradient
from nif.measures.currents.ends import Ends, Slopes
from nif.measures.currents.parts import joined
from nif.measures.currents.walk import DECISION, Walk


@dataclass(frozen=True, eq=False)
class Nodes:
    """Ends of paths that begin in one layer.

    Attributes:
        units: Where each begins.
        behind: For each layer ahead, which of its ends go on there; the ends stand in this order.
    """

    units: Int[Tensor, " node"]
    behind: Mapping[int, Int[Tensor, " _"]]


@dataclass(frozen=True, eq=False)
class PathTree:
    """Some paths, by their ends: they grow from the decision back to the features.

    Attributes:
        nodes: Of each layer that holds no features.
        leaves: Number of each path, by the layer of its features, the layer ahead and the end that it goes
            on with.
    """

    nodes: Mapping[int, Nodes]
    leaves: Mapping[int, Mapping[int, Mapping[int, int]]]

    @classmethod
    def of(cls, paths: Sequence[Places]) -> PathTree:
        """The tree of paths, from features to outputs; the first unit of each stands for all of its layer.

        Example:
            >>> tree = PathTree.of([((0, 0), (1, 5), (2, 0)), ((0, 0), (1, 3), (2, 0)), ((0, 0), (2, 0))])
            >>> tree.nodes[1].units.tolist(), tree.nodes[2].units.tolist(), tree.leaves
            ([3, 5], [0], {0: {1: {1: 0, 0: 1}, 2: {0: 2}}})
        """
        ends = {path[place:] for path in paths for place in range(1, len(path))}
        by_layer: dict[int, list[Places]] = defaultdict(list)
        for end in sorted(ends, key=lambda end: (end[0][0], _ahead(end), end)):
            by_layer[end[0][0]].append(end)
        number = {end: place for of_layer in by_layer.values() for place, end in enumerate(of_layer)}
        nodes = {}
        for layer, of_layer in by_layer.items():
            behind: dict[int, list[int]] = defaultdict(list)
            for end in of_layer:
                behind[_ahead(end)].append(number.get(end[1:], 0))
            nodes[layer] = Nodes(
                torch.tensor([end[0][1] for end in of_layer]),
                {ahead: torch.tensor(those) for ahead, those in behind.items()},
            )
        leaves: dict[int, dict[int, dict[int, int]]] = {}
        for place, path in enumerate(paths):
            (layer, _), (ahead, _) = path[:2]
            leaves.setdefault(layer, {}).setdefault(ahead, {})[number[path[1:]]] = place
        return cls(nodes, leaves)


def _ahead(end: Places) -> int:
    """The layer that an end of a path leads to first."""
    return end[1][0] if len(end) > 1 else DECISION


@dataclass(eq=False)
class PathWalk(Walk):
    """The way back over one step, along some paths alone; all slopes have a leading axis, of ends of paths.

    Attributes:
        along: The paths.
        units: Unit of each number of each layer that holds no features.
        inputs: Number of the layers that hold features.
        arrived: Slopes at the features, by layer, layer ahead and end of a path.
        total: Current of the last layer of each pair.
    """

    along: PathTree = field(kw_only=True)
    units: Mapping[int, Tensor] = field(kw_only=True)
    inputs: int = field(kw_only=True)
    arrived: dict[int, dict[int, Tensor]] = field(default_factory=dict)
    total: Tensor | None = None

    def _gradient(self, ends: Ends, given: Sequence[Tensor | None]) -> Slopes:
        """The discrete gradient of an operation, for all slopes of a stack at once where that is possible."""
        known = [place for place, slope in enumerate(given) if slope is not None]

        def gradient(*slopes: Tensor) -> Slopes:
            by_place = dict(zip(known, slopes, strict=True))
            return discrete_gradient(ends, [by_place.get(place) for place in range(len(given))], self.general)

        stacks = [slope for slope in given if slope is not None]
        try:
            result: Slopes = torch.vmap(gradient)(*stacks)
        except RuntimeError:  # the rule asks for values of the slope
            parts = [gradient(*slopes) for slopes in zip(*stacks, strict=True)]
            result = {index: torch.stack([part[index] for part in parts]) for index in parts[0]}
        return result

    def _at(self, index: int, slopes: dict[int, Tensor] | None) -> dict[int, Tensor] | None:
        """At a layer all slopes but those along the paths become 0."""
        assert self.structure is not None
        if not slopes or index not in self.structure.layers:
            return slopes
        layer = self.structure.layers[index]
        if layer < self.inputs:
            self.arrived[layer] = slopes
            return {}
        if DECISION in slopes:
            step = self.end.values[index] - self.start.values[index]
            self.total = (step * slopes[DECISION][0]).flatten(1).sum(1)
        if layer not in self.along.nodes:
            return {}
        nodes, shape = self.along.nodes[layer], next(iter(slopes.values())).shape[1:]
        parts = [
            slopes[ahead].index_select(0, those.to(slopes[ahead].device))
            if ahead in slopes
            else next(iter(slopes.values())).new_zeros(len(those), *shape)
            for ahead, those in nodes.behind.items()
        ]
        every = joined(parts)
        units = nodes.units.to(every.device).reshape(-1, *[1] * len(shape))
        return {layer: every.masked_fill_(self.units[layer].to(every.device) != units, 0.0)}
