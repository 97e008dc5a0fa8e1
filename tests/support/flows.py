"""Flows made by hand or at random, with any layers and skips."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from nif.core.types import Layer, Links
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement

MEASUREMENT = Measurement(
    method="Association(estimator=None, relevance='unit', noise=0.1)",
    options={
        "estimator": "Mine()",
        "beta": None,
        "relevance": "unit",
        "order": "average",
        "critic": "separate",
        "noise": 0.1,
        "automatic": True,
        "terms": 40,
    },
    samples=400,
    not_converged=2,
    seed=0,
    version="0.1",
)


def links_of(
    nats: object, source: int = 0, target: int = 1, *, p_value: object = 1e-4, stderr: float = 0.01
) -> Links:
    """Links with these weights; p-values broadcast to them."""
    weights = np.array(nats, dtype=np.float64)
    chances = np.broadcast_to(np.asarray(p_value, dtype=np.float64), weights.shape).copy()
    return Links(source, target, weights, np.full_like(weights, stderr), chances, weights + 0.01)


def flow_of(links: Sequence[Links], sizes: Sequence[int], constant: Sequence[tuple[int, int]] = ()) -> Flow:
    """A flow over layers of these sizes; `constant` are (layer, unit)."""
    last = len(sizes) - 1
    names = ["input", *(f"relu{index}" for index in range(1, last)), "output"]
    kinds = ["input", *("ReLU" for _ in range(1, last)), "Linear"]
    layers = tuple(
        Layer(name, kind, tuple(f"{name}[{unit}]" for unit in range(size)))
        for name, kind, size in zip(names, kinds, sizes, strict=True)
    )
    flags = tuple(np.zeros(size, dtype=bool) for size in sizes)
    for layer, unit in constant:
        flags[layer][unit] = True
    return Flow(layers, tuple(links), flags, MEASUREMENT)


def random_flow(
    sizes: Sequence[int], skips: Sequence[tuple[int, int]] = (), seed: int = 0, stderr: float = 0.01
) -> Flow:
    """Random links between neighbouring layers and along the skips, a third of them not positive."""
    generator = np.random.default_rng(seed)
    ends = [*itertools.pairwise(range(len(sizes))), *skips]
    links = [
        links_of(
            generator.normal(0.2, 0.4, (sizes[source], sizes[target])),
            source,
            target,
            p_value=generator.uniform(size=(sizes[source], sizes[target])),
            stderr=stderr,
        )
        for source, target in ends
    ]
    return flow_of(links, sizes)
