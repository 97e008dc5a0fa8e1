"""Heights of the units of a layered network in a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nif.core.types import Links
from nif.flow.paths import Strength, positive


def heights(
    sizes: Sequence[int], links: Sequence[Links], fixed: Sequence[int] = (), strength: Strength = positive
) -> list[Float[np.ndarray, " _"]]:
    """A height between 0 (bottom) and 1 for each unit of each layer, equally spaced about the middle.

    A layer with more units spans more of the height, and a narrow one enough to keep its units apart. Units
    are ordered by the mean height of their inputs, weighted by nats, so that strong links cross less
    (Sugiyama's barycentre rule, one pass); units without inputs are placed below.

    Args:
        sizes: Units in each layer.
        links: Between layers.
        fixed: Layers that keep the order of their units, first on top; the first layer always does.
        strength: How strong links of some nats are.

    Example:
        >>> [layer.tolist() for layer in heights([3, 1], [])]
        [[1.0, 0.5, 0.0], [0.5]]
    """
    heights, widest = list[np.ndarray](), max(sizes)
    for layer, size in enumerate(sizes):
        span = max(float(np.sqrt(size / widest)), min(0.5, size / 32) if widest > 32 else 0.0)
        slots = 0.5 + span * np.linspace(0.5, -0.5, size) if size > 1 else np.array([0.5])
        into = [between for between in links if between.target == layer]
        if not into or layer in fixed:
            heights.append(slots)
            continue
        order = np.argsort(-_barycentres(heights, into, size, strength), kind="stable")
        placed = np.empty(size)
        placed[order] = slots
        heights.append(placed)
    return heights


def _barycentres(
    placed: Sequence[np.ndarray], into: Sequence[Links], size: int, strength: Strength
) -> Float[np.ndarray, " unit"]:
    """Mean height of the inputs of each unit, weighted by nats; -1 for a unit without inputs."""
    weight, moment = np.zeros(size), np.zeros(size)
    for links in into:
        nats = links.matrix(strength(links.stored("nats")))
        weight += nats.sum(axis=0)
        moment += placed[links.source] @ nats
    return np.divide(moment, weight, out=np.full(size, -1.0), where=weight > 0)
