r"""Betweenness of the units of a layered network, at the processor's speed.

Links lead only onward, so a pass over the units in order settles all shortest paths from one of them, without
the queue that a graph with cycles needs; a pass back counts them (Brandes 2001, on a graph without cycles).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from nif.compiled import compiled, inlined
from nif.structure import Graph

MOST_WORK = 3e8
"""Up to here betweenness is exact: a few seconds. See `betweenness`."""

TIE = 1e-10
"""Paths whose lengths differ by a smaller share are equally long: sums in another order round differently."""

PerLink = Float[np.ndarray, " link"]
PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Betweenness:
    """How central each unit is.

    Attributes:
        pairs: Pairs of units whose shortest path leads through each unit; equal paths share their pair.
        starts: Units from which paths were followed: all, or a sample whose counts were scaled to all.
    """

    pairs: PerUnit
    starts: int

    @property
    def exact(self) -> bool:
        """Whether all pairs were counted."""
        return self.starts == len(self.pairs)


def betweenness(graph: Graph, seed: int = 0, most_work: float = MOST_WORK) -> Betweenness:
    """Count the shortest paths through each unit, where a link is 1 / nats long.

    Args:
        graph: Links that carry information, each to a unit with a higher number.
        seed: Chooses the sampled units.
        most_work: Links that lie ahead of the units that paths start from, summed over these. Where all
            units would exceed it, paths start only from a sample: one unit at random from each of as many
            equal stretches of all units as this allows, so that every layer has its share. The counts are
            scaled to all units: an unbiased estimate.

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
    order = np.argsort(graph.ends[:, 0], kind="stable")
    first = np.searchsorted(graph.ends[order, 0], np.arange(units + 1))
    onward = (len(order) - first[:-1]).mean()
    starts = _starts(units, max(1, int(most_work / onward)), seed)
    target, length = graph.ends[order, 1].astype(np.int32), 1.0 / graph.nats[order]
    counted = _pairs(Onward(first.astype(np.int64), target, length), starts)
    return Betweenness(counted * (units / len(starts)), len(starts))


def _starts(units: int, affordable: int, seed: int) -> Int[np.ndarray, " start"]:
    """All units, or one from each of so many equal stretches of them."""
    if affordable >= units:
        return np.arange(units)
    places = np.arange(affordable) + np.random.default_rng(seed).uniform(size=affordable)
    return (places * (units / affordable)).astype(np.int64)


class Onward(NamedTuple):
    """Links in the order of the units they lead from.

    Attributes:
        first: The first link of each unit, and how many links there are.
        target: Unit that each link leads to.
        length: Of each link.
    """

    first: Int[np.ndarray, " unit_and_end"]
    target: Int[np.ndarray, " link"]
    length: PerLink


@compiled
def _pairs(links: Onward, starts: Int[np.ndarray, " start"]) -> PerUnit:
    """Pairs, of one of the starts and any other unit, whose shortest paths lead through each unit."""
    units = len(links.first) - 1
    pairs, far, ways, behind = np.zeros(units), np.empty(units), np.empty(units), np.empty(units)
    for start in starts:
        far[start:], ways[start:], behind[start:] = np.inf, 0.0, 0.0
        far[start], ways[start] = 0.0, 1.0
        _reach(start, links, far, ways)
        for unit in range(units - 1, start, -1):
            if far[unit] < np.inf:
                behind[unit] = _behind(unit, links, far, ways, behind)
                pairs[unit] += behind[unit]
    return pairs


@inlined
def _reach(start: int, links: Onward, far: PerUnit, ways: PerUnit) -> None:
    """How far each later unit is from the start, and how many equally short ways lead there."""
    for unit in range(start, len(far)):
        if far[unit] == np.inf:
            continue
        for link in range(links.first[unit], links.first[unit + 1]):
            other, through = links.target[link], far[unit] + links.length[link]
            if through < far[other] * (1 - TIE):
                far[other], ways[other] = through, ways[unit]
            elif through <= far[other] * (1 + TIE):
                ways[other] += ways[unit]


@inlined
def _behind(unit: int, links: Onward, far: PerUnit, ways: PerUnit, behind: PerUnit) -> float:
    """Units whose shortest path from the start leads through this one, in parts where it shares them."""
    found = 0.0
    for link in range(links.first[unit], links.first[unit + 1]):
        other = links.target[link]
        if far[unit] + links.length[link] <= far[other] * (1 + TIE):
            found += ways[unit] / ways[other] * (1.0 + behind[other])
    return found
