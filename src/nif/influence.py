r"""Standard errors of an attribution whose links rest on the same rows of data.

A row moves all links at once: units are correlated, so the errors of their links are. To first order it moves
an attribution by its influence

.. math:: A_{ij}(s) = \sum_{u \to v} F_{iu} \; s_{uv} \, d_{uv}(s) \; B_{vj}, \qquad
    \operatorname{Var} A_{ij} \approx \frac1N \sum_s A_{ij}(s)^2

F sums the paths from feature i to unit u, B those from unit v to class j, and :math:`s_{uv}` is the standard
error of the information of two units. Of :math:`d_{uv}(s)`, what the row s adds to that information, only the
correlations between pairs count here (`nif.row_scores`). With independent :math:`d_{uv}` this is the delta
method of `nif.paths.attribution_stderr`, whose 95 % intervals hold the truth of a linear network in 80 to
90 % of samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from nif.contracts import AttributionErrors, Links
from nif.decomposition import Decomposition
from nif.paths import Dag, attribution, clipped
from nif.row_scores import BinScores, Scores, Units
from nif.streams import stream

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
    scores: type[Scores] = BinScores


def attribution_errors(dag: Dag, terms: Terms, seed: int = 0) -> AttributionErrors:
    """Standard errors of the attribution (links of 0 nats or less closed), of its sums and its shares.

    Args:
        dag: The layers and their links.
        terms: What the links were made of.
        seed: Seeds the draw of the rows that are looked at, where there are more.
    """
    rows = _rows(len(terms.activations[0]), seed)
    scores = terms.scores.of([values[rows] for values in terms.activations], _pairs(dag))
    before = dag.onward(clipped, np.eye(dag.feature_count))
    by_class = np.empty((dag.feature_count, dag.sizes[-1]))
    whole = np.zeros((dag.feature_count, len(rows)))
    for labels in _blocks(dag, len(rows)):
        after = [sums[:, labels] for sums in dag.toward(clipped, np.eye(dag.sizes[-1]))]
        moved = _influence(dag, terms, scores, before, after)
        by_class[:, labels] = _root_mean_square(moved)
        whole += moved.sum(axis=1)
    return AttributionErrors(by_class, _root_mean_square(whole), _of_shares(dag, whole))


def _rows(samples: int, seed: int) -> np.ndarray:
    if samples <= ROWS:
        return np.arange(samples)
    return np.sort(stream(seed, "rows of influence").choice(samples, ROWS, replace=False))


def _pairs(dag: Dag) -> set[tuple[int, int]]:
    """Layers whose units share information that is a part of some link."""
    between = {(each.source, each.target) for each in dag.links}
    return between | {(source, source) for source, _ in between}


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


def _influence(
    dag: Dag,
    terms: Terms,
    scores: Scores,
    before: Sequence[Float[np.ndarray, "feature _"]],
    after: Sequence[Float[np.ndarray, "_ label"]],
) -> Float[np.ndarray, "feature label row"]:
    """What each row adds to the attribution of each feature to each class."""
    labels = after[-1].shape[1]
    found = np.zeros((dag.feature_count, labels * min(ROWS, len(terms.activations[0]))))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source in sorted({each.source for each in dag.links}):
            out = [_Moved.of(each, terms, after[each.target]) for each in dag.links if each.source == source]
            reached = np.flatnonzero(before[source].any(axis=0))
            blocks = [reached[start : start + UNITS] for start in range(0, len(reached), UNITS)]
            parts = list(pool.map(lambda units, out=out: _of_units(units, out, scores), blocks))
            if parts:
                found += before[source][:, reached] @ np.concatenate(parts).reshape(len(reached), -1)
    return found.reshape(dag.feature_count, labels, -1)


@dataclass(frozen=True, eq=False)
class _Moved:
    """The links between two layers, with what their terms are multiplied by on the way to each class.

    Attributes:
        links: Of these two layers.
        relevance: Standard errors of the information of their units.
        shared: The same within the source, times the part that counts as redundancy.
        behind: The paths behind each target.
        beta: Of each target.
    """

    links: Links
    relevance: Errors
    shared: Errors
    behind: Float[np.ndarray, "target label"]
    beta: Float[np.ndarray, " target"]

    @classmethod
    def of(cls, links: Links, terms: Terms, behind: Float[np.ndarray, "target label"]) -> _Moved:
        units, targets = links.nats.shape
        heard = [units] * targets if links.joined is None else links.joined.sum(axis=0).tolist()
        return cls(
            links,
            terms.between[links.source, links.target],
            terms.within[links.source] * terms.decomposition.shares(units),
            behind,
            np.array([terms.decomposition.weight(count) for count in heard]),
        )

    def of_units(self, units: Units, scores: Scores) -> Float[np.ndarray, "unit label row"]:
        """What each row adds to the paths from some units of the source through these links.

        Links of 0 nats or less are closed: a row does not move them.
        """
        source, target = self.links.source, self.links.target
        behind = (self.links.nats[units] > 0)[:, :, None] * self.behind
        found = scores.weighed(source, units, target, behind * self.relevance[units][:, :, None])
        paid, shared = behind * self.beta[:, None], self.shared[units][:, :, None]
        if self.links.joined is None:  # then all targets hear the same redundancy
            return found - paid.sum(axis=1)[:, :, None] * scores.weighed(source, units, source, shared)
        return found - scores.weighed(source, units, source, (self.links.joined @ paid) * shared)


def _of_units(units: Units, out: Sequence[_Moved], scores: Scores) -> Float[np.ndarray, "unit label row"]:
    """What each row adds to the paths from some units of a layer to each class."""
    found = out[0].of_units(units, scores)
    for each in out[1:]:
        found += each.of_units(units, scores)
    return found
