"""The links of a whole network: which terms are measured between which layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from nif.core.types import Advance, Links
from nif.estimators.estimate import Estimate, Outcome
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.pairs import PairwiseRunner
from nif.measures.association.channel import channel_information
from nif.measures.association.decomposition import Decomposition, links, redundancy
from nif.measures.association.errors import Terms
from nif.measures.association.row_influence import BinnedInfluence, CopulaInfluence
from nif.measures.association.shared_critic import SharedMine
from nif.network.recording import Recording

Activations = tuple[Float[np.ndarray, "sample _"], ...]


def number_of_terms(recording: Recording, decomposition: Decomposition) -> int:
    """Mutual information terms that the links of a network rest on.

    Example:
        >>> from nif.core.types import Layer
        >>> layers = Layer("input", "input", ("a", "b")), Layer("output", "Linear", ("y",))
        >>> two = Recording(layers, (), ((0, 1),))
        >>> number_of_terms(two, Decomposition())  # a with y, b with y, a with b
        3
    """
    sizes = [len(layer) for layer in recording.layers]
    relevance = sum(
        sizes[target] * (1 if decomposition.relevance == "layer" else sizes[source])
        for source, target in recording.connections
    )
    sources = {source for source, _ in recording.connections}
    if decomposition.relevance == "unit":
        relevance -= recording.not_joined
    return relevance + sum(sizes[source] * (sizes[source] - 1) // 2 for source in sources)


@runtime_checkable
class Method(Protocol):
    """A way to get the links between two connected layers."""

    @property
    def samples(self) -> int:
        """Rows that they rest on."""
        ...

    def between(self, source: int, target: int) -> tuple[Links, int]:
        """The links, and how many of the terms behind them did not converge."""
        ...


def network_links(recording: Recording, method: Method) -> tuple[tuple[Links, ...], int]:
    """The links of all connected layers, and how many terms did not converge."""
    constant = recording.constant()
    found, not_converged = [], 0
    for source, target in recording.connections:
        between, failed = method.between(source, target)
        nothing = constant[source][:, None] | constant[target][None, :]
        joined = recording.joined_between(source, target)
        if joined is not None:
            nothing |= ~joined
        found.append(replace(_zero_where(nothing, between), connected=joined))
        not_converged += failed
    return tuple(found), not_converged


def _zero_where(nothing: np.ndarray, found: Links) -> Links:
    """A unit that never changes tells nothing, even where relevance is that of its whole layer."""
    return replace(
        found,
        nats=np.where(nothing, 0.0, found.nats),
        stderr=np.where(nothing, 0.0, found.stderr),
        p_value=np.where(nothing, 1.0, found.p_value),
        relevance=np.where(nothing, 0.0, found.relevance),
    )


@dataclass(eq=False)
class SeparateCritics:
    """Every term of eq. 2 is estimated by itself.

    Args:
        recording: The layers, their activations, and how they connect.
        observed: The activations as seen through the noise channel.
        decomposition: Which terms make a link.
        noise: Of the channel, in standard deviations of each unit.
        pairs: The estimator, with the way its work is shared out.
    """

    recording: Recording
    observed: Activations
    decomposition: Decomposition
    noise: float
    pairs: PairwiseRunner
    _within: dict[int, Estimate] = field(default_factory=dict)
    _between: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Rows that were recorded."""
        return self.recording.samples

    def terms(self) -> Terms:
        """What the links asked for so far were made of."""
        within = {layer: found.stderr for layer, found in self._within.items()}
        scores = CopulaInfluence if isinstance(self.pairs.estimator, GaussianCopula) else BinnedInfluence
        return Terms(self.decomposition, self.observed, within, self._between, scores)

    def between(self, source: int, target: int) -> tuple[Links, int]:
        """Links from relevance and redundancy; a layer's redundancy is estimated once for all its targets."""
        fresh = source not in self._within
        if fresh:
            self._within[source] = self._of_source(source)
        of_layer = self.decomposition.relevance == "layer"
        relevance = (self._of_layer if of_layer else self._of_units)(source, target)
        self._between[source, target] = relevance.stderr
        joined = self.recording.joined_between(source, target)
        shared = redundancy(self.decomposition, self._within[source], joined)
        failed = _not_converged(relevance) + (_not_converged(self._within[source]) // 2 if fresh else 0)
        return links(self.decomposition, relevance, shared, source, target, joined), failed

    def _of_source(self, source: int) -> Estimate:
        return self.pairs.within(self.observed[source])

    def _of_units(self, source: int, target: int) -> Estimate:
        joined = self.recording.joined_between(source, target)
        return self.pairs.between(self.observed[source], self.observed[target], joined)

    def _of_layer(self, source: int, target: int) -> Estimate:
        """I(X; Q_k) through the channel: exact where the layer decides Q_k, else by the estimator."""
        layer, width = self.recording.activations[source], len(self.recording.layers[source])
        feeds = [first for first, second in self.recording.connections if second == target]
        if feeds == [source]:
            found = channel_information(self.recording.activations[target], self.noise)
            self.pairs.advance(len(found.nats))
        else:
            units = self.observed[target].T[:, :, None]
            whole = np.broadcast_to(layer, (len(units), *layer.shape))
            found = self.pairs.estimator.estimate(
                whole, units, seed=self.pairs.seed, advance=self.pairs.advance
            )
        return found.map(lambda values: np.tile(values, (width, 1)))


@dataclass(eq=False)
class SharedCritic:
    """The terms of a link share one critic (eq. 3).

    Args:
        recording: The layers and how they connect.
        observed: The activations as seen through the noise channel.
        decomposition: Which terms make a link, and what the critic is trained for.
        options: Of the critics.
        seed: Seeds initial weights and batches.
        advance: Called with the terms done; every pair of layers counts for an equal part of them.
    """

    recording: Recording
    observed: Activations
    decomposition: Decomposition
    options: SharedMine
    seed: int
    advance: Advance

    @property
    def samples(self) -> int:
        """Rows that were recorded."""
        return self.recording.samples

    def between(self, source: int, target: int) -> tuple[Links, int]:
        """Links from the bounds of one critic for each."""
        terms = number_of_terms(self.recording, self.decomposition) / len(self.recording.connections)
        found, failed = self.options.links(
            self.observed[source],
            self.observed[target],
            self.decomposition,
            seed=self.seed,
            advance=lambda share: self.advance(share * terms),
        )
        return replace(found, source=source, target=target), failed


def _not_converged(estimate: Estimate) -> int:
    return int((estimate.outcome == Outcome.NOT_CONVERGED).sum())
