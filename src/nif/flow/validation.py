"""Check that layers, links and currents form a flow; the first problem is raised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nif.core.errors import InputError
from nif.core.schema import Array
from nif.core.types import CurrentTables, Layer, Links
from nif.core.weights import PathCurrents, StoredWeight

if TYPE_CHECKING:
    from nif.flow.flow import Flow

CHANCE = {"low": 0.0, "high": 1.0}

LINKS = {
    "nats": Array("f", ("source", "target")),
    "stderr": Array("f", ("source", "target"), low=0),
    "p_value": Array("f", ("source", "target"), **CHANCE),
    "relevance": Array("f", ("source", "target")),
}

ERRORS = {
    "attribution": Array("f", ("feature", "output"), low=0),
    "attribution_total": Array("f", ("feature",), low=0),
    "shares": Array("f", ("feature",), low=0),
    "inflow": Array("f", ("unit",), low=0),
    "outflow": Array("f", ("unit",), low=0),
    "layer_inflow": Array("f", ("layer",), low=0),
    "layer_outflow": Array("f", ("layer",), low=0),
}

CURRENTS = {
    "attribution": Array("f", ("feature", "class")),
    "attribution_stderr": Array("f", ("feature", "class"), low=0),
    "rows": Array("i", ("row",), low=0),
    "row_weights": Array("f", ("row",), low=0),
    "row_attribution": Array("f", ("row", "feature", "class")),
    "row_base": Array("f", ("row", "class")),
    "row_value": Array("f", ("row", "class")),
}

UNITS = {
    "nats": Array("f", ("unit",)),
    "stderr": Array("f", ("unit",), low=0),
    "absolute": Array("f", ("unit",), low=0),
    "absolute_stderr": Array("f", ("unit",), low=0),
    "deviations": Array("f", ("group", "unit")),
    "rows": Array("f", ("row", "unit")),
}

HEADS = {"nats": Array("f", ("head",)), "stderr": Array("f", ("head",), low=0)}

PATHS = {
    "units": Array("i", ("path", "layer"), low=-1),
    "nats": Array("f", ("path",)),
    "deviations": Array("f", ("group", "path")),
}

TOTAL = {"nats": Array("f", ()), "stderr": Array("f", (), low=0)}

LEFT_OUT = {"p_value": Array("f", ("unit",), **CHANCE)}

OPTIONAL = {
    *("inflow", "outflow", "layer_inflow", "layer_outflow", "deviations"),
    *("rows", "row_weights", "row_attribution", "row_base", "row_value"),
}
"""Arrays that may be missing."""

LARGEST_WEIGHT = 2**31
"""Numbers of a parameter."""


def check(layers: Sequence[Layer], links: Sequence[Links], constant: Sequence[np.ndarray]) -> None:
    """Refuse what is empty, does not fit together, or is not a number.

    Raises:
        InputError: Fewer than two layers, no links, links that lead backward or nowhere, arrays of another
            type or shape, NaN or infinite values.
    """
    if len(layers) < 2 or not links:
        raise InputError(
            f"A flow was given {len(layers)} layers and {len(links)} sets of links; it needs an input layer, "
            "an output layer and links between them."
        )
    _check_layers(layers, constant)
    for between in links:
        if not 0 <= between.source < between.target < len(layers):
            raise InputError(
                f"Links lead from layer {between.source} to layer {between.target}; expected an earlier "
                f"and a later one of the {len(layers)} layers, counted from 0 in order of execution."
            )
        _check_links(layers[between.source], layers[between.target], between)
    pairs = Counter((between.source, between.target) for between in links)
    twice = [ends for ends, count in pairs.items() if count > 1]
    if twice:
        raise InputError(
            f"Layers {twice[0]} are linked more than once; pass one Links for each pair of layers."
        )


def _check_layers(layers: Sequence[Layer], constant: Sequence[np.ndarray]) -> None:
    twice = [name for name, count in Counter(layer.name for layer in layers).items() if count > 1]
    if twice:
        raise InputError(f"Two layers are named {twice[0]!r}; give every layer its own name.")
    empty = [layer.name for layer in layers if len(layer) == 0]
    if empty:
        raise InputError(f"Layer {empty[0]!r} has no units; remove it.")
    for layer in layers:
        if layer.shape and math.prod(layer.shape) != len(layer):
            raise InputError(
                f"Layer {layer.name!r} has {len(layer)} units and the shape {layer.shape}; expected "
                "a shape of that many units, or () for none."
            )
    widths = [np.shape(flags) for flags in constant]
    if widths != [(len(layer),) for layer in layers]:
        raise InputError(
            f"constant has shapes {widths}; expected one flag for each unit of the layers, which have "
            f"{[len(layer) for layer in layers]}."
        )
    for layer, flags in zip(layers, constant, strict=True):
        Array("b", (len(layer),)).check(flags, f"constant of layer {layer.name!r}")


def _check_links(source: Layer, target: Layer, links: Links) -> None:
    sizes = {"source": len(source), "target": len(target)}
    ends = f"of the links from {source.name!r} to {target.name!r}"
    if links.connected is not None:
        Array("b", ("source", "target")).check(np.empty(links.shape, bool), f"connected {ends}", sizes)
    for name, form in LINKS.items():
        stored = links.stored(name)
        form = Array(form.kind, (links.count,), form.low, form.high) if links.sparse else form  # noqa: PLW2901
        form.check(stored, f"{name} {ends}", sizes)


def check_tables(flow: Flow) -> None:
    """Check the types, shapes and values of what a flow holds beside its links.

    Raises:
        InputError: An array of the wrong type or shape, NaN or infinite values.
    """
    sizes = flow.graph.sizes
    lengths = {"feature": flow.graph.feature_count, "output": sizes[-1], "layer": len(sizes)}
    lengths["unit"] = sum(sizes)
    if flow.errors is not None:
        _check(flow.errors, ERRORS, "of the errors", lengths)
    if flow.left_out is not None:
        _check(flow.left_out, LEFT_OUT, "of the links that are left out", lengths)
    if flow.currents is not None:
        _check_currents(flow.layers, flow.links, flow.graph.features, flow.currents)


def _check_currents(
    layers: Sequence[Layer], links: Sequence[Links], features: Sequence[int], currents: CurrentTables
) -> None:
    sizes = {"feature": sum(len(layers[layer]) for layer in features), "layer": len(layers)}
    sizes["class"] = len(currents.classes)
    _check(currents.total, TOTAL, "of the total", {})
    if currents.rows is None:
        sizes["row"] = 0
    _check(currents, CURRENTS, "of the currents", sizes)
    if len(currents.units) != len(layers):
        raise InputError(f"There are currents of {len(currents.units)} layers; expected {len(layers)}.")
    for layer, units in zip(layers, currents.units, strict=True):
        lengths = {**sizes, "unit": len(layer)}
        _check(units, UNITS, f"of layer {layer.name!r} of the currents", lengths)
        sizes |= {name: lengths[name] for name in ("group",) if name in lengths}
    if len({currents.units[layer].rows is None for layer in features}) > 1:
        raise InputError("Some features have currents of rows and others none; expected all or none.")
    for weight in currents.weights:
        _check_weight(weight, links)
    for heads in currents.heads:
        _check(heads, HEADS, f"of the heads of {heads.layer!r}", {})
    if currents.paths is not None:
        _check_paths(currents.paths, layers, sizes)


def _check(holder: Any, forms: dict[str, Array], where: str, sizes: dict[str, int]) -> None:
    for name, form in forms.items():
        values = getattr(holder, name)
        if values is not None or name not in OPTIONAL:
            form.check(values, f"{name} {where}", sizes)


def _check_weight(weight: StoredWeight, links: Sequence[Links]) -> None:
    where = f"of the weight {', '.join(weight.names)!r}"
    if not weight.names or math.prod(weight.shape) > LARGEST_WEIGHT:
        raise InputError(f"The shape {where} is {weight.shape}; expected up to {LARGEST_WEIGHT:,} numbers.")
    if weight.links is not None:
        if not 0 <= weight.links < len(links):
            raise InputError(f"The links {where} are number {weight.links}; there are {len(links)}.")
        return
    shape: tuple[str | int, ...] = weight.shape
    if weight.cells is not None:
        shape = (len(np.ravel(weight.cells)),)
        Array("i", shape, low=0, high=math.prod(weight.shape) - 1).check(weight.cells, f"cells {where}")
        if (np.diff(weight.cells) <= 0).any():
            raise InputError(f"cells {where} are in another order; expected each once, in order.")
    Array("f", shape).check(weight.nats, f"nats {where}")
    Array("f", shape, low=0).check(weight.stderr, f"stderr {where}")


def _check_paths(paths: PathCurrents, layers: Sequence[Layer], sizes: dict[str, int]) -> None:
    _check(paths, PATHS, "of the paths", sizes)
    beyond = (paths.units >= [len(layer) for layer in layers]).any()
    if beyond or ((paths.units >= 0).sum(1) < 2).any() or paths.evaluated < len(paths.nats):
        raise InputError(
            "The paths have units that are not in the layers, lead through fewer than two, or are more than "
            "were evaluated."
        )
