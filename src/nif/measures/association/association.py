"""Association: links from the mutual information of units (eq. 1 to 4)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int64

from nif.core.arguments import checked_options
from nif.core.blocks import block_of_rows
from nif.core.checkpoint import Checkpoint
from nif.core.errors import InputError
from nif.core.types import Advance
from nif.data.rows import Rows
from nif.estimators.arrays import automatic
from nif.estimators.dependent_rows import of_dependent_rows
from nif.estimators.estimate import Estimate, Estimator
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.inputs import checked_estimator
from nif.estimators.pairs import Asked, PairwiseRunner, Resources
from nif.flow.paths import Dag
from nif.measures.association.channel import observed
from nif.measures.association.errors import Terms, attribution_errors
from nif.measures.association.row_influence import BinnedInfluence, CopulaInfluence
from nif.measures.association.shared_critic import SharedMine
from nif.measures.association.terms import (
    Activations,
    NetworkLinks,
    links_of,
    number_of_terms,
    of_whole_layer,
    without_information,
)
from nif.measures.caveats import (
    warn_of_duplicates,
    warn_of_few_values,
    warn_of_ids,
    warn_of_many_pairs,
    warn_of_nodes,
    warn_of_redundancy,
)
from nif.measures.measure import Measured
from nif.measures.not_measured import not_measured
from nif.network.network import Network
from nif.network.one_graph import check_nodes, one_graph
from nif.network.recording import MOST_SAMPLES, Recording

CHOICES = {
    "relevance": ("unit", "layer"),
    "order": ("average", "index"),
    "critic": ("separate", "shared", "joint"),
}


@checked_options
@dataclass(frozen=True)
class Association:
    r"""Links from the mutual information of units: relevance less redundancy (eq. 2).

    .. math:: \text{link}(i, k) = \text{relevance}(i, k) - \beta \, \text{redundancy}(i)

    Args:
        estimator: None chooses `Mine` up to 5,000 terms of mutual information and below 2,000 rows, `Binned`
            above either, and `Mine` for whole layers; with ``critic="shared"`` or ``"joint"`` it is
            `SharedMine`.
        beta: Factor of the redundancy. None is ``1 / (n - 1)`` for a layer of n units, which keeps layers of
            any width comparable (mRMR).
        relevance: ``"unit"`` is :math:`I(X_i; Q_k)`. ``"layer"`` is :math:`I(X; Q_k)` of the whole layer, the
            same for every i, as published. It misleads in two ways: links of one target then differ by
            redundancy alone, and not by the information of their sources; and without noise it is infinite
            for continuous inputs, so it needs ``noise > 0``.
        order: ``"average"`` is the mean over all orders of the units, :math:`\tfrac12 \sum_{j \ne i} I(X_i;
            X_j)`. ``"index"`` is :math:`\sum_{j < i} I(X_i; X_j)`, as published. It misleads if units have no
            natural order: the first unit never pays, the last pays for all, and renumbering the features
            changes the result.
        critic: ``"separate"``: every term has its own best critic, the only choice in which each term is the
            mutual information that it is named after. ``"shared"``: one critic for the relevance and all
            redundancies of a link, trained to tighten every bound; each bound is valid and weaker.
            ``"joint"``: eq. 3 as printed, ascent on relevance less redundancy. It pushes the redundancy
            bounds below any possible information, so its critic is bounded, and the result says how far the
            critic could be pushed. For study.
        noise: Standard deviation of the Gaussian channel behind every unit, in deviations of that unit.
        rows: Rows of data above this number are sampled at random; None measures all.
        blocks: Rows that depend on each other, for errors and p-values that know it: how many that follow
            each other, such as 50 of a time series, many times as many as it takes to forget; or a label for
            each row, such as its patient or day, or for each node of one graph. Ten blocks or more. Values
            stay as they are: of units that
            change slowly they are a little too high (`nif.estimators.dependent_rows`).

    Raises:
        InputError: An option is unknown, out of range, or does not fit the others.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557

    Example:
        >>> Association(noise=-1.0)
        Traceback (most recent call last):
        nif.InputError: noise is -1.0; expected a number from 0 up, such as 0.1 (of each unit's deviation).
    """

    estimator: Estimator | SharedMine | None = None
    beta: float | None = None
    relevance: str = "unit"
    order: str = "average"
    critic: str = "separate"
    noise: float = 0.0
    rows: int | None = MOST_SAMPLES
    blocks: Any = field(default=None, repr=False, compare=False)

    less_memory: ClassVar[str] = (
        "fewer rows or layers, such as nif.Association(rows=10_000) and layers=, or a smaller memory= or "
        "n_jobs="
    )

    def __post_init__(self) -> None:
        for option, known in CHOICES.items():
            chosen = getattr(self, option)
            if chosen not in known:
                raise InputError(f"{option} is {chosen!r}; expected {' or '.join(map(repr, known))}.")
        if self.beta is not None and not (math.isfinite(self.beta) and self.beta >= 0):
            raise InputError(
                f"beta is {self.beta}; expected a number from 0 up, or None for 1 / (units - 1)."
            )
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise InputError(
                f"noise is {self.noise}; expected a number from 0 up, such as 0.1 (of each unit's deviation)."
            )
        if self.blocks is not None and (self.critic, self.relevance) != ("separate", "unit"):
            raise InputError(
                "blocks cannot be combined with relevance='layer' or a critic that is not 'separate', whose "
                "errors are not those of single rows. Omit blocks."
            )
        self._check_estimator()

    @property
    def rows_read(self) -> int | None:
        """See `Measure`."""
        return self.rows

    def work(self, network: Network, rows: Rows) -> float:
        """Rows to record, and pairs of units to estimate."""
        architecture = replace(network, recurrent=True).architecture(rows)
        return len(rows) + number_of_terms(architecture, self.relevance) + architecture.number_unconnected

    def in_words(self, network: Network, rows: Rows) -> str:
        """The work, for who waits for it."""
        terms = number_of_terms(replace(network, recurrent=True).architecture(rows), self.relevance)
        return f"{terms:,} terms of {len(rows):,} rows"

    def nodes_as_samples(self, model: Any, data: Any) -> tuple[Any, Any] | None:
        """Model and data whose rows are the nodes, where the data are one graph; None where they are not."""
        graph = one_graph(model, data)
        if graph is not None:
            check_nodes(graph[1])
            warn_of_nodes(self.blocks, stacklevel=6)
        return graph

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        """Record the network on the rows, and estimate every term of its links; see `Measure`."""
        self._check_finite()
        network = replace(network, recurrent=True)
        warn_of_many_pairs(rows, number_of_terms(network.architecture(rows), self.relevance), stacklevel=5)
        recording = Recording.of(network, rows, advance=advance)
        warn_of_ids(rows, network.module, stacklevel=5)
        warn_of_duplicates(recording.activations[0], stacklevel=5)
        warn_of_few_values(recording.activations[0], recording.layers[0].units, stacklevel=5)
        terms, block = number_of_terms(recording, self.relevance), self._block(rows, recording)
        chosen = automatic(terms, recording.samples, numbers=self.relevance == "unit")
        estimator = self.estimator or (chosen if self.critic == "separate" else SharedMine())
        activations = observed(recording, self.noise, seed)
        if isinstance(estimator, SharedMine):
            network_links = self._by_shared_critic(
                recording, activations, estimator, seed, advance, resources.checkpoint
            )
        else:
            fitting = of_dependent_rows(estimator, block)
            pairs = PairwiseRunner(fitting, seed=seed, limits=resources, advance=advance)
            network_links = self._by_pairs(recording, activations, pairs)
        constant, connected = recording.constant(), recording.connected_between
        links = tuple(
            without_information(one, constant, connected(one.source, one.target))
            for one in network_links.links
        )
        warn_of_redundancy(recording.layers, links, stacklevel=5)
        errors = None
        if self.critic == "separate" and self.relevance == "unit":  # then the influence of a row is known
            influence = CopulaInfluence if isinstance(estimator, GaussianCopula) else BinnedInfluence
            within, between = network_links.within, network_links.between
            made_of = Terms(activations, within, between, self.beta, self.order, influence, block)
            errors = attribution_errors(Dag.of(recording.layers, links), made_of, seed)
        return Measured(
            layers=recording.layers,
            links=links,
            constant=constant,
            errors=errors,
            currents=None,
            samples=recording.samples,
            not_converged=network_links.not_converged,
            # As they are stored with a flow, and what was chosen.
            options=asdict(replace(self, estimator=None, blocks=None))
            | {"blocks": None if block is None else int(block.max()) + 1}
            | {"estimator": repr(estimator), "automatic": self.estimator is None, "terms": terms}
            | {"not_measured": not_measured(network, rows, by_weight=False)},
        )

    def _block(self, rows: Rows, recording: Recording) -> Int64[np.ndarray, " sample"] | None:
        """The block of each sample: of a row, with all its positions."""
        if self.blocks is None:
            return None
        if len(rows) == 1:  # one graph, whose nodes are the samples
            return block_of_rows(self.blocks, np.arange(recording.samples), recording.samples)
        return np.repeat(rows.blocks(self.blocks), recording.samples // len(rows))

    def _by_pairs(self, recording: Recording, observed: Activations, pairs: PairwiseRunner) -> NetworkLinks:
        """Every term is estimated by itself."""
        estimates = pairs.each(observed, self._asked(recording))

        def between(source: int, target: int) -> Estimate:
            if self.relevance == "layer":
                return of_whole_layer(recording, observed, source, target, self.noise, pairs)
            return next(estimates)

        return links_of(recording, lambda layer: next(estimates), between, beta=self.beta, order=self.order)

    def _asked(self, recording: Recording) -> Iterator[Asked]:
        """The terms that are estimated, in the order of `links_of`."""
        known = set[int]()
        for source, target in recording.connections:
            if source not in known:
                known.add(source)
                yield Asked(source)
            if self.relevance == "unit":
                yield Asked(source, target, recording.connected_between(source, target))

    def _by_shared_critic(
        self,
        recording: Recording,
        observed: Activations,
        critics: SharedMine,
        seed: int,
        advance: Advance,
        checkpoint: Checkpoint | None,
    ) -> NetworkLinks:
        """The terms of a link share one critic (eq. 3)."""
        terms = number_of_terms(recording, self.relevance)
        links, not_converged = [], 0
        for source, target in recording.connections:
            between, failed = critics.links(
                observed[source],
                observed[target],
                self,
                seed=seed,
                advance=lambda fraction: advance(fraction * terms / len(recording.connections)),
                stage=None if checkpoint is None else checkpoint.stage("links"),
            )
            links.append(replace(between, source=source, target=target))
            not_converged += failed
        return NetworkLinks(tuple(links), not_converged, {}, {})

    def _check_estimator(self) -> None:
        separate = self.critic == "separate"
        if self.estimator is not None and separate == isinstance(self.estimator, SharedMine):
            fitting = "an estimator such as nif.Mine()" if separate else "nif.SharedMine()"
            raise InputError(
                f"critic={self.critic!r} cannot be combined with estimator={self.estimator!r}; pass "
                f"{fitting}, or None."
            )
        if separate:
            object.__setattr__(self, "estimator", checked_estimator(self.estimator))

    def _check_finite(self) -> None:
        """Refuse infinite information, but in the published preset, which is there to be reproduced."""
        if self.relevance != "layer" or self.noise > 0:
            return
        if replace(self, estimator=None, rows=DAVIS2019.rows) != DAVIS2019:
            raise InputError(
                "relevance='layer' is infinite without noise, because the layer determines the unit. Pass "
                "noise=0.1, or relevance='unit'."
            )
        warnings.warn(
            "DAVIS2019 with noise=0 measures the information of a whole layer about a unit that the layer "
            "determines, which is infinite: its numbers reflect the number of samples and the length of "
            "training. Pass noise=0.1 for a defined one.",
            stacklevel=5,
        )


DAVIS2019 = Association(beta=1.0, relevance="layer", order="index", critic="joint")
"""The association as published, for reproduction; `Association` says what each of its choices means."""
