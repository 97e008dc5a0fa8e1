"""The links of a whole network: which terms are measured between which layers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nif.contracts import Estimate, InputError, Links, Outcome, Recording
from nif.decomposition import DAVIS2019, Decomposition, links, redundancy
from nif.estimators.gaussian_channel import channel_information
from nif.estimators.mine import Mine
from nif.estimators.pairs import AllColumns
from nif.shared_critic import shared_terms


def number_of_terms(recording: Recording, decomposition: Decomposition) -> int:
    """Mutual information terms that the links of a network rest on.

    Example:
        >>> from nif.contracts import Layer
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
    return relevance + sum(sizes[source] * (sizes[source] - 1) // 2 for source in sources)


@dataclass(eq=False)
class NetworkLinks:
    """Measures the links of a network, one pair of connected layers after another.

    Args:
        recording: The layers, their activations, and how they connect.
        activations: The activations as seen through the noise channel.
        decomposition: Which terms make a link.
        noise: Of the channel, in standard deviations of each unit.
        pairs: The estimator, with the way its work is shared out.
    """

    recording: Recording
    activations: tuple[Float[np.ndarray, "sample unit"], ...]
    decomposition: Decomposition
    noise: float
    pairs: AllColumns

    def __post_init__(self) -> None:
        self._refuse_contradictions()
        self._not_converged = 0
        self._redundancy: dict[int, Estimate] = {}

    @property
    def estimator(self) -> str:
        """The estimator and its options, as text."""
        return repr(self.pairs.estimator)

    def measured(self) -> tuple[tuple[Links, ...], int]:
        """The links of all connected layers, and how many terms did not converge."""
        together = self.decomposition.critic != "separate"
        between = self._with_shared_critic if together else self._with_separate_critics
        found = tuple(
            self._nothing_from_constants(between(source, target))
            for source, target in self.recording.connections
        )
        return found, self._not_converged

    def _with_separate_critics(self, source: int, target: int) -> Links:
        relevance = self._layer_relevance if self.decomposition.relevance == "layer" else self._unit_relevance
        return links(
            self.decomposition, relevance(source, target), self._redundancy_of(source), source, target
        )

    def _unit_relevance(self, source: int, target: int) -> Estimate:
        return self._counted(self.pairs.between(self.activations[source], self.activations[target]))

    def _layer_relevance(self, source: int, target: int) -> Estimate:
        """I(X; Q_k) through the channel: exact where the layer decides Q_k, else by the estimator."""
        layer, units = self.recording.activations[source], self.activations[target]
        feeds = [first for first, second in self.recording.connections if second == target]
        if feeds == [source]:
            of_layer = channel_information(self.recording.activations[target], self.noise)
        else:
            whole = np.broadcast_to(layer, (units.shape[1], *layer.shape))
            of_layer = self.pairs.estimator.estimate(whole, units.T[:, :, None], seed=self.pairs.seed)
        width = layer.shape[1]
        return self._counted(of_layer).map(lambda values: np.tile(values, (width, 1)))

    def _redundancy_of(self, source: int) -> Estimate:
        if source not in self._redundancy:
            within = self._counted(self.pairs.within(self.activations[source]))
            self._redundancy[source] = redundancy(self.decomposition, within)
        return self._redundancy[source]

    def _with_shared_critic(self, source: int, target: int) -> Links:
        assert isinstance(self.pairs.estimator, Mine)
        found = shared_terms(
            self.pairs.estimator,
            self.activations[source],
            self.activations[target],
            self.decomposition,
            seed=self.pairs.seed,
            advance=self.pairs.advance,
        )
        self._not_converged += found.not_converged
        return found.links(source, target)

    def _nothing_from_constants(self, found: Links) -> Links:
        """A unit that never changes tells nothing, even where relevance is that of its whole layer."""
        constant = self.recording.constant()
        nothing = constant[found.source][:, None] | constant[found.target][None, :]
        return Links(
            source=found.source,
            target=found.target,
            nats=np.where(nothing, 0.0, found.nats),
            stderr=np.where(nothing, 0.0, found.stderr),
            p_value=np.where(nothing, 1.0, found.p_value),
            relevance=np.where(nothing, 0.0, found.relevance),
        )

    def _counted(self, found: Estimate) -> Estimate:
        self._not_converged += int((found.outcome == Outcome.NOT_CONVERGED).sum())
        return found

    def _refuse_contradictions(self) -> None:
        chosen = self.decomposition
        if chosen.critic != "separate" and not isinstance(self.pairs.estimator, Mine):
            raise InputError(
                f"critic={chosen.critic!r} trains MINE critics and the estimator is {self.estimator}; "
                "pass estimator=nif.Mine(), or critic='separate'."
            )
        if chosen.relevance == "layer" and self.noise == 0:
            if chosen != DAVIS2019:
                raise InputError(
                    "relevance='layer' asks what a whole layer tells of a unit that it decides: infinite "
                    "without noise. Pass noise=0.1, or relevance='unit'."
                )
            warnings.warn(
                "DAVIS2019 with noise=0 measures the information of a whole layer about a unit that the "
                "layer decides, which is infinite: its numbers reflect the number of samples and the length "
                "of training. Pass noise=0.1 for a defined one.",
                stacklevel=5,
            )
