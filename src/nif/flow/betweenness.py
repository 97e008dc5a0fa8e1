"""Betweenness: how many shortest paths lead through each unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nif.flow.communities import Graph, PerUnit

WEAKEST = 1e-100
"""Of the strongest link; a path through a weaker one is no longer."""

MOST_WORK = 2.5e8
"""Up to here betweenness is exact: some seven seconds. See `betweenness`."""

TOGETHER, MOST_CELLS = 64, 8_000_000
"""Starts whose paths are followed at once: fewer where they times the links are more than the second."""

MOST_PATHS = 1e200
"""Of equal length, to a unit: above, all numbers are divided, as only their ratios count."""

SAME = 1 + 1e-10
"""Paths whose lengths differ by less than this factor are equally long."""

PerStart = Float[np.ndarray, "_ start"]


@dataclass(frozen=True, eq=False)
class Betweenness:
    """The betweenness of each unit.

    Attributes:
        pairs: Pairs of units whose shortest path leads through each unit; equal paths share their pair.
        starts: Units from which paths were followed: all, or a sample whose counts were scaled to all.
    """

    pairs: PerUnit
    starts: int


def betweenness(graph: Graph, seed: int = 0, most_work: float = MOST_WORK) -> Betweenness:
    """Count the shortest paths through each unit, where a link is 1 / nats long (without the sign).

    Every link leads to a later layer, so one pass over the layers finds the distances from many units at
    once, and one pass back adds up the pairs.

    Args:
        graph: Links that carry information, each to a unit of a later layer.
        seed: Chooses the sampled units.
        most_work: Limits the number of links behind a start, summed over all starts. If all units would
            exceed it, paths start from a sample only: the units are divided into equal stretches, and one
            unit is drawn from each, so that every layer is represented. The counts are scaled to all units:
            an unbiased estimate.

    References:
        Freeman (1977); Brandes (2001), A faster algorithm for betweenness centrality; Brandes & Pich (2007),
        Centrality estimation in large networks.

    Example:
        >>> chain = np.array([[0, 1], [1, 2], [2, 3]])
        >>> betweenness(Graph((1, 1, 1, 1), chain, np.ones(3))).pairs.tolist()
        [0.0, 2.0, 2.0, 0.0]
    """
    units = graph.units
    if len(graph.nats) == 0:
        return Betweenness(np.zeros(units), units)
    ahead = (graph.ends[:, 0] + 1).sum() / units  # links, of a unit on average
    starts = _starts(units, max(1, int(most_work / ahead)), seed)
    layers = _LinksInto.each_layer(graph)
    together = int(np.clip(MOST_CELLS // len(graph.nats), 1, TOGETHER))
    counted = np.zeros(units)
    for at in range(0, len(starts), together):
        counted += _pairs(units, layers, starts[at : at + together])
    return Betweenness(counted * (units / len(starts)), len(starts))


def _starts(units: int, affordable: int, seed: int) -> Int[np.ndarray, " start"]:
    """All units, or one from each of `affordable` equal stretches of them."""
    if affordable >= units:
        return np.arange(units)
    places = np.arange(affordable) + np.random.default_rng(seed).uniform(size=affordable)
    return (places * (units / affordable)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _LinksInto:
    """The links into the units of a layer, in the order of their targets.

    Attributes:
        source: First unit of each link.
        target: Second unit.
        length: Of each link.
    """

    source: Int[np.ndarray, " link"]
    target: Int[np.ndarray, " link"]
    length: Float[np.ndarray, " link"]

    @classmethod
    def each_layer(cls, graph: Graph) -> list[_LinksInto]:
        """Of every layer that links lead to, the first one first."""
        order = np.lexsort((graph.ends[:, 0], graph.ends[:, 1]))
        source, target = graph.ends[order].T
        length = 1 / np.maximum(graph.absolute / graph.absolute.max(), WEAKEST)[order]
        cuts = np.searchsorted(target, np.cumsum(graph.sizes))
        every = (cls(source[a:b], target[a:b], length[a:b]) for a, b in zip([0, *cuts], cuts, strict=False))
        return [links for links in every if len(links.source)]

    def of(self, reached: np.ndarray) -> _LinksInto:
        """Those that begin at a unit with a flag."""
        kept = reached[self.source]
        return self if kept.all() else _LinksInto(self.source[kept], self.target[kept], self.length[kept])


def _pairs(units: int, layers: list[_LinksInto], starts: Int[np.ndarray, " start"]) -> PerUnit:
    """For each unit the pairs of these starts and any later unit."""
    column = np.arange(len(starts))
    distance, paths = np.full((units, len(starts)), np.inf), np.zeros((units, len(starts)))
    distance[starts, column], paths[starts, column] = 0.0, 1.0
    reached = np.isin(np.arange(units), starts)
    followed = []
    for every in layers:
        links = every.of(reached)
        if len(links.source):
            followed.append((links, _parts(links, distance, paths)))
            reached[links.target] = True
    behind = np.zeros_like(paths)
    for links, part in reversed(followed):
        order = np.argsort(links.source, kind="stable")
        source, begin = np.unique(links.source[order], return_index=True)
        behind[source] += np.add.reduceat((part * (1 + behind[links.target]))[order], begin)
    behind[starts, column] = 0.0
    counted: PerUnit = behind.sum(axis=1)
    return counted


def _parts(links: _LinksInto, distance: PerStart, paths: PerStart) -> PerStart:
    """The part of the shortest paths from each start to the second unit of a link that end with the link.

    Writes distances and numbers of shortest paths of the second units.
    """
    target, begin, of = np.unique(links.target, return_index=True, return_inverse=True)
    through = distance[links.source] + links.length[:, None]
    nearest = np.minimum.reduceat(through, begin)
    ends_with = paths[links.source] * (through <= nearest[of] * SAME)  # without a path 0, not far
    number = np.add.reduceat(ends_with, begin)
    distance[target] = np.minimum(distance[target], nearest)
    paths[target] += number
    if number.max() > MOST_PATHS:
        paths /= np.maximum(number.max(axis=0) / MOST_PATHS, 1.0)
    parts: PerStart = ends_with / np.where(number > 0, number, 1.0)[of]
    return parts
