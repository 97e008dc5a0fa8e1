"""Check that layers and links form a flow; the first problem is raised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nif.core.errors import InputError
from nif.core.types import LINK_ARRAYS, CurrentTables, Layer, Links, SumErrors


def check(layers: Sequence[Layer], links: Sequence[Links], constant: Sequence[np.ndarray]) -> None:
    """Refuse what is empty, does not fit together, or is not a number.

    Raises:
        InputError: Fewer than two layers, no links, links that lead backward or nowhere, arrays of the wrong
            shape, NaN or infinite values.
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
        for name in LINK_ARRAYS:
            _check_values(layers, between, name)
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


def _check_values(layers: Sequence[Layer], links: Links, name: str) -> None:
    values = links.stored(name)
    ends = f"from {layers[links.source].name!r} to {layers[links.target].name!r}"
    expected = (len(layers[links.source]), len(layers[links.target]))
    shape = links.shape if links.connected is not None else values.shape
    if shape != expected:
        raise InputError(f"{name} of the links {ends} has shape {shape}; expected {expected}.")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{name} of the links {ends} has {bad} NaN or infinite values; set links that were not measured "
            "to 0."
        )
    if values.size == 0:
        return
    if name == "stderr" and np.min(values) < 0:
        raise InputError(f"stderr of the links {ends} has negative values; a standard error is 0 or more.")
    if name == "p_value" and (np.min(values) < 0 or np.max(values) > 1):
        raise InputError(f"p_value of the links {ends} leaves the range from 0 to 1.")


def check_errors(sizes: Sequence[int], features: int, errors: SumErrors | None) -> None:
    """Check the shapes and values of standard errors of sums.

    Raises:
        InputError: An array of the wrong shape, NaN, infinite or negative values.
    """
    if errors is None:
        return
    required = {"attribution": (features, sizes[-1]), "attribution_total": (features,), "shares": (features,)}
    expected = required | dict.fromkeys(("inflow", "outflow"), (sum(sizes),))
    expected |= dict.fromkeys(("layer_inflow", "layer_outflow"), (len(sizes),))
    for name, shape in expected.items():
        values = getattr(errors, name)
        if values is None and name not in required:
            continue
        if np.shape(values) != shape:
            raise InputError(f"{name} of the errors has shape {np.shape(values)}; expected {shape}.")
        if not np.isfinite(values).all() or np.min(values) < 0:
            raise InputError(
                f"{name} of the errors has NaN, infinite or negative values; a standard error is 0 or more."
            )


def check_currents(sizes: Sequence[int], features: int, currents: CurrentTables | None) -> None:
    """Check the shapes and values of currents.

    Raises:
        InputError: An array of the wrong shape, NaN or infinite values.
    """
    if currents is None:
        return
    shapes: dict[str, tuple[int, ...]] = {"attribution": (features, len(currents.classes))}
    shapes["attribution_stderr"] = shapes["attribution"]
    arrays: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {
        name: (getattr(currents, name), shape) for name, shape in shapes.items()
    }
    count, classes = 0 if currents.rows is None else len(currents.rows), len(currents.classes)
    of_rows = {"row_attribution": (count, features, classes), "row_base": (count, classes)}
    for name, shape in (of_rows | {"row_value": (count, classes)}).items():
        if getattr(currents, name) is not None:
            arrays[name] = getattr(currents, name), shape
    for index, (units, size) in enumerate(zip(currents.units, sizes, strict=True)):
        known = {name: values for name, values in vars(units).items() if name not in ("deviations", "rows")}
        arrays |= {f"{name} of layer {index}": (values, (size,)) for name, values in known.items()}
        if units.rows is not None:
            arrays[f"rows of layer {index}"] = units.rows, (count, size)
    for name, (values, shape) in arrays.items():
        if np.shape(values) != shape:
            raise InputError(f"{name} of the currents has shape {np.shape(values)}; expected {shape}.")
        if not np.isfinite(values).all():
            raise InputError(f"{name} of the currents has NaN or infinite values.")
