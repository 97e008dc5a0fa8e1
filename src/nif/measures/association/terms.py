"""The terms of eq. 2 of a whole network: which mutual information is estimated between which layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from nif.core.types import LINK_ARRAYS, UNCONNECTED, Links
from nif.estimators.estimate import Estimate
from nif.estimators.pairs import PairwiseRunner
from nif.measures.association.channel import channel_information
from nif.measures.association.decomposition import links, redundancy
from nif.network.network import Architecture
from nif.network.recording import Recording

Activations = tuple[Float[np.ndarray, "sample _"], ...]

Connected = Bool[np.ndarray, "source target"] | None
"""Which units of two layers a path joins; None where all are."""

Within = Callable[[int], Estimate]
"""Mutual information of all pairs of units of a layer, ``[unit, unit]``."""

Between = Callable[[int, int], Estimate]
"""Relevance of the units of one layer for those of another, ``[source, target]``."""


def number_of_terms(architecture: Architecture, relevance: str = "unit") -> int:
    """Number of mutual information terms that the links of a network rest on.

    Example:
        >>> from nif.core.types import Layer
        >>> layers = Layer("input", "input", ("a", "b")), Layer("output", "Linear", ("y",))
        >>> number_of_terms(Architecture(layers, ((0, 1),)))  # a with y, b with y, a with b
        3
    """
    sizes = [len(layer) for layer in architecture.layers]
    terms = sum(
        sizes[target] * (1 if relevance == "layer" else sizes[source])
        for source, target in architecture.connections
    )
    sources = {source for source, _ in architecture.connections}
    if relevance == "unit":
        terms -= architecture.number_unconnected
    return terms + sum(sizes[source] * (sizes[source] - 1) // 2 for source in sources)


@dataclass(frozen=True, eq=False)
class NetworkLinks:
    """The links of all connected layers, and the terms behind them.

    Attributes:
        links: One entry for each connection.
        not_converged: Number of terms that did not converge.
        within: Standard errors of the information of the pairs of units of a layer, by its index.
        between: Standard errors of the relevance, by the indices of both layers.
    """

    links: tuple[Links, ...]
    not_converged: int
    within: dict[int, Float[np.ndarray, "_ _"]]
    between: dict[tuple[int, int], Float[np.ndarray, "_ _"]]


def links_of(
    architecture: Architecture, within: Within, between: Between, *, beta: float | None, order: str
) -> NetworkLinks:
    """Links of a network, each from relevance and redundancy (eq. 2); see `nif.Association` for the options.

    `between` is called for each connection in turn, `within` before it where its source is a new one.
    """
    of_layer: dict[int, Estimate] = {}
    errors: dict[tuple[int, int], np.ndarray] = {}
    weights, not_converged = [], 0
    for source, target in architecture.connections:
        if source not in of_layer:
            of_layer[source] = within(source)
            not_converged += of_layer[source].not_converged // 2
        relevance, connected = between(source, target), architecture.connected_between(source, target)
        shared = redundancy(of_layer[source], order, connected)
        weights.append(links(relevance, shared, source, target, beta=beta, connected=connected))
        errors[source, target] = relevance.stderr
        not_converged += relevance.not_converged
    of_pairs = {layer: estimate.stderr for layer, estimate in of_layer.items()}
    return NetworkLinks(tuple(weights), not_converged, of_pairs, errors)


def without_information(
    links: Links, constant: Sequence[Bool[np.ndarray, " _"]], connected: Connected
) -> Links:
    """The links with 0 nats where a side is constant or no path joins the units.

    A constant unit has no information, even where relevance is that of its whole layer.
    """
    nothing = constant[links.source][:, None] | constant[links.target][None, :]
    if connected is not None:
        nothing |= ~connected
    values: dict[str, Any] = {
        name: np.where(nothing, UNCONNECTED[name], links.dense(name)) for name in LINK_ARRAYS
    }
    return replace(links, **values, connected=connected)


def of_whole_layer(
    recording: Recording, observed: Activations, source: int, target: int, noise: float, pairs: PairwiseRunner
) -> Estimate:
    """Relevance :math:`I(X; Q_k)` of the whole source layer, the same for each of its units.

    It is computed through the channel if the layer alone determines :math:`Q_k`, and estimated otherwise.
    """
    layer = recording.activations[source]
    if [first for first, second in recording.connections if second == target] == [source]:
        relevance = channel_information(recording.activations[target], noise)
        pairs.advance(len(relevance.nats))
    else:
        units = observed[target].T[:, :, None]
        whole = np.broadcast_to(layer, (len(units), *layer.shape))
        relevance = pairs.estimator.estimate(whole, units, seed=pairs.seed, advance=pairs.advance)
    return relevance.map(lambda values: np.tile(values, (layer.shape[1], 1)))
