"""The table of neurons: what is computed for every unit of a flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped

from nif.flow import betweenness as shortest
from nif.flow import communities as structure
from nif.flow import paths
from nif.flow.communities import PerUnit
from nif.flow.currents import UnitTable
from nif.flow.headline import quantile
from nif.flow.significance import unit_p_values, unit_q_values
from nif.flow.tables import unit_index

if TYPE_CHECKING:
    from nif.flow.flow import Flow

PerLayer = Float[np.ndarray, " layer"]

ALPHA = 0.05
"""Default level at which a unit counts as silent."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """Numbers for every unit of a flow, layer after layer: computed when first needed, and kept.

    Example:
        >>> from nif.flow.flow import example
        >>> example().by_unit.inflow.round(3).tolist()
        [0.0, 0.0, 0.5, 0.3, 0.2]
    """

    flow: Flow

    def table(self, alpha: float) -> pd.DataFrame:
        """The columns of `nif.Flow.neurons`; units are silent at level `alpha`."""
        columns = {
            **self._currents(),
            "inflow": self.inflow,
            "outflow": self.outflow,
            "throughput": self.throughput,
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

    def _currents(self) -> dict[str, np.ndarray]:
        """The columns that only a flow of currents has."""
        if self.of_units is None:
            return {}
        names = {"current": "nats", "stderr": "stderr", "absolute": "absolute"}
        return {column: self.of_units.column(name) for column, name in names.items()}

    @property
    def of_units(self) -> UnitTable | None:
        """The currents of the units; None in a flow of association."""
        return None if self.flow.currents is None else UnitTable(self.flow.currents)

    @property
    def throughput(self) -> PerUnit:
        """Share of the whole that passes through each unit."""
        if self.of_units is not None:
            return self.of_units.share
        return np.concatenate(paths.throughput(self.flow.graph))

    def by_layer(self) -> pd.DataFrame:
        """One row for each layer: its units, the sums of their nats in and out, and the silent ones."""
        columns = {"inflow": self.inflow, "outflow": self.outflow, "silent": self.silent().astype(int)}
        sums = {name: np.add.reduceat(values, self.first) for name, values in columns.items()}
        return pd.DataFrame(
            {"layer": [layer.name for layer in self.flow.layers], "units": self.flow.graph.sizes, **sums}
        )

    def by_sign(self) -> tuple[PerLayer, PerLayer]:
        """Sums of the currents of each layer that speak for the decision, and of those against it."""
        assert self.of_units is not None
        nats = self.of_units.column("nats")
        above, below = np.maximum(nats, 0.0), np.minimum(nats, 0.0)
        return np.add.reduceat(above, self.first), np.add.reduceat(below, self.first)

    def communities_of_layers(self) -> list[int]:
        """The number of communities with units in each layer."""
        return [len(np.unique(part[part >= 0])) for part in self.split(self.communities.label)]

    def silent(self, alpha: float = ALPHA) -> Bool[np.ndarray, " unit"]:
        """Whether each unit is constant, or has a q-value of `alpha` or more."""
        if self.of_units is not None:
            return self.of_units.silent(alpha)
        return np.concatenate(self.flow.constant) | (self.q_values >= alpha)

    @property
    def first(self) -> Int[np.ndarray, " layer"]:
        """The first unit of each layer."""
        return np.cumsum([0, *self.flow.graph.sizes[:-1]])

    def split(self, values: Shaped[np.ndarray, " unit"]) -> list[Shaped[np.ndarray, " _"]]:
        """The values of the units of each layer."""
        return np.split(values, self.first[1:])

    @property
    def inflow(self) -> PerUnit:
        """Nats into each unit."""
        return self._in_and_out[0]

    @property
    def outflow(self) -> PerUnit:
        """Nats out of each unit."""
        return self._in_and_out[1]

    @cached_property
    def _in_and_out(self) -> tuple[PerUnit, PerUnit]:
        if self.of_units is None:
            return structure.in_and_out(self.flow.graph.sizes, self.flow.links)
        nats, sizes = self.of_units.column("nats"), self.flow.graph.sizes
        inputs = np.repeat([index in self.flow.graph.features for index in range(len(sizes))], sizes)
        output = np.arange(len(nats)) >= len(nats) - sizes[-1]
        return np.where(inputs, 0.0, nats), np.where(output, 0.0, nats)

    @cached_property
    def graph(self) -> structure.Graph:
        """The links of which communities and betweenness are computed: the strongest of many."""
        return structure.Graph.of(self.flow.graph.sizes, self.flow.links, structure.MOST_LINKS, self.strength)

    def deviations(self, level: float) -> float:
        """Half the width of an interval of some level in standard errors, by Student's t for currents.

        Example:
            >>> from nif.flow.flow import example
            >>> round(example().by_unit.deviations(0.95), 2)
            1.96
        """
        half = quantile(self.flow.currents, level)
        return half if np.isfinite(half) else 0.0

    @property
    def strength(self) -> paths.Strength:
        """How strong links of some nats are: currents that speak against the decision are strong too."""
        return paths.positive if self.of_units is None else np.abs

    @cached_property
    def communities(self) -> structure.Communities:
        """Leiden's grouping."""
        return structure.communities(self.graph, seed=self.flow.measurement.seed)

    @cached_property
    def betweenness(self) -> shortest.Betweenness:
        """Shortest paths through each unit."""
        return shortest.betweenness(self.graph, seed=self.flow.measurement.seed)

    @cached_property
    def p_values(self) -> PerUnit:
        """Of "no information flows through the unit"; those of all links if a file left some out."""
        if self.of_units is not None:
            return self.of_units.p_values
        left_out = self.flow.left_out
        return left_out.p_value if left_out else unit_p_values(self.flow.links, self.flow.constant)

    @cached_property
    def q_values(self) -> PerUnit:
        """The p-values, adjusted for the number of units."""
        return unit_q_values(self.p_values, np.concatenate(self.flow.constant))
