r"""Currents along paths: equation 4 in a form that adds up.

.. math:: \text{current}(i \to u_1 \to \dots \to j) =
    c_{i u_1} \prod_m \frac{c_{u_m u_{m+1}}}{\sum_v c_{u_m v}}

The current of the first link, of which each unit on the way passes on the share of its outflow that the next
link carries. The shares of a unit sum to 1, so all paths together carry the total.

Currents are signed, so the outflow of a unit may be near 0 although its links are not: its shares have no
bound then. Paths through such units are left out, and a sentence beside the paths says so. All this is of
mean currents: what a path carries for some rows and against others shows in its mean only.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nif.core.types import CurrentTables, Layer, Links
from nif.flow.paths import Dag, Path, between, signed, strongest_paths
from nif.flow.unit_names import Place

CANCELS = 0.1
"""Part of the absolute currents out of a unit below which its outflow counts as near 0."""

MUCH = 0.05
"""Part of the total above which a warning says that the absolute currents of units are left out."""

ROUNDING = 1e-6
"""Part of the total below which absolute currents are none."""

MOST_NAMES = 5
"""Units that a sentence names."""


@dataclass(frozen=True, eq=False)
class Onward:
    """The share of a unit's outflow that each of its links carries; 0 where the outflow is near 0.

    Attributes:
        dag: The layers, with shares in place of currents; out of units where paths begin, the currents.
        scales: What the currents out of each unit are multiplied by to be shares.
        cancelling: Units of each layer whose outflow is near 0 and whose links are not.
        sources: Units where paths begin.
    """

    dag: Dag
    scales: tuple[Float[np.ndarray, " unit"], ...]
    cancelling: tuple[Bool[np.ndarray, " unit"], ...]
    sources: tuple[Place, ...]

    @classmethod
    def of(cls, dag: Dag, tables: CurrentTables, sources: Sequence[Place]) -> Onward:
        """The shares on the way from some units.

        Args:
            dag: The layers, with links in nats.
            tables: Currents of the units.
            sources: Units where paths begin.
        """
        begin = {layer for layer, _ in sources}
        out = _absolute_outflow(dag)
        scales, cancelling = [], []
        for layer, units in enumerate(tables.units):
            nats = units.nats
            near = np.abs(nats) < CANCELS * np.maximum(units.absolute, out[layer])
            scale = np.divide(1.0, nats, out=np.zeros(len(nats)), where=~near & (nats != 0))
            scales.append(np.ones(len(nats)) if layer in begin else scale)
            cancelling.append(near & (out[layer] > 0) & (layer not in begin))
        links = tuple(_scaled(links, scales[links.source]) for links in dag.links)
        return cls(Dag(dag.sizes, links, dag.features), tuple(scales), tuple(cancelling), tuple(sources))

    def strongest(self, targets: Sequence[Place], k: int) -> list[Path]:
        """The k paths of the largest absolute currents to some units of one layer, with signed currents."""
        found = strongest_paths(self.dag, self.sources, targets, k, strength=np.abs)
        return [Path(self._current(path.places), path.places) for path in found]

    def all_paths(self, targets: Sequence[Place]) -> float:
        """Sum of the currents of all paths to some units of one layer that are not left out."""
        return between(self.dag, self.sources, targets, signed)

    def summary(
        self, layers: Sequence[Layer], tables: CurrentTables, targets: Sequence[Place], shown: float
    ) -> dict[str, Any]:
        """What a table of paths says beside its rows: the total, the sums, and what is left out.

        Args:
            layers: Their names.
            tables: Currents of the units.
            targets: Units where paths end.
            shown: Sum of the currents of the paths in the table.
        """
        left_out = self.left_out(layers, tables)
        if self._sum(tables, "absolute") > MUCH * abs(tables.total.nats):
            warnings.warn(left_out, stacklevel=4)
        sums = {"total": tables.total.nats, "all_paths": self.all_paths(targets), "shown": shown}
        return {**sums, "left_out": left_out}

    def left_out(self, layers: Sequence[Layer], tables: CurrentTables) -> str:
        """A sentence on the units that no path leads through; empty if there are none."""
        names = [
            layers[layer].units[unit]
            for layer, flags in enumerate(self.cancelling)
            for unit in np.flatnonzero(flags).tolist()
        ]
        nats, absolute = (self._sum(tables, name) for name in ("nats", "absolute"))
        if absolute <= ROUNDING * abs(tables.total.nats):
            return ""
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        which = "a unit whose" if len(names) == 1 else f"{len(names)} units whose"
        return (
            f"Paths through {which} currents onward nearly cancel ({', '.join(names[:MOST_NAMES])}{more}) "
            f"are left out; together they carry {nats:.3g} nats, and {absolute:.3g} nats in absolute value."
        )

    def _sum(self, tables: CurrentTables, name: str) -> float:
        """Of one of the arrays of `nif.core.types.UnitCurrents`, over the units that are left out."""
        parts = zip(tables.units, self.cancelling, strict=True)
        return float(sum(getattr(units, name)[flags].sum() for units, flags in parts))

    def _current(self, places: Sequence[Place]) -> float:
        between_layers = {(links.source, links.target): links for links in self.dag.links}
        current = 1.0
        for (layer, unit), (other, end) in itertools.pairwise(places):
            row = between_layers[layer, other].dense("nats", np.array([unit]))
            current *= float(row[0, end])
        return current


def _absolute_outflow(dag: Dag) -> list[Float[np.ndarray, " unit"]]:
    """Sum of the absolute currents of the links out of each unit."""
    out = [np.zeros(size) for size in dag.sizes]
    for links in dag.links:
        out[links.source] += links.matrix(np.abs(links.stored("nats"))).sum(axis=1)
    return out


def _scaled(links: Links, scale: Float[np.ndarray, " source"]) -> Links:
    """Links with nats times a number for each source."""
    nats = links.stored("nats") * (scale[links.units()[0]] if links.sparse else scale[:, None])
    others = {name: links.stored(name) for name in ("stderr", "p_value", "relevance")}
    return Links(links.source, links.target, nats, **others, connected=links.connected)
