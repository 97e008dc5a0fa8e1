r"""Standard errors of attributions, and of sums of links, that all rest on the same rows of data.

A row moves all links at once: units are correlated, so the errors of their links are. To first order it moves
an attribution by its influence

.. math:: A_{ij}(s) = \\sum_{u \to v} F_{iu} \\; s_{uv} \\, d_{uv}(s) \\; B_{vj}, \\qquad
    \\operatorname{Var} A_{ij} \approx \frac1N \\sum_s A_{ij}(s)^2

F sums the paths from feature i to unit u, B those from unit v to class j, and :math:`s_{uv}` is the standard
error of the information of two units. Of :math:`d_{uv}(s)`, the influence of row s on that information, only
the correlations between pairs count here (`nif.measures.association.row_influence`). With independent
:math:`d_{uv}` this is the delta method of `nif.flow.paths.attribution_stderr`, whose 95 % intervals hold the
truth of a linear network in 72 to 92 % of samples. Inflow and outflow of a unit are sums of links: the same
with F and B of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, issparse

from nif.core.parallel import allowed_threads
from nif.core.random import stream
from nif.core.types import Links, SumErrors
from nif.estimators.block_test import Groups
from nif.flow.paths import Dag, attribution, clipped
from nif.measures.association.decomposition import beta_for, redundancy_weights
from nif.measures.association.row_influence import BinnedInfluence, RowInfluence, Units

ROWS = 1_000
"""Rows whose influence is computed: enough for a standard error within some 4 %."""

ROWS_OF_BLOCKS, FEWEST_BLOCKS = 4_000, 40
"""The same where rows depend on each other: whole blocks of so many rows, or so many long blocks."""

LARGEST = 2**25
"""Influences that are held at a time, of some rows on some classes; they take eight bytes each."""

UNITS = 16
"""Units of a layer that one thread takes at a time."""

Errors = Float[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms that the links of a network are made of.

    Attributes:
        activations: Of each layer, as they were measured.
        within: Standard errors of the information of the pairs of units of a layer, by its index.
        between: The same for the pairs of two connected layers, by both indices.
        beta: Factor of redundancy; see `nif.Association`.
        order: In which redundancy is counted.
        influence: Of a row on the information, as the estimator sees it.
        block: Of each row, where rows of a block depend on each other.
    """

    activations: Sequence[Float[np.ndarray, "sample _"]]
    within: dict[int, Errors] = field(default_factory=dict)
    between: dict[tuple[int, int], Errors] = field(default_factory=dict)
    beta: float | None = None
    order: str = "average"
    influence: type[RowInfluence] = BinnedInfluence
    block: Int[np.ndarray, " sample"] | None = None

    def drawn(self, seed: int) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " group"] | None]:
        """Rows whose influence is computed, and where groups of them begin if they depend on each other."""
        rows, generator = np.arange(len(self.activations[0])), stream(seed, "rows of influence")
        if self.block is None:
            drawn = len(rows) > ROWS
            return (np.sort(generator.choice(len(rows), ROWS, replace=False)) if drawn else rows), None
        names, sizes = np.unique(self.block, return_counts=True)
        order = generator.permutation(len(names))
        many = max(FEWEST_BLOCKS, int(np.searchsorted(np.cumsum(sizes[order]), ROWS_OF_BLOCKS)) + 1)
        kept = rows[np.isin(self.block, names[order[:many]])]
        groups = Groups.of(self.block[kept])
        return kept[groups.order], groups.starts


def attribution_errors(dag: Dag, terms: Terms, seed: int = 0) -> SumErrors:
    """Standard errors of the attribution, of its sums and its shares, and of the nats into and out of units.

    Links of 0 nats or less are closed, as in all of these.

    Args:
        dag: The layers and their links.
        terms: Of the links.
        seed: Random seed of the draw of rows, if there are more than `ROWS`, or of blocks of them.
    """
    rows, starts = terms.drawn(seed)
    draws = len(rows if starts is None else starts)
    influence = terms.influence.of([values[rows] for values in terms.activations], _pairs(dag), starts)
    added = [
        _LayerInfluence.of([links for links in dag.links if links.source == source], terms, influence)
        for source in sorted({links.source for links in dag.links})
    ]
    before = dag.forward_sums(clipped, np.eye(dag.feature_count))
    by_class = np.empty((dag.feature_count, dag.sizes[-1]))
    whole, out = np.zeros((dag.feature_count, draws)), _StandardErrors.none(dag)
    step = max(1, LARGEST // (draws * max(*dag.sizes[:-1], dag.feature_count)))
    for start in range(0, dag.sizes[-1], step):  # blocks of classes that fit into memory
        labels = slice(start, start + step)
        after = [sums[:, labels] for sums in dag.backward_sums(clipped, np.eye(dag.sizes[-1]))]
        moved = np.zeros((dag.feature_count, after[-1].shape[1] * draws))
        for layer in added:
            onward = layer.onward(after)
            out.set(layer.source, onward[:, -1])
            moved += before[layer.source] @ onward[:, :-1].reshape(len(onward), -1)
        moved = moved.reshape(dag.feature_count, -1, draws)
        by_class[:, labels] = _root_mean_square(moved)
        whole += moved.sum(axis=1)
    of_shares, into = _of_shares(dag, whole), _inflow(dag, added)
    sums = np.concatenate(into.units), np.concatenate(out.units), into.layers, out.layers
    return SumErrors(by_class, _root_mean_square(whole), of_shares, *sums)


@dataclass(frozen=True, eq=False)
class _StandardErrors:
    """Standard errors of the sums of links at one end of the units of each layer, and of whole layers."""

    units: list[Float[np.ndarray, " _"]]
    layers: Float[np.ndarray, " layer"]

    @classmethod
    def none(cls, dag: Dag) -> _StandardErrors:
        """Of layers that no link joins."""
        return cls([np.zeros(size) for size in dag.sizes], np.zeros(len(dag.sizes)))

    def set(self, layer: int, moved: Float[np.ndarray, "unit row"]) -> None:
        """From what the rows add to the sum at each unit of a layer."""
        self.units[layer] = _root_mean_square(moved)
        self.layers[layer] = _root_mean_square(moved.sum(axis=0))


def _pairs(dag: Dag) -> set[tuple[int, int]]:
    """Layers whose units share information that is a part of some link."""
    between = {(links.source, links.target) for links in dag.links}
    within = {(source, source) for source, _ in between}
    return between | within | {(target, source) for source, target in between}


def _of_shares(dag: Dag, whole: Float[np.ndarray, "feature row"]) -> Float[np.ndarray, " feature"]:
    """A row moves a share by what it moves the feature, less the share of what it moves all features."""
    nats = attribution(dag, of=np.ones((dag.sizes[-1], 1)))
    total = nats.sum()
    if total == 0:
        return np.zeros(len(nats))
    return _root_mean_square((whole - nats / total * whole.sum(axis=0)) / total)


def _root_mean_square(values: Float[np.ndarray, "*shape row"]) -> Float[np.ndarray, "*shape"]:
    return np.asarray(np.sqrt(np.square(values).mean(axis=-1)))


@dataclass(frozen=True, eq=False)
class _LayerInfluence:
    """The influence of rows on the links out of one layer.

    `shared` holds the standard errors of the information within the layer, times the part that is redundancy;
    `redundant` the influence of each row on the redundancy of each unit with all of its layer.
    """

    links: Sequence[Links]
    terms: Terms
    influence: RowInfluence
    shared: Errors
    redundant: Float[np.ndarray, "unit row"]

    @classmethod
    def of(cls, links: Sequence[Links], terms: Terms, influence: RowInfluence) -> _LayerInfluence:
        """Of all links out of one layer."""
        source, units = links[0].source, links[0].shape[0]
        shared = terms.within[source] * redundancy_weights(terms.order, units)
        redundant = _in_blocks(
            units, lambda block: influence.weighted_sum(source, block, source, shared[block][:, :, None])
        )
        return cls(links, terms, influence, shared, redundant[:, 0])

    @property
    def source(self) -> int:
        """Index of the layer."""
        return self.links[0].source

    def beta(self, links: Links) -> Float[np.ndarray, " target"]:
        """Of each target."""
        units, targets = links.shape
        counts = [units] * targets if links.connected is None else links.connected.sum(axis=0)
        return np.array([float(beta_for(self.terms.beta, int(count))) for count in counts])

    def onward(self, after: Sequence[Float[np.ndarray, "_ label"]]) -> Float[np.ndarray, "unit label+1 row"]:
        """Influence of each row on the paths from each unit to each label, and last on its links."""
        behind = [np.pad(after[links.target], [(0, 0), (0, 1)], constant_values=1.0) for links in self.links]
        return _in_blocks(
            len(self.shared),
            lambda block: np.sum(
                [self._of_units(block, *pair) for pair in zip(self.links, behind, strict=True)], axis=0
            ),
        )

    def _of_units(
        self, units: Units, links: Links, behind: Float[np.ndarray, "target label"]
    ) -> Float[np.ndarray, "unit label row"]:
        errors = self.terms.between[links.source, links.target][units]
        opened = (links.dense("nats", units) > 0)[:, :, None] * behind
        moved = self.influence.weighted_sum(links.source, units, links.target, opened * errors[:, :, None])
        paid = opened * self.beta(links)[:, None]
        if links.connected is None:  # then all targets have the same redundancy
            return moved - paid.sum(axis=1)[:, :, None] * self.redundant[units][:, None, :]
        sparse = issparse(links.connected)
        paid = np.stack([links.connected @ part for part in paid]) if sparse else links.connected @ paid
        weight = paid * self.shared[units][:, :, None]
        return moved - self.influence.weighted_sum(links.source, units, links.source, weight)

    def into(self, links: Links) -> Float[np.ndarray, "target row"]:
        """Influence of each row on the sum of the links at each target."""
        source, target, opened = links.source, links.target, links.nats > 0
        weight = (opened * self.terms.between[source, target]).T[:, :, None]
        moved = _in_blocks(
            len(weight), lambda block: self.influence.weighted_sum(target, block, source, weight[block])
        )[:, 0]
        paid = (opened * self.beta(links)).T
        if links.connected is None:
            return moved - paid @ self.redundant
        # Targets with the same inputs have the same redundancy.
        groups, group = np.unique(csr_array(links.connected).toarray(), axis=1, return_inverse=True)
        for place, inputs in enumerate(groups.T):
            targets, units = np.flatnonzero(group == place), np.flatnonzero(inputs)
            shared = (self.shared[units] * inputs)[:, :, None]
            redundant = self.influence.weighted_sum(source, units, source, shared)[:, 0]
            moved[targets] -= paid[np.ix_(targets, units)] @ redundant
        return moved


def _in_blocks(
    units: int, work: Callable[[Units], Float[np.ndarray, "unit label row"]]
) -> Float[np.ndarray, "unit label row"]:
    """Blocks of units, on all cores that are allowed."""
    with ThreadPoolExecutor(allowed_threads()) as pool:
        return np.concatenate(list(pool.map(work, np.array_split(np.arange(units), -(-units // UNITS)))))


def _inflow(dag: Dag, added: Sequence[_LayerInfluence]) -> _StandardErrors:
    """Standard errors of the nats into units."""
    errors = _StandardErrors.none(dag)
    for target in sorted({links.target for links in dag.links}):
        moved = [layer.into(links) for layer in added for links in layer.links if links.target == target]
        errors.set(target, np.sum(moved, axis=0))
    return errors
