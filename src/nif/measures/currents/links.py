"""From sums over pairs to the links, units, features and errors of a flow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import nn

from nif.core.errors import InputError
from nif.core.types import CurrentTables, Layer, Links, Total, UnitCurrents
from nif.core.weights import PathCurrents
from nif.data.groups import Groups
from nif.flow.paths import Dag
from nif.measures.currents.errors import Jackknife, spread, total_stderr, totals_without
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum
from nif.measures.currents.kinds import Samples
from nif.measures.currents.path_integral import PathIntegral, Sums
from nif.measures.currents.row_values import MOST_OF_ROWS, features_of_rows, values_of_rows
from nif.measures.currents.weight_currents import head_currents, weight_currents
from nif.measures.measure import Measured
from nif.network.network import Architecture

CLOSE = 1e-3
"""Part of the absolute currents by which sums of links may differ from those of units."""


Along = Callable[[Dag, Jackknife, float], PathCurrents | None]
"""From the links, the errors and the total of a measurement to the currents along paths."""


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Units of each layer; features may be in groups."""

    layers: tuple[Layer, ...]
    groups: Groups | None

    def units(self, layer: int, sums: GroupedSum) -> GroupedSum:
        """Currents of the units of a layer: those of a group of features are added up."""
        return sums.map(lambda values: self._in_groups(values, axis=0)) if self.grouped(layer) else sums

    def of_rows(
        self, layer: int, values: Float[np.ndarray, "row unit ..."]
    ) -> Float[np.ndarray, "row grouped ..."]:
        """The same, row by row."""
        return self._in_groups(values, axis=1) if self.grouped(layer) else values

    def grouped(self, layer: int) -> bool:
        """Whether features of a layer are measured together."""
        return self.groups is not None and self.layers[layer].kind == "input"

    def _in_groups(self, values: np.ndarray, axis: int) -> np.ndarray:
        assert self.groups is not None
        summed = np.zeros((len(self.groups.names), *np.delete(values.shape, axis)))
        np.add.at(summed, self.groups.index, np.moveaxis(values, axis, 0))
        return np.moveaxis(summed, 0, axis)


def measured_links(
    module: nn.Module,
    architecture: Architecture,
    path: PathIntegral,
    sample: Samples,
    sums: Sums,
    options: Mapping[str, Any],
    along: Along | None = None,
) -> Measured:
    """The result of a measurement; `along` evaluates paths by its links."""
    layers = architecture.layers
    sizes = _Sizes(layers, path.feature_groups)
    row_share = np.bincount(sample.groups[sample.rows], weights=sample.weights, minlength=GROUPS)
    totals = totals_without(path.decided, path.outputs, sample)
    ahead = {key: sizes.units(key[0], part) for key, part in sums.between.items()}
    of_layer = {layer: _added([p for key, p in ahead.items() if key[0] == layer]) for layer, _ in ahead}
    if unreached := [layers[layer].name for layer in range(len(layers)) if layer not in of_layer]:
        raise InputError(
            f"What layer {unreached[0]!r} returns first does not lead to the decision, such as the steps of "
            "an LSTM of which only the last state is read; leave it out of layers=."
        )
    pairs = of_layer[len(layers) - 1].map(lambda units: units.sum())
    jackknife = Jackknife.of(totals, pairs, row_share)
    units = tuple(
        _unit_currents(of_layer[layer], sums.absolute[layer], jackknife) for layer in range(len(layers))
    )
    rows, row_weights = np.concatenate(sums.rows), np.concatenate(sums.row_weights)
    of_rows = _row_currents(sums, sizes, row_weights, path.input_layers)
    units = tuple(replace(part, rows=values) for part, values in zip(units, of_rows, strict=True))
    known, divided, same = _known_links(_LinksOf(sums, sizes, ahead, of_layer), jackknife)
    total = Total(float(pairs.total), total_stderr(totals, sample))
    heads = head_currents(sums, jackknife)  # before the sums of weights are freed
    weights = weight_currents(sums, module, jackknife, same)
    links = tuple(
        of_pair or _in_proportion(*pair, divided[pair], jackknife) for pair, of_pair in known.items()
    )
    mixed = [" to ".join(layers[layer].name for layer in pair) for pair in divided]
    return Measured(
        layers=layers,
        links=links,
        constant=tuple(of_units.absolute == 0 for of_units in units),
        errors=None,
        currents=CurrentTables(
            total,
            units,
            *_classes(path, sums, sizes, layers, of_layer, jackknife),
            weights,
            heads,
            rows,
            row_weights,
            **_row_tables(path, sample, sums, sizes),
            paths=None if along is None else along(Dag.of(layers, links), jackknife, total.nats),
        ),
        samples=len(sample.rows),
        options={**options, "in_proportion": mixed},
    )


def _row_currents(
    sums: Sums, sizes: _Sizes, weights: Float[np.ndarray, " row"], inputs: int
) -> Iterator[Float[np.ndarray, "row unit"] | None]:
    """Of each layer, as long as they are few; those of the features first."""
    room = MOST_OF_ROWS
    for layer in range(len(sizes.layers)):
        room -= sum(part.size for part in sums.units[layer])
        if room < 0 and layer >= inputs:
            yield None
            continue
        values = np.concatenate(sums.units[layer]) / weights[:, None]
        yield sizes.of_rows(layer, values).astype(np.float32)


def _row_tables(path: PathIntegral, sample: Samples, sums: Sums, sizes: _Sizes) -> dict[str, Any]:
    """What is known of each explained row beside the currents of its units."""
    rows, weights = np.concatenate(sums.rows), np.concatenate(sums.row_weights)
    columns = [0] * len(path.decided.columns) if path.columns is None else path.columns.of_outcomes
    base, value = values_of_rows(path.decided, path.outputs, sample, rows, columns)
    tables: dict[str, Any] = {"row_base": base, "row_value": value}
    inputs = [path.inputs[number] for number in path.moves.moving]
    if sum(values[0].numel() for values in inputs) * len(rows) <= MOST_OF_ROWS:
        tables["row_features"] = features_of_rows(inputs, path.feature_groups, rows)
    if sums.class_rows:
        by_class = sizes.of_rows(0, np.concatenate(sums.class_rows)) / weights[:, None, None]
        tables["row_attribution"] = by_class.astype(np.float32)
    return tables


_Parts = tuple[GroupedSum, GroupedSum, float]
"""See `_in_proportion`."""

_Pair = tuple[int, int]


def _known_links(
    links_of: _LinksOf, jackknife: Jackknife
) -> tuple[dict[_Pair, Links | None], dict[_Pair, _Parts], dict[int, int]]:
    """Links that weights tell, by their layers; what others are divided by; numbers of links by their sums.

    Links that are divided take much room, and are made when the sums of weights have been freed.
    """
    on_tape = sorted(pair for pair in links_of.ahead if pair[1] >= 0)  # paths that ran on these rows
    known = {pair: links_of.between(*pair) for pair in on_tape}
    divided = {pair: links_of.unknown(*pair, known) for pair, exact in known.items() if exact is None}
    same = {id(part): number for number, part in enumerate(known.values())}
    links = {
        pair: None if exact is None else _links(*pair, exact, jackknife) for pair, exact in known.items()
    }
    return links, divided, same


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
        parts = [of_layer[layer].map(lambda units: units[:, None]) for layer in range(path.input_layers)]
        nats = np.concatenate([part.total for part in parts])
        return ("decision",), nats, np.concatenate([jackknife.stderr(part) for part in parts])
    classes = sizes.units(0, sums.classes) if path.input_layers == 1 else sums.classes
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
    without = [absolute[group] * scale for group, scale in jackknife.scales.items()]
    of_absolute = np.asarray(spread(np.stack(without))) if jackknife.known else absolute[-1]
    deviations = jackknife.deviations(sums)
    stderr = np.sqrt(np.square(deviations).sum(0))
    return UnitCurrents(sums.total, stderr, absolute[-1], of_absolute, deviations)


@dataclass(frozen=True, eq=False)
class _LinksOf:
    """The currents between every two units of two layers, as far as weights tell them."""

    sums: Sums
    sizes: _Sizes
    ahead: Mapping[tuple[int, int], GroupedSum]
    of_layer: Mapping[int, GroupedSum]

    def between(self, source: int, target: int) -> GroupedSum | None:
        """None where several weights lie between, or units meet before or behind a weight."""
        if self.sums.loose:
            return None
        assert self.sums.structure is not None
        positions = self.sums.structure.between(source, target)
        parts = [self._of_weight(position, source, target) for position in positions or ()]
        if positions is None or any(part is None for part in parts):
            return None
        known = _added([part for part in parts if part is not None]) if parts else None
        rest = self.ahead[source, target] if known is None else _difference(self.ahead[source, target], known)
        past = self._past_weights(rest, source, target, alone=known is None)
        if past is not None:
            known = past if known is None else known.plus(past)
        elif self._large(rest.total, target):
            return None
        if known is None:
            return None
        wrong = self._only(source, target) and self._large(
            known.total.sum(0) - self.of_layer[target].total, target
        )
        return None if wrong else known

    def unknown(self, source: int, target: int, known: Mapping[tuple[int, int], GroupedSum | None]) -> _Parts:
        """What leaves each unit, what reaches the target by no known links, and the part of it from here."""
        others = [
            links.map(lambda nats: -nats.sum(0))
            for key, links in known.items()
            if key[1] == target and links is not None
        ]
        outs = {key: self.ahead[key] for key, links in known.items() if key[1] == target and links is None}
        sizes = {key: float(np.abs(out.total).sum()) for key, out in outs.items()}
        whole = sum(sizes.values())
        part = sizes[source, target] / whole if whole > 0 else 1 / len(sizes)
        return outs[source, target], _added([self.of_layer[target], *others]), part

    def _only(self, source: int, target: int) -> bool:
        return [key for key in self.ahead if key[1] == target] == [(source, target)]

    def _large(self, difference: np.ndarray, target: int) -> bool:
        scale = float(np.abs(self.of_layer[target].total).sum())
        return bool(np.abs(difference).max(initial=0.0) > CLOSE * scale)

    def _of_weight(self, position: int, source: int, target: int) -> GroupedSum | None:
        assert self.sums.maps is not None
        cells = self.sums.maps.cells.get((position, target))
        if cells is None:
            return None
        units = self.sums.maps.first[source : source + 2]
        key = position, target
        sums = self.sums.weights[key] if cells.rows is None else self.sums.links[key]
        rows = np.where(cells.sources < units[1], cells.sources - units[0], -1)
        columns, count = cells.targets, len(self.of_layer[target].total)
        whole = np.array_equal(rows, np.arange(units[1] - units[0])) and sums.total.ndim == 2
        if not (whole and np.array_equal(columns, np.arange(count))):
            left, right = _selection(rows, units[1] - units[0]), _selection(columns, count)
            sums = sums.map(lambda links: left.T @ links.reshape(-1, *links.shape[-2:]).sum(0) @ right)
        return self.sizes.units(source, sums)

    def _past_weights(self, rest: GroupedSum, source: int, target: int, *, alone: bool) -> GroupedSum | None:
        """Currents of units that reach others past all weights: each leads to one, or each comes from one."""
        assert self.sums.maps is not None
        pairs = self.sums.maps.shortcuts.get((source, target))
        if pairs is None or self.sizes.grouped(source):
            return None
        shape = len(rest.total), len(self.of_layer[target].total)

        def placed(units: np.ndarray, side: int) -> np.ndarray:
            links = np.zeros(shape)
            links[pairs] = units[pairs[side]]
            return links

        if len(np.unique(pairs[0])) == len(pairs[0]):
            return rest.map(lambda units: placed(units, 0))
        if alone and self._only(source, target):
            return self.of_layer[target].map(lambda units: placed(units, 1))
        return None


def _selection(units: np.ndarray, count: int) -> csr_array:
    """From rows to the units that they are of; negative for none."""
    known = np.flatnonzero(units >= 0)
    return csr_array((np.ones(len(known)), (known, units[known])), shape=(len(units), count))


def _difference(whole: GroupedSum, known: GroupedSum) -> GroupedSum:
    return _added([whole, known.map(lambda links: -links.sum(1))])


def _in_proportion(source: int, target: int, parts: _Parts, jackknife: Jackknife) -> Links:
    """Links of two layers with several weights between, by what leaves and reaches each unit.

    If all signs are the same, a unit is divided as the whole layer is. What other signs leave over at a unit
    of the target comes from all units by their size, so that both sums hold and no current is unbounded. The
    errors are those of the two parts, as if independent: tables of all groups would take ten times the room.

    Args:
        source: Number of the layer.
        target: Number of the later one.
        parts: What leaves each unit for the target, what reaches each unit of the target from all layers that
            are divided so, and the part of it that comes from this layer.
        jackknife: Of the errors.
    """
    out, into, part = parts
    share, of_size = _shares(into.total), part * _shares(out.total)
    over = into.map(lambda units: units - units.sum() * share)
    nats = np.outer(out.total, share)
    nats += np.outer(of_size, over.total)
    stderr = np.outer(jackknife.stderr(out), share)
    np.hypot(stderr, np.outer(of_size, jackknife.stderr(over)), out=stderr)
    return Links(source, target, nats, stderr, jackknife.p_value(nats, stderr), nats)


def _shares(units: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Of the sum of absolute values; equal ones if all are 0."""
    sizes = np.abs(units)
    whole = sizes.sum()
    return sizes / whole if whole > 0 else np.full(len(sizes), 1 / len(sizes))


def _links(source: int, target: int, sums: GroupedSum, jackknife: Jackknife) -> Links:
    nats, stderr = sums.total, jackknife.stderr(sums)
    return Links(source, target, nats, stderr, jackknife.p_value(nats, stderr), nats)
