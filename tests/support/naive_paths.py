"""Paths found one by one: the slow twin of everything in `nif.flow.paths`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nif.flow.flow import Flow

Place = tuple[int, int]


def walk(flow: Flow, start: Place, *, clip: bool = True) -> Iterator[tuple[float, tuple[Place, ...]]]:
    """Every path from a unit, of any length, with the product of its links in order."""

    def onward(product: float, places: tuple[Place, ...]) -> Iterator[tuple[float, tuple[Place, ...]]]:
        yield product, places
        layer, unit = places[-1]
        for found in flow.links:
            if found.source == layer:
                for target, nats in enumerate(found.nats[unit].tolist()):
                    weight = max(nats, 0.0) if clip else nats
                    yield from onward(product * weight, (*places, (found.target, target)))

    yield from onward(1.0, (start,))


def attribution(flow: Flow, *, clip: bool = True) -> np.ndarray:
    """Eq. 4 as it is written."""
    last = len(flow.layers) - 1
    sums = np.zeros((len(flow.layers[0]), len(flow.layers[-1])))
    for feature in range(len(flow.layers[0])):
        for product, places in walk(flow, (0, feature), clip=clip):
            if places[-1][0] == last:
                sums[feature, places[-1][1]] += product
    return sums


def all_paths(flow: Flow, source: Place, target: Place) -> list[tuple[float, tuple[Place, ...]]]:
    """All paths between two units that carry information, the strongest first."""
    found = [
        (product, places) for product, places in walk(flow, source) if places[-1] == target and product > 0
    ]
    return sorted(found, key=lambda each: -each[0])


def mass_through(flow: Flow, place: Place) -> float:
    """Sum of the products of all paths from a feature to a class that lead through a unit."""
    last = len(flow.layers) - 1
    return sum(
        product
        for feature in range(len(flow.layers[0]))
        for product, places in walk(flow, (0, feature))
        if places[-1][0] == last and place in places
    )
