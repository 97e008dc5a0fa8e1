"""The network as a graph of information: its communities, and what flows in and out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import igraph
import numpy as np
from jaxtyping import Float, Int

from nif.core.types import Links, SumErrors

NO_COMMUNITY = -1
"""Community of a unit that no link with information reaches."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The links that carry information, as a list.

    Attributes:
        sizes: Units in each layer; units are numbered through all layers in order.
        ends: First and second unit of each link.
        nats: Weight of each link, above 0.
    """

    sizes: tuple[int, ...]
    ends: Int[np.ndarray, "link 2"]
    nats: Float[np.ndarray, " link"]

    @classmethod
    def of(cls, sizes: Sequence[int], links: Sequence[Links]) -> Graph:
        """The graph without the links of 0 nats or less."""
        offset = np.concatenate([[0], np.cumsum(sizes)])
        ends = [np.zeros((0, 2), dtype=np.int64)]
        nats = [np.zeros(0)]
        for found in links:
            source, target = np.nonzero(found.nats > 0)
            ends.append(np.stack([source + offset[found.source], target + offset[found.target]], axis=1))
            nats.append(found.nats[source, target])
        return cls(tuple(sizes), np.concatenate(ends), np.concatenate(nats))

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(self.sizes)

    def to_igraph(self, *, directed: bool = True) -> igraph.Graph:
        """The same as igraph knows it, without attributes."""
        return igraph.Graph(n=self.units, edges=self.ends, directed=directed)


@dataclass(frozen=True, eq=False)
class Communities:
    """Groups of units that share more information among themselves than with others.

    Attributes:
        label: Group of each unit, 0 for the largest; -1 for a unit without any link that carries information.
        modularity: How clear the grouping is: 0 is no better than chance, 1 is the most.
    """

    label: Int[np.ndarray, " unit"]
    modularity: float


def communities(graph: Graph, seed: int = 0) -> Communities:
    """Leiden's grouping of the undirected graph, each link weighing its nats.

    Draws from a generator of its own; Python's and numpy's random state stay as they are. igraph has one
    generator for all callers and does not tell which, so afterwards it is igraph's default again.

    References:
        Traag, Waltman & van Eck (2019), From Louvain to Leiden, https://doi.org/10.1038/s41598-019-41695-z
    """
    if len(graph.nats) == 0:
        return Communities(np.full(graph.units, NO_COMMUNITY), 0.0)
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.to_igraph(directed=False).community_leiden(
            "modularity", weights=graph.nats.tolist(), n_iterations=-1
        )
    finally:
        igraph.set_random_number_generator(random)
    label = np.asarray(found.membership, dtype=np.int64)
    return Communities(_by_size(label, graph), float(found.quality))


def _by_size(label: Int[np.ndarray, " unit"], graph: Graph) -> Int[np.ndarray, " unit"]:
    """Number groups from the largest down (of equal ones, the one with the earliest unit first)."""
    linked = np.zeros(graph.units, dtype=bool)
    linked[graph.ends.ravel()] = True
    groups, first, members = np.unique(label[linked], return_index=True, return_counts=True)
    place = np.zeros(label.max() + 1, dtype=np.int64)
    place[groups[np.lexsort((first, -members))]] = np.arange(len(groups))
    return np.where(linked, place[label], NO_COMMUNITY)


def inflow(sizes: Sequence[int], links: Sequence[Links]) -> Float[np.ndarray, " unit"]:
    """Nats that come into each unit from earlier layers, negative links counted as 0."""
    sums = [np.zeros(size) for size in sizes]
    for found in links:
        sums[found.target] += np.maximum(found.nats, 0).sum(axis=0)
    return np.concatenate(sums)


def outflow(sizes: Sequence[int], links: Sequence[Links]) -> Float[np.ndarray, " unit"]:
    """Nats that go from each unit to later layers, negative links counted as 0."""
    sums = [np.zeros(size) for size in sizes]
    for found in links:
        sums[found.source] += np.maximum(found.nats, 0).sum(axis=1)
    return np.concatenate(sums)


def flow_stderr(
    sizes: Sequence[int], links: Sequence[Links], errors: SumErrors | None = None
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Standard errors of inflow and outflow: as the rows of data tell, else of independent links."""
    if errors is not None and errors.inflow is not None and errors.outflow is not None:
        return errors.inflow, errors.outflow
    into = [np.zeros(size) for size in sizes]
    out = [np.zeros(size) for size in sizes]
    for found in links:
        variance = np.where(found.nats > 0, found.stderr**2, 0.0)
        into[found.target] += variance.sum(axis=0)
        out[found.source] += variance.sum(axis=1)
    return np.sqrt(np.concatenate(into)), np.sqrt(np.concatenate(out))


def layer_stderr(
    sizes: Sequence[int], links: Sequence[Links], errors: SumErrors | None = None
) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, " layer"]]:
    """The same of the sums over all units of each layer."""
    if errors is not None and errors.into_layers is not None and errors.out_of_layers is not None:
        return errors.into_layers, errors.out_of_layers
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    into, out = flow_stderr(sizes, links)
    return np.sqrt(np.add.reduceat(into**2, first)), np.sqrt(np.add.reduceat(out**2, first))


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
