r"""Currents along paths: equation 4 in a form that adds up.

.. math:: \text{current}(i \to u_1 \to \dots \to j) =
    c_{i u_1} \prod_m \frac{c_{u_m u_{m+1}}}{\sum_v c_{u_m v}}

The current of the first link, of which each unit on the way passes on the share of its outflow that the next
link carries. The shares of a unit sum to 1, so all paths together carry the total.

Currents are signed, so the outflow of a unit may be near 0 although its links are not: its shares have no
bound then. So a measurement evaluates paths within every row, background and step, where no outflow divides
(`nif.measures.currents.path_sums`). The mean currents of links propose which (`proposed`); those of a flow
without such paths, or between units that they do not lead from and to, are of the mean graph (`Onward`):
paths through units whose mean outflow is near 0 are left out, and a sentence beside the paths says so.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from nif.core.statistics import benjamini_hochberg
from nif.core.types import LINK_ARRAYS, CurrentTables, Layer, Links
from nif.core.unit import text_unit
from nif.core.weights import PathCurrents
from nif.flow.paths import Dag, Matrix, Path, between, signed, strongest_paths
from nif.flow.significance import p_values
from nif.flow.strongest import at_least
from nif.flow.unit_names import Place, names_of

Places = tuple[Place, ...]
"""The units of a path, from its source to its target."""

CANCELS = 0.1
"""Part of the absolute currents out of a unit below which its outflow counts as near 0."""

MUCH = 0.05
"""Part of the total above which a warning says that the absolute currents of units are left out."""

ROUNDING = 1e-6
"""Part of the total below which absolute currents are none."""

MOST_NAMES = 5
"""Units that a sentence names."""

MOST_LINKS = 2**20
"""Links between two layers that may be part of a proposed path: of more, the strongest."""

MEAN_GRAPH = "mean graph"
"""How paths are known that were not evaluated within rows."""


def proposed(dag: Dag, count: int, rows: int) -> tuple[Places, ...]:
    r"""The paths to evaluate, by the mean currents of links: each is one of all features of a layer.

    They are the largest products of the strength of the first link, added up over the features, and of the
    part of the strengths onward that each further link has. As currents of rows may cancel, the strength of a
    link is the middle of its absolute mean current and of the root of the mean square of those of rows,

    .. math:: \tfrac12 \left(|c| + \sqrt{c^2 + N s^2}\right)

    with s its standard error. On networks of 285 to 864 such paths, 50 of them contained 9 to 10 of the 10
    strongest paths of single features; by the mean current alone 6 to 10.

    Args:
        dag: The layers, with links in nats.
        count: Number of paths; there may be fewer of currents other than 0.
        rows: N, that the currents are the mean of.

    Returns:
        The units of each, of which the first stands for all of its layer.
    """
    strong = [_strengths(_strong(links), rows) for links in dag.links]
    out = _absolute_outflow(Dag(dag.sizes, tuple(strong), dag.features))
    scales = [np.divide(1.0, size, out=np.zeros_like(size), where=size > 0) for size in out]
    links = tuple(
        _of_all(links) if links.source in dag.features else _scaled(links, scales[links.source])
        for links in strong
    )
    sizes = tuple(1 if layer in dag.features else size for layer, size in enumerate(dag.sizes))
    sources = [(layer, 0) for layer in dag.features]
    targets = [(len(sizes) - 1, unit) for unit in range(sizes[-1])]
    found = strongest_paths(Dag(sizes, links, dag.features), sources, targets, count)
    return tuple(path.places for path in found)


def _strengths(links: Links, rows: int) -> Links:
    """Links with strengths in place of nats; see `proposed`."""
    nats, stderr = links.stored("nats"), links.stored("stderr")
    strength = (np.abs(nats) + np.sqrt(nats**2 + rows * stderr**2)) / 2
    arrays = dict.fromkeys(LINK_ARRAYS, strength)
    return Links(links.source, links.target, **arrays, connected=links.connected)


def _of_all(links: Links) -> Links:
    """The links out of all units of a layer as those of one unit."""
    into = np.asarray(links.matrix(links.stored("nats")).sum(axis=0)).reshape(1, -1)
    return Links(links.source, links.target, **dict.fromkeys(LINK_ARRAYS, into))


def strongest_features(dag: Dag, layer: int, first: Place, most: int, rows: int) -> Int[np.ndarray, " unit"]:
    """The units of a layer of features with the strongest links to a unit, in their order; all of few."""
    if dag.sizes[layer] <= most:
        return np.arange(dag.sizes[layer])
    links = next(links for links in dag.links if (links.source, links.target) == (layer, first[0]))
    strengths = _strengths(links, rows)
    column = strengths.matrix(strengths.stored("nats"))[:, [first[1]]]
    column = column if isinstance(column, np.ndarray) else column.toarray()
    return np.sort(np.argsort(-column[:, 0], kind="stable")[:most])


def _strong(links: Links) -> Links:
    """The strongest of the links between two layers, if there are many."""
    if links.count <= MOST_LINKS:
        return links
    sizes = np.abs(links.values("nats"))
    sizes.partition(len(sizes) - MOST_LINKS)
    return at_least(links, float(sizes[-MOST_LINKS]))


def number_of_paths(dag: Dag, sources: Sequence[Place], targets: Sequence[Place]) -> float:
    """Paths from some units to others of one layer whose links have currents other than 0."""

    def linked(links: Links) -> Matrix:
        return links.matrix((links.stored("nats") != 0).astype(np.float64))

    return between(dag, sources, targets, linked)


def strongest(
    layers: Sequence[Layer],
    tables: CurrentTables,
    dag: Dag,
    sources: Sequence[Place],
    targets: Sequence[Place],
    k: int,
) -> pd.DataFrame:
    """The k strongest of the paths that were evaluated; or by mean currents, if none join these units.

    Args:
        layers: Their names.
        tables: Currents of units, and those of paths.
        dag: The layers and links.
        sources: Units where paths begin.
        targets: Units of one layer where paths end.
        k: Number of paths.
    """
    known, total = tables.paths, tables.total.nats
    chosen = _between(known, sources, targets)[:k] if known is not None else np.zeros(0, dtype=np.int64)
    if known is not None and len(chosen):
        table = _columns(known.nats[chosen], total)
        p_value = p_values(known.nats, known.stderr, tables.degrees)
        q_value = np.minimum(benjamini_hochberg(p_value) * known.evaluated / len(p_value), 1.0)
        table = table.assign(stderr=known.stderr[chosen], p_value=p_value[chosen], q_value=q_value[chosen])
        places = [_places(units) for units in known.units[chosen]]
        table.attrs.update(_on_rows(known, chosen))
    else:
        onward = Onward.of(dag, tables, sources)
        found = onward.strongest(targets, k)
        table = _columns(np.array([path.product for path in found], dtype=np.float64), total)
        places = [path.places for path in found]
        table.attrs.update(onward.summary(layers, tables, targets))
    table["path"] = pd.Series([names_of(layers, path) for path in places], index=table.index, dtype=object)
    table.attrs.update(total=total, shown=float(table["current"].sum()))
    table.attrs["paths"] = number_of_paths(dag, sources, targets)
    table.attrs["summary"] = _summary(table)
    return table


def _between(
    known: PathCurrents, sources: Sequence[Place], targets: Sequence[Place]
) -> Int[np.ndarray, " path"]:
    """Numbers of the evaluated paths from some units to others, strongest first."""
    begin, end = set(sources), set(targets)
    order = np.argsort(-np.abs(known.nats), kind="stable")
    ends = [(path[0], path[-1]) for path in map(_places, known.units[order])]
    return order[[first in begin and last in end for first, last in ends]]


def _places(units: Int[np.ndarray, " layer"]) -> Places:
    return tuple((layer, unit) for layer, unit in enumerate(units.tolist()) if unit >= 0)


def _columns(current: Float[np.ndarray, " path"], total: float) -> pd.DataFrame:
    """The currents by rank, and their shares of the total."""
    table = pd.DataFrame({"current": current}).rename_axis("rank")
    table.index += 1
    return table.assign(share=table["current"] / total if total != 0 else 0.0)


def _on_rows(known: PathCurrents, chosen: Int[np.ndarray, " path"]) -> dict[str, Any]:
    """How the paths were evaluated, and the standard error of the sum of those that are shown."""
    return {
        "evaluated": f"{known.evaluated:,} paths within {known.rows} rows x {known.backgrounds} backgrounds",
        "shown_stderr": float(np.linalg.norm(known.deviations[:, chosen].sum(axis=1))),
        "left_out": "",
    }


def _summary(table: pd.DataFrame) -> str:
    """What the paths of a table carry, in words."""
    sums, which = table.attrs, f"The strongest {len(table)} of {table.attrs['paths']:,.0f} paths carry"
    of, name = text_unit().of, text_unit().name
    share = f"{sums['shown'] / sums['total']:.1%}" if sums["total"] else f"{of(sums['shown']):.3g} {name}"
    total = f"the total of {of(sums['total']):.3f} {name}"
    left_out = f" {sums['left_out']}" if sums["left_out"] else ""
    return f"{which} {share} of {total}; evaluated: {sums['evaluated']}.{left_out}"


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
            cancelling.append(near & (out[layer] > 0) & (layer > min(begin)) & (layer not in begin))
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
        self, layers: Sequence[Layer], tables: CurrentTables, targets: Sequence[Place]
    ) -> dict[str, Any]:
        """What a table of paths says beside its rows: the sum of all paths, and what is left out.

        Args:
            layers: Their names.
            tables: Currents of the units.
            targets: Units where paths end.
        """
        left_out = self.left_out(layers, tables)
        if self._sum(tables, "absolute") > MUCH * abs(tables.total.nats):
            warnings.warn(left_out, stacklevel=5)
        return {"evaluated": MEAN_GRAPH, "all_paths": self.all_paths(targets), "left_out": left_out}

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
        of, name = text_unit().of, text_unit().name
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        which = "a unit whose" if len(names) == 1 else f"{len(names)} units whose"
        return (
            f"Paths through {which} currents onward nearly cancel ({', '.join(names[:MOST_NAMES])}{more}) "
            f"are left out; together they carry {of(nats):.3g} {name}, "
            f"and {of(absolute):.3g} {name} in absolute value."
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
