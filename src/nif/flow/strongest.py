"""The strongest links of a network that has too many to show, store or group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from nif.core.types import LINK_ARRAYS, SPARSE_BELOW, UNCONNECTED, Links
from nif.flow.paths import Strength, positive


@dataclass(frozen=True, eq=False)
class Strongest:
    """Links sorted by their nats, or by absolute currents, most first; units are numbered through all layers.

    Attributes:
        source: First unit of each link.
        target: Second unit of each link.
        nats: Weight of each link: above 0, or a signed current that is not 0.
        stderr: Standard error of the weight.
        p_value: Of the relevance.
        of: The number of links of more than 0 nats, or of currents that are not 0.
        fraction: Of the (absolute) nats of these, the fraction that the links here carry.
    """

    source: Int[np.ndarray, " link"]
    target: Int[np.ndarray, " link"]
    nats: Float[np.ndarray, " link"]
    stderr: Float[np.ndarray, " link"]
    p_value: Float[np.ndarray, " link"]
    of: int
    fraction: float


def strongest(
    links: Sequence[Links],
    sizes: Sequence[int],
    most: int,
    fraction: float | None = None,
    strength: Strength = positive,
) -> Strongest:
    """The links with the most nats, and none of 0 nats or less.

    Args:
        links: Of all pairs of layers.
        sizes: Units in each layer.
        most: The largest number of links.
        fraction: If there are more, fewer may do: those that carry this fraction of all nats above 0.
        strength: How strong links of some nats are; `numpy.abs` for currents, which are signed.
    """
    first, least = np.cumsum([0, *sizes]), _weakest_of(links, most, strength)
    parts = []
    for between in links:
        weights = strength(between.values("nats"))
        cells = np.flatnonzero((weights > 0) & (weights >= least))
        source, target = between.units(cells)
        ends = source + first[between.source], target + first[between.target]
        parts.append((*ends, *(between.values(name)[cells] for name in ("nats", "stderr", "p_value"))))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    total = sum(int((strength(between.stored("nats")) > 0).sum()) for between in links)
    whole = float(sum(strength(between.stored("nats")).sum() for between in links))
    order = np.argsort(-strength(columns[2]), kind="stable")[:most]
    if fraction is not None and total > most:
        order = order[: np.searchsorted(np.cumsum(strength(columns[2][order])), fraction * whole) + 1]
    source, target, nats, stderr, p_value = (column[order] for column in columns)
    carried = float(strength(nats).sum()) / whole if len(order) < total else 1.0
    return Strongest(source, target, nats, stderr, p_value, total, carried)


def _weakest_of(links: Sequence[Links], most: int, strength: Strength) -> float:
    """Strength of the weakest of the strongest links, so that others need not be sorted; 0 of fewer links."""
    top, waiting = np.zeros(0), [np.zeros(0)]
    for number, between in enumerate(links, 1):
        weights = strength(between.stored("nats"))
        waiting.append(weights[weights > 0])
        if sum(map(len, waiting)) > most or number == len(links):
            top, waiting = np.concatenate([top, *waiting]), []
            top = np.partition(top, len(top) - most)[len(top) - most :] if len(top) > most else top
    return float(top.min()) if len(top) == most else 0.0


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The weakest links of a large flow, which its file does not hold.

    Attributes:
        links: The number of links.
        fraction: Of the absolute nats of all links, the fraction that they carry.
        p_value: Of each unit, from the p-values of all its links.
    """

    links: int
    fraction: float
    p_value: Float[np.ndarray, " unit"]

    def __str__(self) -> str:
        return f"{self.links:,} weakest links, {self.fraction:.2%} of the absolute nats, are not in the file"


def carrying(links: Sequence[Links], fraction: float) -> tuple[tuple[Links, ...], int, float]:
    """The links that carry a fraction of the absolute nats of all, as few as can be.

    Returns:
        The links that stay, the number of the others, and the fraction that these carry.

    Example:
        >>> nats = np.array([[0.6, -0.3, 0.1, 0.0]])
        >>> kept, left_out, carried = carrying([Links(0, 1, nats, nats, nats, nats)], 0.9)
        >>> kept[0].values("nats").tolist(), left_out, round(carried, 6)
        ([0.6, -0.3], 2, 0.1)
    """
    sizes = np.concatenate([np.abs(between.values("nats")) for between in links])
    threshold, carried = weakest_carrying(sizes, fraction)
    kept = tuple(at_least(between, threshold) for between in links)
    left_out = sum(between.count for between in links) - sum(between.count for between in kept)
    return kept, left_out, float(1 - carried)


def weakest_carrying(sizes: Float[np.ndarray, " number"], fraction: float) -> tuple[float, float]:
    """The smallest of the fewest numbers that make up a fraction of the sum, and the fraction of these."""
    sizes[::-1].sort()  # in place, largest first
    sums = np.cumsum(sizes, dtype=np.float64)
    last = min(int(np.searchsorted(sums, fraction * sums[-1] * (1 - 1e-12))), len(sizes) - 1)
    return float(sizes[last]), sums[last] / sums[-1] if sums[-1] else 1.0


def at_least(links: Links, threshold: float) -> Links:
    """The links of at least these absolute nats."""
    strong = np.abs(links.stored("nats")) >= threshold
    if not links.sparse and links.connected is not None:
        strong &= links.connected
    if not links.sparse and np.count_nonzero(strong) >= SPARSE_BELOW * strong.size:
        whole = {name: np.where(strong, links.stored(name), UNCONNECTED[name]) for name in LINK_ARRAYS}
        return Links(links.source, links.target, **whole, connected=strong)
    rows, columns = links.units(np.flatnonzero(strong)) if links.sparse else np.nonzero(strong)
    flags = csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=links.shape)
    values = {name: links.stored(name)[strong] for name in LINK_ARRAYS}
    return Links(links.source, links.target, **values, connected=flags)


def with_largest(
    values: Float[np.ndarray, " link"], places: Int[np.ndarray, " place"], most: int
) -> Int[np.ndarray, " some"]:
    """Those of some places, in their order, that hold the largest values; more than `most` if values tie.

    Example:
        >>> with_largest(np.array([1.0, 3.0, 2.0, 2.0]), np.arange(4), 2).tolist()
        [1, 2, 3]
    """
    if len(places) <= most:
        return places
    kept = values[places]
    return places[kept >= np.partition(kept, len(kept) - most)[len(kept) - most]]
