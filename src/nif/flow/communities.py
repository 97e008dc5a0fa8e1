"""The network as a graph of information: communities, inflow and outflow."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nif.core.types import Links, SumErrors
from nif.flow.paths import Strength, Weigh, clipped, clipped_variances, positive
from nif.flow.strongest import strongest

if TYPE_CHECKING:
    import igraph

NO_COMMUNITY = -1
"""Community of a unit without any link that carries information."""

MOST_LINKS = 1_000_000
"""Communities and betweenness of a larger network are those of its strongest links: Leiden's algorithm takes
some 20 seconds for as many."""

PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Graph:
    """The links that carry information, as a list.

    Attributes:
        sizes: Units in each layer; units are numbered through all layers in order.
        ends: First and second unit of each link.
        nats: Weight of each link: above 0, or a signed current that is not 0.
        left_out: The number of weaker links that are not in the graph.
    """

    sizes: tuple[int, ...]
    ends: Int[np.ndarray, "link 2"]
    nats: Float[np.ndarray, " link"]
    left_out: int = 0

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        links: Sequence[Links],
        most: int | None = None,
        strength: Strength = positive,
    ) -> Graph:
        """The graph without the links of 0 nats or less; of more links than `most`, the strongest.

        Args:
            sizes: Units in each layer.
            links: Between layers.
            most: The largest number of links; all if None.
            strength: How strong links of some nats are; `numpy.abs` for currents, which are signed.
        """
        first = np.cumsum([0, *sizes])
        total = sum(int((strength(between.stored("nats")) > 0).sum()) for between in links)
        if most is not None and total > most:
            kept = strongest(links, sizes, most, strength=strength)
            order = np.lexsort((kept.target, kept.source))
            ends = np.stack([kept.source, kept.target], axis=1)[order]
            return cls(tuple(sizes), ends, kept.nats[order], total - most)
        parts = [np.zeros((0, 2), dtype=np.int64)]
        nats = [np.zeros(0)]
        for between in links:
            values = between.values("nats")
            cells = np.flatnonzero(strength(values) > 0)
            source, target = between.units(cells)
            parts.append(np.stack([source + first[between.source], target + first[between.target]], axis=1))
            nats.append(values[cells])
        return cls(tuple(sizes), np.concatenate(parts), np.concatenate(nats))

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(self.sizes)

    @property
    def absolute(self) -> Float[np.ndarray, " link"]:
        """Nats without their sign."""
        return np.abs(self.nats)

    def to_igraph(self, *, directed: bool = True) -> igraph.Graph:
        """The same graph in igraph, without attributes."""
        import igraph  # which imports matplotlib where it is installed

        return igraph.Graph(n=self.units, edges=self.ends, directed=directed)


@dataclass(frozen=True, eq=False)
class Communities:
    """Groups of units that share more information among themselves than with others.

    Attributes:
        label: Group of each unit, 0 for the largest; -1 for a unit without any link that carries information.
        modularity: Clarity of the grouping: 0 is no better than chance, 1 is the maximum.
    """

    label: Int[np.ndarray, " unit"]
    modularity: float

    def __call__(self) -> Communities:
        """These, so that ``flow.communities()`` and ``flow.communities`` are the same."""
        return self


def communities(graph: Graph, seed: int = 0) -> Communities:
    """Leiden's grouping of the undirected graph, weighted by nats (of currents, without their sign).

    Draws from a separate generator; Python's and numpy's random states are preserved. igraph has one
    generator for all callers and does not say which, so afterwards it is igraph's default again.

    References:
        Traag, Waltman & van Eck (2019), From Louvain to Leiden, https://doi.org/10.1038/s41598-019-41695-z
    """
    if len(graph.nats) == 0:
        return Communities(np.full(graph.units, NO_COMMUNITY), 0.0)
    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        clustering = graph.to_igraph(directed=False).community_leiden(
            "modularity", weights=graph.absolute.tolist(), n_iterations=-1
        )
    finally:
        igraph.set_random_number_generator(random)
    label = np.asarray(clustering.membership, dtype=np.int64)
    return Communities(_by_size(label, graph), float(clustering.quality))


def _by_size(label: Int[np.ndarray, " unit"], graph: Graph) -> Int[np.ndarray, " unit"]:
    """Number groups from the largest down (of equal ones, the one with the earliest unit first)."""
    linked = np.zeros(graph.units, dtype=bool)
    linked[graph.ends.ravel()] = True
    groups, first, members = np.unique(label[linked], return_index=True, return_counts=True)
    place = np.zeros(label.max() + 1, dtype=np.int64)
    place[groups[np.lexsort((first, -members))]] = np.arange(len(groups))
    return np.where(linked, place[label], NO_COMMUNITY)


def in_and_out(
    sizes: Sequence[int], links: Sequence[Links], weigh: Weigh = clipped
) -> tuple[PerUnit, PerUnit]:
    """Sums over the links into each unit and out of it: by default of nats, negative links counted as 0."""
    into, out = ([np.zeros(size) for size in sizes] for _ in range(2))
    for between in links:
        weights = weigh(between)
        into[between.target] += weights.sum(axis=0)
        out[between.source] += weights.sum(axis=1)
    return np.concatenate(into), np.concatenate(out)


def flow_stderr(
    sizes: Sequence[int], links: Sequence[Links], errors: SumErrors | None = None
) -> tuple[PerUnit, PerUnit]:
    """Standard errors of inflow and outflow: those of `errors`, else of independent links."""
    if errors is not None and errors.inflow is not None and errors.outflow is not None:
        return errors.inflow, errors.outflow
    into, out = in_and_out(sizes, links, clipped_variances)
    return np.sqrt(into), np.sqrt(out)


def layer_stderr(
    sizes: Sequence[int], links: Sequence[Links], errors: SumErrors | None = None
) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, " layer"]]:
    """Standard errors of the inflow and outflow of each layer, summed over its units."""
    if errors is not None and errors.layer_inflow is not None and errors.layer_outflow is not None:
        return errors.layer_inflow, errors.layer_outflow
    first = np.cumsum([0, *sizes[:-1]])
    into, out = flow_stderr(sizes, links)
    return np.sqrt(np.add.reduceat(into**2, first)), np.sqrt(np.add.reduceat(out**2, first))
