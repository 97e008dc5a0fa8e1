"""From sums over pairs to the links, units, features and errors of a flow."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from nif.core.types import CurrentTables, Layer, Links, Total, UnitCurrents
from nif.data.groups import Groups
from nif.data.rows import Rows
from nif.measures.currents.errors import Jackknife, spread, totals_without
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.path_integral import PathIntegral, Sums
from nif.measures.currents.sample import Sample
from nif.measures.measure import Measured
from nif.network.network import Architecture, Network

CLOSE = 1e-3
"""Part of the absolute currents by which sums of links may differ from those of units."""


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Units of each layer; features may be in groups."""

    layers: tuple[Layer, ...]
    groups: Groups | None

    def units(self, layer: int, sums: GroupedSum) -> GroupedSum:
        """Currents of the units of a layer: those of a group of features are added up."""
        return sums.map(lambda values: self._in_groups(values, axis=0)) if self._grouped(layer) else sums

    def _grouped(self, layer: int) -> bool:
        return self.groups is not None and self.layers[layer].kind == "input"

    def _in_groups(self, values: np.ndarray, axis: int) -> np.ndarray:
        assert self.groups is not None
        summed = np.zeros((len(self.groups.names), *np.delete(values.shape, axis)))
        np.add.at(summed, self.groups.index, np.moveaxis(values, axis, 0))
        return np.moveaxis(summed, 0, axis)


def measured_links(
    network: Network, rows: Rows, path: PathIntegral, sample: Sample, sums: Sums, options: Mapping[str, Any]
) -> Measured:
    """The result of a measurement."""
    architecture = network.architecture(rows)
    layers = architecture.layers
    sizes = _Sizes(layers, rows.groups)
    row_share = np.bincount(sample.groups[sample.rows], weights=sample.weights, minlength=GROUPS)
    totals = totals_without(path.decided, path.outputs, sample)
    ahead = {key: sizes.units(key[0], part) for key, part in sums.between.items()}
    of_layer = {layer: _added([p for key, p in ahead.items() if key[0] == layer]) for layer, _ in ahead}
    pairs = of_layer[len(layers) - 1].map(lambda units: units.sum())
    jackknife = Jackknife.of(totals, pairs, row_share)
    units = tuple(
        _unit_currents(of_layer[layer], sums.absolute[layer], jackknife) for layer in range(len(layers))
    )
    links, mixed = _all_links(architecture, _LinksOf(sums, sizes, ahead, of_layer), jackknife)
    total = Total(float(pairs.total), float(jackknife.total_stderr(sample.exact)))
    return Measured(
        layers=layers,
        links=links,
        constant=tuple(of_units.absolute == 0 for of_units in units),
        errors=None,
        currents=CurrentTables(total, units, *_classes(path, sums, sizes, layers, of_layer, jackknife)),
        samples=len(sample.rows),
        options={**options, "in_proportion": mixed},
    )


def _all_links(
    architecture: Architecture, links_of: _LinksOf, jackknife: Jackknife
) -> tuple[tuple[Links, ...], list[str]]:
    """The links of every connection, and the names of those that are shared in proportion."""
    known = {pair: links_of.between(*pair) for pair in architecture.connections}
    links, mixed = [], []
    for (source, target), exact in known.items():
        others = [part.total.sum(0) for pair, part in known.items() if pair[1] == target and part]
        rest = links_of.of_layer[target].total - sum(others)
        shared = exact or _in_proportion(links_of.ahead[source, target], rest)
        links.append(_links(source, target, shared, jackknife))
        if exact is None:
            mixed.append(f"{architecture.layers[source].name} to {architecture.layers[target].name}")
    return tuple(links), mixed


def _classes(
    path: PathIntegral,
    sums: Sums,
    sizes: _Sizes,
    layers: tuple[Layer, ...],
    of_layer: Mapping[int, GroupedSum],
    jackknife: Jackknife,
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, currents and errors of the columns of the attribution."""
    if path.columns is None:
        parts = [of_layer[layer].map(lambda units: units[:, None]) for layer in range(len(path.inputs))]
        nats = np.concatenate([part.total for part in parts])
        return ("decision",), nats, np.concatenate([jackknife.stderr(part) for part in parts])
    classes = sizes.units(0, sums.classes) if len(path.inputs) == 1 else sums.classes
    names = layers[-1].units
    count = max(path.decided.columns) + 1
    if count == 2 and len(names) == 1:
        names = f"not {names[0]}", names[0]
    names = names if len(names) == count else tuple(f"class {number}" for number in range(count))
    return path.columns.names(names), classes.total, jackknife.stderr(classes)


def _added(parts: list[GroupedSum]) -> GroupedSum:
    return functools.reduce(GroupedSum.plus, parts)


def _unit_currents(
    sums: GroupedSum, absolute: Float[np.ndarray, "group unit"], jackknife: Jackknife
) -> UnitCurrents:
    without = np.stack([absolute[group] * scale for group, scale in jackknife.scales.items()])
    return UnitCurrents(sums.total, jackknife.stderr(sums), absolute[-1], np.asarray(spread(without)))


@dataclass(frozen=True, eq=False)
class _LinksOf:
    """The currents between every two units of two layers, as far as weights tell them."""

    sums: Sums
    sizes: _Sizes
    ahead: Mapping[tuple[int, int], GroupedSum]
    of_layer: Mapping[int, GroupedSum]

    def between(self, source: int, target: int) -> GroupedSum | None:
        """None where several weights lie between, or the units behind a weight are not those of the layer."""
        assert self.sums.structure is not None
        positions = self.sums.structure.between(source, target)
        parts = [self._of_weight(position, source, target) for position in positions or ()]
        if positions is None or any(part is None for part in parts):
            return None
        known = _added([part for part in parts if part is not None]) if parts else None
        rest = self.ahead[source, target] if known is None else _difference(self.ahead[source, target], known)
        if self._large(rest.total, target):  # a shortcut past all weights, or units in another order
            past_weights = (source, 0) in self.sums.structure.origins_of(target)
            if not past_weights or len(rest.total) != len(self.of_layer[target].total):
                return None
            known = _added([*([] if known is None else [known]), rest.map(np.diag)])
        if known is None:
            return None
        only = [key for key in self.ahead if key[1] == target] == [(source, target)]
        wrong = only and self._large(known.total.sum(0) - self.of_layer[target].total, target)
        return None if wrong else known

    def _large(self, difference: np.ndarray, target: int) -> bool:
        scale = float(np.abs(self.of_layer[target].total).sum())
        return bool(np.abs(difference).max(initial=0.0) > CLOSE * scale)

    def _of_weight(self, position: int, source: int, target: int) -> GroupedSum | None:
        sums = self.sums.weights[position, target]
        rows, columns = sums.total.shape
        features = self.sums.units[source][0].shape[1]
        units = len(self.of_layer[target].total)
        if rows % features or columns % units:
            return None
        cut = (features, rows // features, units, columns // units)
        if cut[1] > 1 or cut[3] > 1:
            sums = sums.map(lambda links: links.reshape(cut).sum((1, 3)))
        return self.sizes.units(source, sums)


def _difference(whole: GroupedSum, known: GroupedSum) -> GroupedSum:
    return _added([whole, known.map(lambda links: -links.sum(1))])


def _in_proportion(out: GroupedSum, into: Float[np.ndarray, " target"]) -> GroupedSum:
    """Currents of two layers with several weights between: that of a unit is shared as all are."""
    whole, size = into.sum(), np.abs(into).sum()
    share = np.full(len(into), 1 / len(into))
    if size > 0:  # where signs cancel in the sum, parts of it have no bound
        share = into / whole if abs(whole) > 0.1 * size else np.abs(into) / size
    return out.map(lambda units: units[:, None] * share)


def _links(source: int, target: int, sums: GroupedSum, jackknife: Jackknife) -> Links:
    nats, stderr = sums.total, jackknife.stderr(sums)
    return Links(source, target, nats, stderr, jackknife.p_value(nats, stderr), nats)
