r"""Standard errors of an attribution whose links rest on the same rows of data.

A row moves all links at once: units are correlated, so the errors of their links are. To first order it moves
an attribution by its influence

.. math:: A_{ij}(s) = \sum_{u \to v} F_{iu} \; s_{uv} \, d_{uv}(s) \; B_{vj}, \qquad
    \operatorname{Var} A_{ij} \approx \frac1N \sum_s A_{ij}(s)^2

F sums the paths from feature i to unit u, B those from unit v to class j, and :math:`s_{uv}` is the standard
error of the information of two units. Of :math:`d_{uv}(s)`, what the row s adds to that information, only the
correlations between pairs count here: it is the pointwise information of a table of bins (`nif.pointwise`),
scaled to mean 0 and variance 1 over the rows. With independent :math:`d_{uv}` this is the delta method of
`nif.paths.attribution_stderr`, whose 95 % intervals hold the truth of a linear network in 80 to 90 % of
samples.

References:
    Hampel (1974), The influence curve and its role in robust estimation, JASA 69.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from nif.compiled import compiled, inlined
from nif.contracts import AttributionErrors, Links
from nif.decomposition import Decomposition
from nif.paths import Dag, attribution, clipped
from nif.pointwise import Columns
from nif.streams import stream

ROWS = 1_000
"""Rows whose influence is looked at: they tell a standard error within some 4 %."""

BINS = 8
"""Bins a column: as many as a thousand rows fill."""

LARGEST = 2**25
"""Influences that are held at a time, of some rows on some classes; they take eight bytes each."""

SMALLEST = 1e-9
"""Deviation of pointwise information, in nats, that is no more than rounding."""

Errors = Float[np.ndarray, "_ _"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the links of a network were made of.

    Attributes:
        decomposition: How.
        activations: Of each layer, as they were measured.
        within: Standard errors of the information of the pairs of units of a layer, by its index.
        between: The same for the pairs of two connected layers, by both indices.
    """

    decomposition: Decomposition
    activations: Sequence[Float[np.ndarray, "sample _"]]
    within: dict[int, Errors] = field(default_factory=dict)
    between: dict[tuple[int, int], Errors] = field(default_factory=dict)


def attribution_errors(dag: Dag, terms: Terms, seed: int = 0) -> AttributionErrors:
    """Standard errors of the attribution (links of 0 nats or less closed), of its sums and its shares.

    Args:
        dag: The layers and their links.
        terms: What the links were made of.
        seed: Seeds the draw of the rows that are looked at, where there are more.
    """
    rows = _rows(len(terms.activations[0]), seed)
    bins = [_binned(values[rows]) for values in terms.activations]
    before = dag.onward(clipped, np.eye(dag.feature_count))
    by_class = np.empty((dag.feature_count, dag.sizes[-1]))
    whole = np.zeros((dag.feature_count, len(rows)))
    for labels in _blocks(dag, len(rows)):
        after = [sums[:, labels] for sums in dag.toward(clipped, np.eye(dag.sizes[-1]))]
        moved = _influence(dag, terms, bins, before, after)
        by_class[:, labels] = _root_mean_square(moved)
        whole += moved.sum(axis=1)
    return AttributionErrors(by_class, _root_mean_square(whole), _of_shares(dag, whole))


def _rows(samples: int, seed: int) -> np.ndarray:
    if samples <= ROWS:
        return np.arange(samples)
    return np.sort(stream(seed, "rows of influence").choice(samples, ROWS, replace=False))


def _binned(values: Float[np.ndarray, "sample unit"]) -> UInt8[np.ndarray, "unit sample"]:
    return np.ascontiguousarray(Columns.of(values, BINS).bins(values).T)


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
    bins: Sequence[UInt8[np.ndarray, "_ row"]],
    before: Sequence[Float[np.ndarray, "feature _"]],
    after: Sequence[Float[np.ndarray, "_ label"]],
) -> Float[np.ndarray, "feature label row"]:
    """What each row adds to the attribution of each feature to each class."""
    labels, rows = after[-1].shape[1], bins[0].shape[1]
    found = np.zeros((dag.feature_count, labels * rows))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source in sorted({each.source for each in dag.links}):
            out = [_Moved.of(each, terms, after[each.target]) for each in dag.links if each.source == source]
            reached = np.flatnonzero(before[source].any(axis=0))
            parts = list(pool.map(lambda unit, out=out: _of_unit(unit, out, bins), reached.tolist()))
            if parts:
                found += before[source][:, reached] @ np.stack(parts).reshape(len(parts), -1)
    return found.reshape(-1, labels, rows)


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

    def weights(
        self, unit: int
    ) -> tuple[Float[np.ndarray, "target label"], Float[np.ndarray, "source label"]]:
        """Of what a row adds to the information of a unit with each target, and with each unit of its layer.

        Links of 0 nats or less are closed: a row does not move them.
        """
        behind = self.behind * (self.links.nats[unit] > 0)[:, None]
        paid = self.beta[:, None] * behind
        if self.links.joined is None:
            heard = np.broadcast_to(paid.sum(axis=0), (len(self.shared), paid.shape[1]))
        else:
            heard = self.links.joined @ paid
        return behind * self.relevance[unit][:, None], heard * self.shared[unit][:, None]


def _of_unit(
    unit: int, out: Sequence[_Moved], bins: Sequence[UInt8[np.ndarray, "_ row"]]
) -> Float[np.ndarray, "label row"]:
    """What each row adds to the paths from one unit to each class."""
    source = bins[out[0].links.source]
    found = np.zeros((out[0].behind.shape[1], source.shape[1]))
    paid = np.zeros((len(source), len(found)))
    for each in out:
        weight, redundant = each.weights(unit)
        _add_scores(source[unit], bins[each.links.target], weight, found)
        paid += redundant
    _add_scores(source[unit], source, -paid, found)
    return found


@compiled
def _add_scores(own, others, weight, found):  # type: ignore[no-untyped-def]
    """Add, for each label, the weighed pointwise information of one column with others.

    A matrix product would do, but so thin a one is slower than the loop.
    """
    scores = np.empty(own.size)
    for other in range(len(others)):
        if weight[other].any():
            _scores(own, others[other], scores)
            for label in range(len(found)):
                factor, sums = weight[other, label], found[label]
                for row in range(own.size):
                    sums[row] += factor * scores[row]


@inlined
def _scores(x, y, scores):  # type: ignore[no-untyped-def]
    """Pointwise information of two columns of bins at each row, scaled to mean 0 and variance 1.

    The formula is that of `nif.pointwise`; 0 where a side is constant.
    """
    counts, of_x, of_y = np.zeros((BINS, BINS)), np.zeros(BINS), np.zeros(BINS)
    for row in range(x.size):
        counts[x[row], y[row]] += 1
        of_x[x[row]] += 1
        of_y[y[row]] += 1
    logs, mean, deviation = _logs(counts, of_x, of_y, x.size)
    for row in range(x.size):
        scores[row] = 0.0 if deviation < SMALLEST else (logs[x[row], y[row]] - mean) / deviation


@inlined
def _logs(counts, of_x, of_y, samples):  # type: ignore[no-untyped-def]
    """Pointwise information in each bin, its mean and deviation over the samples. Loops compile fast."""
    rows, columns = 0, 0
    for bin_ in range(BINS):
        rows += of_x[bin_] > 0
        columns += of_y[bin_] > 0
    prior = rows * columns / 2
    logs, mean, variance = np.zeros((BINS, BINS)), 0.0, 0.0
    for a in range(BINS):
        for b in range(BINS):
            if counts[a, b] > 0:
                ratio = counts[a, b] * samples / of_x[a] * samples / of_y[b]
                logs[a, b] = np.log((ratio + prior) / (samples + prior))
                mean += counts[a, b] / samples * logs[a, b]
    for a in range(BINS):
        for b in range(BINS):
            variance += counts[a, b] / samples * (logs[a, b] - mean) ** 2
    return logs, mean, np.sqrt(variance)
