"""The table of neurons: what is computed for every unit of a flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from nif.flow import communities as structure
from nif.flow import paths
from nif.flow.significance import unit_p_values, unit_q_values
from nif.flow.tables import unit_index

if TYPE_CHECKING:
    from nif.flow.flow import Flow


@dataclass(frozen=True, eq=False)
class Neurons:
    """The columns of `nif.Flow.neurons`, computed when first needed and kept."""

    flow: Flow

    def table(self, alpha: float) -> pd.DataFrame:
        """All columns; units are silent at level `alpha`."""
        sizes, links = self.flow.graph.sizes, self.flow.links
        columns = {
            "inflow": structure.inflow(sizes, links),
            "outflow": structure.outflow(sizes, links),
            "throughput": np.concatenate(paths.throughput(self.flow.graph)),
            "p_value": self.p_values,
            "q_value": self.q_values,
            "silent": self.silent(alpha),
            "community": self.communities.label,
            "betweenness": self.betweenness.pairs,
        }
        table = pd.DataFrame(columns, index=unit_index(self.flow.layers))
        table.attrs["betweenness_starts"] = self.betweenness.starts
        table.attrs["communities_left_out"] = self.graph.left_out
        return table

    def silent(self, alpha: float) -> Bool[np.ndarray, " unit"]:
        """Whether each unit is constant, or has a q-value of `alpha` or more."""
        return np.concatenate(self.flow.constant) | (self.q_values >= alpha)

    @cached_property
    def graph(self) -> structure.Graph:
        """The links of which communities and betweenness are computed: the strongest of many."""
        return structure.Graph.of(self.flow.graph.sizes, self.flow.links, structure.MOST_LINKS)

    @cached_property
    def communities(self) -> structure.Communities:
        """Leiden's grouping."""
        return structure.communities(self.graph, seed=self.flow.measurement.seed)

    @cached_property
    def betweenness(self) -> structure.Betweenness:
        """Shortest paths through each unit."""
        return structure.betweenness(self.graph, seed=self.flow.measurement.seed)

    @cached_property
    def p_values(self) -> Float[np.ndarray, " unit"]:
        """Of "no information flows through the unit"; those of all links if a file left some out."""
        left_out = self.flow.left_out
        return left_out.p_value if left_out else unit_p_values(self.flow.links, self.flow.constant)

    @cached_property
    def q_values(self) -> Float[np.ndarray, " unit"]:
        """The p-values, adjusted for the number of units."""
        return unit_q_values(self.p_values, np.concatenate(self.flow.constant))
