"""Flows made by hand or at random, with any layers and skips."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nif.core.types import CurrentTables, Layer, Links, Total, UnitCurrents
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

CURRENTS = Measurement(
    method="Currents(decision=None, backgrounds=32, rows=512, steps='auto', noise=0.2, by_class=True)",
    options={
        "decision": "one of 3 classes (logits of 3 classes)",
        "total_is": "I(X; Y)",
        "backgrounds": 32,
        "explained": 400,
        "noise": 0.2,
        "exact_total": 0.98,
        "steps": 8,
        "step_error": 0.004,
        "in_proportion": [],
    },
    samples=400,
    not_converged=0,
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


def current_flow(
    sizes: Sequence[int], skips: Sequence[tuple[int, int]] = (), seed: int = 0, mixed: float = 0.3
) -> Flow:
    """Currents that flow out of every unit as they flow into it; some are negative.

    Each unit divides its inflow in random shares that sum to 1; the larger `mixed`, the more of them are
    negative.
    """
    generator = np.random.default_rng(seed)
    ends = sorted([*itertools.pairwise(range(len(sizes))), *skips])
    nats = [np.zeros(size) for size in sizes]
    nats[0] = generator.normal(0.4, 0.3, sizes[0])
    links = []
    for layer in range(len(sizes) - 1):
        targets = [target for source, target in ends if source == layer]
        widths = [sizes[target] for target in targets]
        shares = generator.dirichlet(np.ones(sum(widths)), sizes[layer])
        shares += mixed / sum(widths) * _centred(generator.normal(size=shares.shape))
        parts = np.split(nats[layer][:, None] * shares, np.cumsum(widths)[:-1], axis=1)
        for target, part in zip(targets, parts, strict=True):
            links.append(links_of(part, layer, target))
            nats[target] = nats[target] + part.sum(0)
    return with_currents(flow_of(links, sizes), nats)


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)


def with_currents(flow: Flow, nats: Sequence[np.ndarray]) -> Flow:
    """A flow of association as one of currents, where the units carry these; known to a hundredth."""
    units = tuple(
        UnitCurrents(values, np.full(len(values), 0.01), np.abs(values) + 0.002, np.full(len(values), 0.001))
        for values in nats
    )
    features, outputs = nats[0], flow.layers[-1].units
    attribution = features[:, None] * np.linspace(0.5, 1.5, len(outputs)) / len(outputs)
    tables = CurrentTables(
        Total(float(features.sum()), 0.05), units, outputs, attribution, np.full(attribution.shape, 0.01)
    )
    return replace(flow, currents=tables, measurement=CURRENTS)
