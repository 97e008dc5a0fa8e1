"""Refuse layers and links that can not be a flow, with the first thing that is wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nif.core.errors import InputError
from nif.core.types import Layer, Links, SumErrors


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
    for found in links:
        _check_ends(layers, found)
        for name in ("nats", "stderr", "p_value", "relevance"):
            _check_values(layers, found, name)
    twice = [
        ends for ends, count in Counter((each.source, each.target) for each in links).items() if count > 1
    ]
    if twice:
        raise InputError(
            f"Layers {twice[0]} are linked more than once; give one Links for each pair of layers."
        )


def _check_layers(layers: Sequence[Layer], constant: Sequence[np.ndarray]) -> None:
    twice = [name for name, count in Counter(layer.name for layer in layers).items() if count > 1]
    if twice:
        raise InputError(f"Two layers are named {twice[0]!r}; give every layer a name of its own.")
    empty = [layer.name for layer in layers if len(layer) == 0]
    if empty:
        raise InputError(f"Layer {empty[0]!r} has no units; leave it out.")
    _check_pictures(layers)
    widths = [np.shape(flags) for flags in constant]
    if widths != [(len(layer),) for layer in layers]:
        raise InputError(
            f"constant has shapes {widths}; expected one flag for each unit of the layers, which have "
            f"{[len(layer) for layer in layers]}."
        )


def _check_pictures(layers: Sequence[Layer]) -> None:
    for layer in layers:
        if layer.shape and math.prod(layer.shape) != len(layer):
            raise InputError(
                f"Layer {layer.name!r} has {len(layer)} units and the shape {layer.shape}; expected "
                "a shape of as many, or () for none."
            )


def _check_ends(layers: Sequence[Layer], found: Links) -> None:
    if not 0 <= found.source < found.target < len(layers):
        raise InputError(
            f"Links lead from layer {found.source} to layer {found.target}; expected an earlier and a later "
            f"one of the {len(layers)} layers, counted from 0 in order of execution."
        )


def _check_values(layers: Sequence[Layer], found: Links, name: str) -> None:
    values = getattr(found, name)
    ends = f"from {layers[found.source].name!r} to {layers[found.target].name!r}"
    expected = (len(layers[found.source]), len(layers[found.target]))
    if np.shape(values) != expected:
        raise InputError(f"{name} of the links {ends} has shape {np.shape(values)}; expected {expected}.")
    if found.joined is not None and np.shape(found.joined) != expected:
        raise InputError(
            f"joined of the links {ends} has shape {np.shape(found.joined)}; expected {expected}."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{name} of the links {ends} has {bad} NaN or infinite values; set links that were not measured "
            "to 0."
        )
    if name == "stderr" and np.min(values) < 0:
        raise InputError(f"stderr of the links {ends} has negative values; a standard error is 0 or more.")
    if name == "p_value" and (np.min(values) < 0 or np.max(values) > 1):
        raise InputError(f"p_value of the links {ends} leaves the range from 0 to 1.")


def check_errors(sizes: Sequence[int], features: int, errors: SumErrors | None) -> None:
    """Refuse errors of a network of another size, and what is no standard error.

    Raises:
        InputError: An array of the wrong shape, NaN, infinite or negative values.
    """
    if errors is None:
        return
    expected = {"by_class": (features, sizes[-1]), "over_classes": (features,), "shares": (features,)}
    expected |= dict.fromkeys(("inflow", "outflow"), (sum(sizes),))
    expected |= dict.fromkeys(("into_layers", "out_of_layers"), (len(sizes),))
    for name, shape in expected.items():
        values = getattr(errors, name)
        if values is None and name not in ("by_class", "over_classes", "shares"):
            continue
        if np.shape(values) != shape:
            raise InputError(f"{name} of the errors has shape {np.shape(values)}; expected {shape}.")
        if not np.isfinite(values).all() or np.min(values) < 0:
            raise InputError(
                f"{name} of the errors has NaN, infinite or negative values; a standard error is 0 or more."
            )
