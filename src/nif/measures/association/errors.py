"""Standard errors of attributions, and of sums of links, that all rest on the same rows of data.

A row moves all links at once: units are correlated, so the errors of their links are. To first order it moves
an attribution by its influence

.. math:: A_{ij}(s) = \\sum_{u \to v} F_{iu} \\; s_{uv} \\, d_{uv}(s) \\; B_{vj}, \\qquad
    \\operatorname{Var} A_{ij} \approx \frac1N \\sum_s A_{ij}(s)^2

F sums the paths from feature i to unit u, B those from unit v to class j, and :math:`s_{uv}` is the standard
error of the information of two units. Of :math:`d_{uv}(s)`, what the row s adds to that information, only the
correlations between pairs count here (`nif.measures.association.row_influence`). With independent
:math:`d_{uv}` this is the delta method of `nif.flow.paths.attribution_stderr`, whose 95 % intervals hold the
truth of a linear network in 72 to 92 % of samples. What flows into a unit or out of it is a sum of links: the
same with F and B of 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array, issparse

from nif.core.random import stream
from nif.core.types import Links, SumErrors
from nif.flow.paths import Dag, attribution, clipped
from nif.measures.association.decomposition import Decomposition
from nif.measures.association.row_influence import BinnedInfluence, Scores, Units

ROWS = 1_000
"""Rows whose influence is looked at: they tell a standard error within some 4 %."""


LARGEST = 2**25
"""Influences that are held at a time, of some rows on some classes; they take eight bytes each."""


UNITS = 16
"""Units of a layer that one thread takes at a time."""


Errors = Float[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the links of a network were made of.

    Attributes:
        decomposition: How.
        activations: Of each layer, as they were measured.
        within: Standard errors of the information of the pairs of units of a layer, by its index.
        between: The same for the pairs of two connected layers, by both indices.
        scores: What a row adds to the information, as the estimator sees it.
    """

    decomposition: Decomposition
    activations: Sequence[Float[np.ndarray, "sample _"]]
    within: dict[int, Errors] = field(default_factory=dict)
    between: dict[tuple[int, int], Errors] = field(default_factory=dict)
    scores: type[Scores] = BinnedInfluence


def attribution_errors(dag: Dag, terms: Terms, seed: int = 0) -> SumErrors:
    """Standard errors of the attribution, of its sums and its shares, and of what flows through units.

    Links of 0 nats or less are closed, as in all of these.

    Args:
        dag: The layers and their links.
        terms: What the links were made of.
        seed: Seeds the draw of the rows that are looked at, where there are more.
    """
    rows = _rows(len(terms.activations[0]), seed)
    scores = terms.scores.of([values[rows] for values in terms.activations], _pairs(dag))
    added = [_RowInfluence.of(each, terms, scores) for each in _by_source(dag)]
    before = dag.forward_sums(clipped, np.eye(dag.feature_count))
    by_class = np.empty((dag.feature_count, dag.sizes[-1]))
    whole, out = np.zeros((dag.feature_count, len(rows))), _StandardErrors.none(dag)
    for labels in _blocks(dag, len(rows)):
        after = [sums[:, labels] for sums in dag.backward_sums(clipped, np.eye(dag.sizes[-1]))]
        moved = np.zeros((dag.feature_count, after[-1].shape[1] * len(rows)))
        for each in added:
            onward = each.onward(after)
            out.set(each.source, onward[:, -1])
            moved += before[each.source] @ onward[:, :-1].reshape(len(onward), -1)
        moved = moved.reshape(dag.feature_count, -1, len(rows))
        by_class[:, labels] = _root_mean_square(moved)
        whole += moved.sum(axis=1)
    of_shares, into = _of_shares(dag, whole), _inflow(dag, added)
    sums = np.concatenate(into.units), np.concatenate(out.units), into.layers, out.layers
    return SumErrors(by_class, _root_mean_square(whole), of_shares, *sums)


@dataclass(frozen=True, eq=False)
class _StandardErrors:
    """Standard errors of the sums of links at one end of units.

    Attributes:
        units: Of the units of each layer.
        layers: Of all units of a layer together.
    """

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


def _rows(samples: int, seed: int) -> np.ndarray:
    if samples <= ROWS:
        return np.arange(samples)
    return np.sort(stream(seed, "rows of influence").choice(samples, ROWS, replace=False))


def _pairs(dag: Dag) -> set[tuple[int, int]]:
    """Layers whose units share information that is a part of some link."""
    between = {(each.source, each.target) for each in dag.links}
    within = {(source, source) for source, _ in between}
    return between | within | {(target, source) for source, target in between}


def _blocks(dag: Dag, rows: int) -> Iterator[slice]:
    """Classes, so many at a time as memory allows."""
    step = max(1, LARGEST // (rows * max(*dag.sizes[:-1], dag.feature_count)))
    yield from (slice(start, start + step) for start in range(0, dag.sizes[-1], step))


def _of_shares(dag: Dag, whole: Float[np.ndarray, "feature row"]) -> Float[np.ndarray, " feature"]:
    """A row moves a share by what it moves the feature, less the share of what it moves all features."""
    found = attribution(dag, of=np.ones((dag.sizes[-1], 1)))
    total = found.sum()
    if total == 0:
        return np.zeros(len(found))
    return _root_mean_square((whole - found / total * whole.sum(axis=0)) / total)


def _root_mean_square(values: Float[np.ndarray, "*shape row"]) -> Float[np.ndarray, "*shape"]:
    return np.asarray(np.sqrt(np.square(values).mean(axis=-1)))


def _by_source(dag: Dag) -> list[list[Links]]:
    sources = sorted({each.source for each in dag.links})
    return [[each for each in dag.links if each.source == source] for source in sources]


@dataclass(frozen=True, eq=False)
class _RowInfluence:
    """What rows add to the links out of one layer.

    Attributes:
        links: Out of this layer.
        terms: What they were made of.
        scores: What rows add to the information of two units.
        shared: Standard errors of the information within the layer, times the part that is redundancy.
        redundant: What each row adds to the redundancy of each unit with all of its layer.
    """

    links: Sequence[Links]
    terms: Terms
    scores: Scores
    shared: Errors
    redundant: Float[np.ndarray, "unit row"]

    @classmethod
    def of(cls, links: Sequence[Links], terms: Terms, scores: Scores) -> _RowInfluence:
        """Of all links out of one layer."""
        source, units = links[0].source, links[0].shape[0]
        shared = terms.within[source] * terms.decomposition.shares(units)
        found = _in_blocks(
            units, lambda block: scores.weighed(source, block, source, shared[block][:, :, None])
        )
        return cls(links, terms, scores, shared, found[:, 0])

    @property
    def source(self) -> int:
        """Index of the layer."""
        return self.links[0].source

    def beta(self, links: Links) -> Float[np.ndarray, " target"]:
        """Of each target."""
        units, targets = links.shape
        heard = [units] * targets if links.connected is None else links.connected.sum(axis=0)
        return np.array([self.terms.decomposition.weight(int(count)) for count in heard])

    def onward(self, after: Sequence[Float[np.ndarray, "_ label"]]) -> Float[np.ndarray, "unit label+1 row"]:
        """What each row adds to the paths from each unit to each label; in one more label, to its links."""
        behind = [np.pad(after[each.target], [(0, 0), (0, 1)], constant_values=1.0) for each in self.links]
        return _in_blocks(
            len(self.shared),
            lambda block: np.sum(
                [self._of_units(block, *each) for each in zip(self.links, behind, strict=True)], axis=0
            ),
        )

    def _of_units(
        self, units: Units, links: Links, behind: Float[np.ndarray, "target label"]
    ) -> Float[np.ndarray, "unit label row"]:
        errors = self.terms.between[links.source, links.target][units]
        opened = (links.dense("nats", units) > 0)[:, :, None] * behind
        found = self.scores.weighed(links.source, units, links.target, opened * errors[:, :, None])
        paid = opened * self.beta(links)[:, None]
        if links.connected is None:  # then all targets hear the same redundancy
            return found - paid.sum(axis=1)[:, :, None] * self.redundant[units][:, None, :]
        sparse = issparse(links.connected)
        paid = np.stack([links.connected @ part for part in paid]) if sparse else links.connected @ paid
        weight = paid * self.shared[units][:, :, None]
        return found - self.scores.weighed(links.source, units, links.source, weight)

    def into(self, links: Links) -> Float[np.ndarray, "target row"]:
        """What each row adds to the sum of the links at each target."""
        source, target, opened = links.source, links.target, links.nats > 0
        weight = (opened * self.terms.between[source, target]).T[:, :, None]
        found = _in_blocks(
            len(weight), lambda block: self.scores.weighed(target, block, source, weight[block])
        )[:, 0]
        paid = (opened * self.beta(links)).T
        if links.connected is None:
            return found - paid @ self.redundant
        # Targets that hear the same units share what is redundant among these.
        groups, group = np.unique(csr_array(links.connected).toarray(), axis=1, return_inverse=True)
        for place, heard in enumerate(groups.T):
            targets, units = np.flatnonzero(group == place), np.flatnonzero(heard)
            shared = (self.shared[units] * heard)[:, :, None]
            redundant = self.scores.weighed(source, units, source, shared)[:, 0]
            found[targets] -= paid[np.ix_(targets, units)] @ redundant
        return found


def _in_blocks(
    units: int, work: Callable[[Units], Float[np.ndarray, "unit label row"]]
) -> Float[np.ndarray, "unit label row"]:
    """Some units at a time, by all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(work, np.array_split(np.arange(units), -(-units // UNITS)))))


def _inflow(dag: Dag, added: Sequence[_RowInfluence]) -> _StandardErrors:
    """Standard errors of what flows into units."""
    found = _StandardErrors.none(dag)
    for target in sorted({each.target for each in dag.links}):
        moved = [each.into(links) for each in added for links in each.links if links.target == target]
        found.set(target, np.sum(moved, axis=0))
    return found
