"""How central each unit is: the shortest paths of the graph of information that lead through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nif.structure import Graph

MOST_WORK = 3e8
"""Up to here betweenness is exact: a few seconds. See `betweenness`."""

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
    ahead = (graph.ends[:, 0] + 1).sum() / units  # links, of a unit on average
    starts = _starts(units, max(1, int(most_work / ahead)), seed)
    counted = graph.to_igraph().betweenness(weights=(1 / graph.nats).tolist(), sources=starts.tolist())
    return Betweenness(np.array(counted) * (units / len(starts)), len(starts))


def _starts(units: int, affordable: int, seed: int) -> Int[np.ndarray, " start"]:
    """All units, or one from each of so many equal stretches of them."""
    if affordable >= units:
        return np.arange(units)
    places = np.arange(affordable) + np.random.default_rng(seed).uniform(size=affordable)
    return (places * (units / affordable)).astype(np.int64)
