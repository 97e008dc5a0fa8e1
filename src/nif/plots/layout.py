"""Where the units of a layered network stand in a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nif.core.types import Links


def heights(
    sizes: Sequence[int], links: Sequence[Links], fixed: Sequence[int] = ()
) -> list[Float[np.ndarray, " _"]]:
    """A height between 0 (bottom) and 1 for each unit of each layer, equally spaced about the middle.

    A layer with more units spans more of the height, and a narrow one enough to tell its units apart. Units
    stand at the mean of what they hear, weighed by nats, in order, so that strong links cross less
    (Sugiyama's barycentre rule, one pass); those that hear nothing stand below.

    Args:
        sizes: Units in each layer.
        links: Between layers.
        fixed: Layers that keep the order of their units, first on top; the first layer always does.

    Example:
        >>> [each.tolist() for each in heights([3, 1], [])]
        [[1.0, 0.5, 0.0], [0.5]]
    """
    found: list[np.ndarray] = []
    for layer, size in enumerate(sizes):
        slots = 0.5 + _span(size, max(sizes)) * np.linspace(0.5, -0.5, size) if size > 1 else np.array([0.5])
        into = [each for each in links if each.target == layer]
        if not into or layer in fixed:
            found.append(slots)
            continue
        order = np.argsort(-_barycentres(found, into, size), kind="stable")
        placed = np.empty(size)
        placed[order] = slots
        found.append(placed)
    return found


def _span(size: int, widest: int) -> float:
    """Share of the height that a layer of so many units takes."""
    return max(float(np.sqrt(size / widest)), min(0.5, size / 32) if widest > 32 else 0.0)


def _barycentres(found: Sequence[np.ndarray], into: Sequence[Links], size: int) -> Float[np.ndarray, " unit"]:
    """Mean height of the units that each unit hears, weighed by nats; -1 where it hears nothing."""
    weight, moment = np.zeros(size), np.zeros(size)
    for each in into:
        nats = np.maximum(each.nats, 0.0)
        weight += nats.sum(axis=0)
        moment += found[each.source] @ nats
    return np.divide(moment, weight, out=np.full(size, -1.0), where=weight > 0)
