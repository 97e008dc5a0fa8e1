"""Features that are the pixels of an image."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nif.core.types import Layer

PLACE = re.compile(r"(\d+)\D+(\d+)\D*$")


def pixels(layer: Layer) -> dict[str, list[int]] | None:
    """Shape of the image that a layer of features is, and the pixel of each feature.

    Args:
        layer: Its `shape` is ``(rows, columns)`` or ``(channels, rows, columns)``; without one, pixels are
            read from the names of units. The channels of a pixel share its place.

    Returns:
        None if the features are no complete grid of at least 2 x 2.

    Example:
        >>> pixels(Layer("input", "input", ("x[0,0]", "x[0,1]", "x[1,0]", "x[1,1]")))
        {'shape': [2, 2], 'place': [0, 1, 2, 3]}
        >>> pixels(Layer("input", "input", ("length", "width"))) is None
        True
    """
    if len(layer.shape) not in (2, 3):
        return _from_names(layer.units)
    rows, columns = layer.shape[-2:]
    if min(rows, columns) < 2:
        return None
    channels = len(layer) // (rows * columns)
    return {"shape": [rows, columns], "place": list(range(rows * columns)) * channels}


def _from_names(names: Sequence[str]) -> dict[str, list[int]] | None:
    """Names such as ``x[0,3,5]`` (channel, row, column) and ``pixel_3_5``."""
    matches = [PLACE.search(name) for name in names]
    places = [(int(match[1]), int(match[2])) for match in matches if match]
    if len(places) < len(names) or not places:
        return None
    rows, columns = (1 + max(axis) for axis in zip(*places, strict=True))
    distinct = len(set(places))
    if min(rows, columns) < 2 or distinct != rows * columns or len(places) % distinct:
        return None
    return {"shape": [rows, columns], "place": [row * columns + column for row, column in places]}
