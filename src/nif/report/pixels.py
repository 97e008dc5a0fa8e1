"""Features that are the pixels of a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence

PLACE = re.compile(r"(\d+)\D+(\d+)\D*$")


def pixels(names: Sequence[str]) -> dict[str, list[int]] | None:
    """Shape of the picture and place of each feature in it, if every name ends in a row and a column.

    Names such as ``x[0,3,5]`` (channel, row, column) and ``pixel_3_5`` are read; channels of one place share
    it.

    Returns:
        None where the names are no whole grid of at least 2 x 2.

    Example:
        >>> pixels(["x[0,0]", "x[0,1]", "x[1,0]", "x[1,1]"])
        {'shape': [2, 2], 'place': [0, 1, 2, 3]}
        >>> pixels(["length", "width"]) is None
        True
    """
    found = [PLACE.search(name) for name in names]
    places = [(int(each[1]), int(each[2])) for each in found if each]
    if len(places) < len(names) or not places:
        return None
    rows, columns = (1 + max(axis) for axis in zip(*places, strict=True))
    distinct = len(set(places))
    if min(rows, columns) < 2 or distinct != rows * columns or len(places) % distinct:
        return None
    return {"shape": [rows, columns], "place": [row * columns + column for row, column in places]}
