r"""Information along the paths of the network: attribution (eq. 4), its error, throughput, strongest paths.

.. math:: A_{ij} = \\sum_{\text{paths } i \to j} \\; \\prod_{\text{links on the path}} \text{nats}

The number of paths is about the product of the widths of the layers, so none of this enumerates them. Each
quantity is one pass over the layers in order of execution; its cost is proportional to the number of links.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from nif.core.types import Layer, Links, SumErrors
from nif.flow.unit_names import Place

Matrix: TypeAlias = Float[np.ndarray, "_ _"] | csr_array
"""``[source, target]``; sparse if the links are stored so."""

Weigh = Callable[[Links], Matrix]
"""Takes the weight of each link from the links between two layers."""

SPARSE = 0.05
"""Fraction of nonzero weights below which a sparse product is faster than a dense one."""

LARGEST_DENSE = 2**22
"""Pairs of units up to which links that are stored sparse are multiplied dense above that fraction."""

NOTHING = float(np.finfo(np.float64).tiny)
"""Totals below it have lost their digits, and their inverse is infinite."""

CANDIDATES = 2**22
"""Links that may lie on a strongest path and are compared at a time; they take some 60 bytes each."""


def clipped(links: Links) -> Matrix:
    """Weights in which links of less than 0 nats count as 0: no path passes through them."""
    return links.matrix(np.maximum(links.stored("nats"), 0.0))


def signed(links: Links) -> Matrix:
    """Weights as they were measured, negative ones included."""
    return links.matrix(links.stored("nats"))


def variances(links: Links) -> Matrix:
    """Squared standard errors, in double precision: the square of a `float32` may leave its range."""
    return links.matrix(_squared_errors(links))


def clipped_variances(links: Links) -> Matrix:
    """The same, but 0 where clipping holds a link at 0, as a small error does not move it."""
    return links.matrix(np.where(links.stored("nats") > 0, _squared_errors(links), 0.0))


def _squared_errors(links: Links) -> np.ndarray:
    return np.square(links.stored("stderr"), dtype=np.float64)


def _for_product(weights: Matrix) -> Matrix:
    """The same matrix, dense or sparse: whichever is multiplied faster."""
    pairs = weights.shape[0] * weights.shape[1]
    if not isinstance(weights, np.ndarray):
        dense = pairs <= LARGEST_DENSE and weights.count_nonzero() >= SPARSE * pairs
        return weights.toarray() if dense else weights
    return csr_array(weights) if np.count_nonzero(weights) < SPARSE * pairs else weights


@dataclass(frozen=True, eq=False)
class Dag:
    """The layers as numbers: a directed acyclic graph.

    Attributes:
        sizes: Units in each layer, in order of execution; the last layer holds the classes.
        links: Between layers; every source comes before its target.
        features: Indices of the layers that hold the features.
    """

    sizes: tuple[int, ...]
    links: tuple[Links, ...]
    features: tuple[int, ...] = (0,)
    _sparse: dict[tuple[Weigh, int], csr_array] = field(default_factory=dict, init=False, repr=False)

    def weights(self, weigh: Weigh, place: int) -> Matrix:
        """Those of `links[place]` for a product; sparse ones, which are slow to find, are kept."""
        if (weigh, place) in self._sparse:
            return self._sparse[weigh, place]
        found = _for_product(weigh(self.links[place]))
        if not isinstance(found, np.ndarray):
            self._sparse[weigh, place] = found
        return found

    def backward_sums(self, weigh: Weigh, end: Float[np.ndarray, "label column"]) -> list[np.ndarray]:
        """``[unit, column]`` for every layer: sums over all paths to the last layer, where they are `end`."""
        sums = [np.zeros((size, end.shape[1])) for size in self.sizes[:-1]] + [end]
        for place, links in sorted(enumerate(self.links), key=lambda each: -each[1].source):
            sums[links.source] += self.weights(weigh, place) @ sums[links.target]
        return sums

    def forward_sums(self, weigh: Weigh, start: Float[np.ndarray, "row feature"]) -> list[np.ndarray]:
        """``[row, unit]`` for every layer: sums over all paths from the features, where they are `start`."""
        sums = [np.zeros((len(start), size)) for size in self.sizes]
        ends = np.cumsum([self.sizes[layer] for layer in self.features])[:-1]
        for layer, columns in zip(self.features, np.split(start, ends, axis=1), strict=True):
            sums[layer] += columns
        for place, links in sorted(enumerate(self.links), key=lambda each: each[1].target):
            sums[links.target] += sums[links.source] @ self.weights(weigh, place)
        return sums

    @classmethod
    def of(cls, layers: Sequence[Layer], links: Sequence[Links]) -> Dag:
        """The graph of some layers; features are the units of the inputs, or of the first layer."""
        features = tuple(index for index, layer in enumerate(layers[:-1]) if layer.kind == "input")
        return cls(tuple(map(len, layers)), tuple(links), features or (0,))

    @property
    def feature_count(self) -> int:
        """Features of all input layers."""
        return sum(self.sizes[layer] for layer in self.features)


def attribution(
    dag: Dag, *, clip: bool = True, of: Float[np.ndarray, "label column"] | None = None
) -> Float[np.ndarray, "feature column"]:
    """Sum over all paths from each feature to each unit of the last layer (eq. 4).

    Args:
        dag: The layers.
        clip: Count negative links as 0.
        of: Sums over classes to take, one a column; each class by itself if None.
    """
    end = np.eye(dag.sizes[-1]) if of is None else of
    sums = dag.backward_sums(clipped if clip else signed, end)
    return np.concatenate([sums[layer] for layer in dag.features])


def attribution_stderr(
    dag: Dag,
    *,
    clip: bool = True,
    of: Float[np.ndarray, "label column"] | None = None,
    rows: Float[np.ndarray, "row feature"] | None = None,
) -> Float[np.ndarray, "row column"]:
    r"""Standard error of each attribution from those of the links (delta method).

    .. math:: \operatorname{Var} A_{ij} \approx \sum_{u \to v} F_{iu}^2 \; s_{uv}^2 \; B_{vj}^2

    F sums the paths from feature i to unit u, B those from unit v to class j; their product is the derivative
    of :math:`A_{ij}` by the link from u to v. The errors of the links are taken as independent. They rest on
    the same rows of data, so this is an approximation; it leaves out terms of second order in the errors.

    Args:
        dag: The layers.
        clip: Count negative links as 0.
        of: Sums over classes to take, one a column; each class by itself if None.
        rows: Sums over features to take, one a row; each feature by itself if None.
    """
    weigh = clipped if clip else signed
    start = np.eye(dag.feature_count) if rows is None else rows
    before = dag.forward_sums(weigh, start)
    end = np.eye(dag.sizes[-1]) if of is None else of
    after = dag.backward_sums(weigh, end)
    parts, squared = list[tuple[np.ndarray, int]](), clipped_variances if clip else variances
    for place, links in enumerate(dag.links):
        # Scaled by powers of two, which change no digit: the squares of a deep network leave the range.
        (ahead, i), (behind, j) = _scaled(before[links.source]), _scaled(after[links.target])
        parts.append((ahead**2 @ (dag.weights(squared, place) @ behind**2), i + j))
    most = max((exponent for part, exponent in parts if part.any()), default=0)
    variance = sum(np.ldexp(part, 2 * (exponent - most)) for part, exponent in parts if part.any())
    return np.ldexp(np.sqrt(variance + np.zeros((len(start), end.shape[1]))), most)


def _scaled(values: Float[np.ndarray, "_ _"]) -> tuple[Float[np.ndarray, "_ _"], int]:
    """Values of at most 1, and the exponent of two by which they are multiplied."""
    exponent = int(np.frexp(np.abs(values).max(initial=0.0))[1])
    return np.ldexp(values, -exponent), exponent


def independent_errors(dag: Dag) -> SumErrors:
    """Standard errors of an attribution if only the errors of its links are known."""
    labels = dag.sizes[-1]
    errors = attribution_stderr(dag, of=np.concatenate([np.eye(labels), np.ones((labels, 1))], axis=1))
    return SumErrors(errors[:, :-1], errors[:, -1], shares_stderr(dag))


def shares(dag: Dag) -> Float[np.ndarray, " feature"]:
    """Share of each feature in the attribution to all classes together; zeros where no path carries any."""
    summed = attribution(dag, of=np.ones((dag.sizes[-1], 1)))[:, 0]
    total = summed.sum()
    return np.zeros_like(summed) if total < NOTHING else summed / total


def shares_stderr(dag: Dag) -> Float[np.ndarray, " feature"]:
    r"""Standard error of each of the `shares`.

    .. math:: s_i = \frac{A_i}{T}, \qquad A_i = \sum_j A_{ij}, \quad T = \sum_i A_i, \qquad
        \frac{\partial s_i}{\partial w} = \frac{1}{T}
        \left(\frac{\partial A_i}{\partial w} - s_i \frac{\partial T}{\partial w}\right)

    A link that all features pass through moves their sum and no share.
    """
    everything = np.ones((dag.sizes[-1], 1))
    summed = attribution(dag, of=everything)[:, 0]
    total = summed.sum()
    if total < NOTHING:
        return np.zeros_like(summed)
    share = summed / total
    # Half of the 1 / T at either end: the nats of many layers make it too large for one.
    rows = (np.eye(len(share)) - share[:, None]) / np.sqrt(total)
    return attribution_stderr(dag, of=everything / np.sqrt(total), rows=rows)[:, 0]


def throughput(dag: Dag) -> list[Float[np.ndarray, " _"]]:
    """Share of the whole attribution that passes through each unit, between 0 and 1.

    Where no link skips a layer, the shares of each layer sum to 1.
    """
    before = dag.forward_sums(clipped, np.ones((1, dag.feature_count)))
    after = dag.backward_sums(clipped, np.ones((dag.sizes[-1], 1)))
    total = before[-1].sum()
    if total < NOTHING:
        return [np.zeros(size) for size in dag.sizes]
    first = total if total > 1e-200 else np.sqrt(total)  # that of many layers may be too small to divide by
    rest = total / first
    return [(begun[0] / first) * left[:, 0] / rest for begun, left in zip(before, after, strict=True)]


@dataclass(frozen=True)
class Path:
    """One path through the network.

    Attributes:
        product: Product of the nats of its links.
        places: ``(layer, unit)`` as indices, from source to target.
    """

    product: float
    places: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class _Best:
    """The strongest paths into each unit of one layer, strongest first; `product` is 0 where there are fewer.

    A path is stored as its last step: which layer and unit it came from, and which of the best paths there.
    """

    product: Float[np.ndarray, "rank unit"]
    layer: Int[np.ndarray, "rank unit"]
    unit: Int[np.ndarray, "rank unit"]
    rank: Int[np.ndarray, "rank unit"]


Strength = Callable[[np.ndarray], np.ndarray]
"""How strong links of some nats are."""


def positive(nats: np.ndarray) -> np.ndarray:
    """Links of less than 0 nats carry nothing."""
    return np.maximum(nats, 0.0)


def strongest_paths(
    dag: Dag, sources: Sequence[Place], targets: Sequence[Place], k: int, strength: Strength = positive
) -> list[Path]:
    """The k paths with the largest products from some units to others, in time linear in links times k.

    The best k into a unit extend the best k into the units before it. Of equal paths the one through
    earlier layers and units comes first.

    Args:
        dag: The layers.
        sources: Units where paths begin; no path leads from one to another.
        targets: Units of one layer where paths end.
        k: Number of paths.
        strength: Of a link of some nats; products are taken of it.
    """
    end = targets[0][0]
    best = _beginnings(dag, sources)
    begin = set(best)
    for layer in range(min(begin) + 1, end + 1):
        into = [links for links in dag.links if links.target == layer and links.source in best]
        into = [links for links in into if links.count]
        if into and layer not in begin:
            best[layer] = _extended(best, sorted(into, key=lambda links: links.source), k, strength)
    if end not in best:
        return []
    products = best[end].product[:, [unit for _, unit in targets]]
    order = np.argsort(-products, axis=None, kind="stable")[:k]
    ends = np.stack(np.unravel_index(order[products.ravel()[order] > 0], products.shape), axis=1)
    return [_traced(best, begin, targets[column], rank) for rank, column in ends.tolist()]


def _beginnings(dag: Dag, sources: Sequence[Place]) -> dict[int, _Best]:
    """The empty paths, of product 1, that begin at some units."""
    best = {}
    for layer in sorted({layer for layer, _ in sources}):
        product = np.zeros((1, dag.sizes[layer]))
        product[0, [unit for other, unit in sources if other == layer]] = 1.0
        nowhere = np.zeros(product.shape, dtype=np.int64)
        best[layer] = _Best(product, nowhere, nowhere, nowhere)
    return best


def _extended(best: dict[int, _Best], into: Sequence[Links], k: int, strength: Strength) -> _Best:
    """The best k into each unit of a layer, from the best into all layers that feed it; some units a time."""
    before = [best[links.source].product for links in into]
    ranks = max(map(len, before))
    product = np.concatenate([np.pad(paths, [(0, ranks - len(paths)), (0, 0)]) for paths in before], axis=1)
    first = np.cumsum([0, *(links.shape[0] for links in into)]).tolist()
    places = [np.full(links.shape[0], links.source) for links in into], map(np.arange, np.diff(first))
    layer, unit = map(np.concatenate, map(list, places))
    slots = [_slots(links, begin, strength) for links, begin in zip(into, first, strict=False)]
    step = max(1, CANDIDATES // max(1, sum(len(nats) for nats, _ in slots)))
    parts = []
    for start in range(0, into[0].shape[1], step):
        nats, units = (
            np.concatenate([half[:, start : start + step] for half in side])
            for side in zip(*slots, strict=True)
        )
        largest_products, units, rank = _largest_extensions(product, nats, units, k)
        parts.append((largest_products, layer[units], unit[units], rank))
    return _Best(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))


def _slots(
    links: Links, first: int, strength: Strength
) -> tuple[Float[np.ndarray, "slot target"], Int[np.ndarray, "slot target"]]:
    """Strength of the links into each target, and the source unit of each, counted from `first`.

    Where a unit has fewer links than others, 0 nats and any unit.
    """
    nats = strength(links.values("nats"))
    if links.connected is None:
        units = np.arange(first, first + links.shape[0])[:, None]
        return links.incoming(nats, 0.0), np.broadcast_to(units, links.shape)
    return links.incoming(nats, 0.0), links.incoming(links.units()[0] + first, first)


def _largest_extensions(
    product: Float[np.ndarray, "rank unit"],
    nats: Float[np.ndarray, "slot target"],
    units: Int[np.ndarray, "slot target"],
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k largest products of a path into a unit and a link out of it, that unit, and the rank of the path.

    The k links whose product with the first path of their unit is largest suffice: k paths lead through them
    that no path through another link exceeds.
    """
    chosen = np.sort(_largest(product[0, units] * nats, k), axis=0)
    nats, units = np.take_along_axis(nats, chosen, axis=0), np.take_along_axis(units, chosen, axis=0)
    extended = np.moveaxis(product[:, units], 0, 1) * nats[:, None]
    candidates = extended.reshape(-1, nats.shape[1])
    chosen = _largest(candidates, k)
    slot, rank = np.divmod(chosen, len(product))
    return np.take_along_axis(candidates, chosen, axis=0), np.take_along_axis(units, slot, axis=0), rank


def _largest(values: Float[np.ndarray, "candidate column"], k: int) -> Int[np.ndarray, "rank column"]:
    """Rows of the k largest values of each column, largest first, equal ones in the order they stand in."""
    return np.argsort(-values, axis=0, kind="stable")[:k]


def _traced(best: dict[int, _Best], begin: Collection[int], target: Place, rank: int) -> Path:
    product = float(best[target[0]].product[rank, target[1]])
    (layer, unit), places = target, [target]
    while layer not in begin:
        step = best[layer]
        layer, unit, rank = (int(array[rank, unit]) for array in (step.layer, step.unit, step.rank))
        places.append((layer, unit))
    return Path(product, tuple(reversed(places)))


def between(dag: Dag, sources: Sequence[Place], targets: Sequence[Place], weigh: Weigh = clipped) -> float:
    """Sum of the products of all paths from some units to others of one layer."""
    layers = sorted({layer for layer, _ in sources})
    end = targets[0][0]
    inside = tuple(links for links in dag.links if links.source >= layers[0] and links.target <= end)
    starts = [np.zeros((1, dag.sizes[layer])) for layer in layers]
    for layer, unit in sources:
        starts[layers.index(layer)][0, unit] = 1.0
    sums = Dag(dag.sizes, inside, features=tuple(layers)).forward_sums(weigh, np.concatenate(starts, axis=1))
    return float(sums[end][0, [unit for _, unit in targets]].sum())
