"""Where the bars and ribbons of a Sankey diagram of currents are, without a library that draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from nif.core.errors import InputError
from nif.core.types import CurrentTables, Links, UnitCurrents
from nif.plots.sankey_order import ordered

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_UNITS = 12
"""Units of a layer with a bar of their own."""

GAP = 0.03
"""Between two bars of a column, as a fraction of the height of the picture."""

MOST_GAPS = 0.5
"""Fraction of the height that all gaps of a column take together at most."""

Span = tuple[float, float]
"""Lower and upper end, between 0 and 1."""


@dataclass(frozen=True)
class Bar:
    """A unit, or the weakest units of a layer together.

    Attributes:
        layer: Its number in the flow.
        units: Their numbers in the layer.
        name: Of the unit, or ``"… 93 more"``.
        column: From the left.
        base: Height of its base line. The current is drawn from there: upwards if it speaks for the decision,
            downwards if it speaks against it.
        span: Of all ribbons on the side where they are more.
        nats: Its current.
        stderr: Standard error of the current; NaN if it is unknown.
        into: Nats that flow in for the decision, and against it (0 or below); together the current.
        out: The same of what flows out.
    """

    layer: int
    units: tuple[int, ...]
    name: str
    column: int
    base: float
    span: Span
    nats: float
    stderr: float
    into: tuple[float, float]
    out: tuple[float, float]


@dataclass(frozen=True)
class Ribbon:
    """A link between two bars, or all links of one sign between them.

    Attributes:
        source: Number of the bar where it begins.
        target: Number of the bar where it ends.
        nats: Of the links.
        stderr: Standard error of one link; NaN of several together.
        spans: Where it is in each column from that of its source to that of its target; all of equal width.
    """

    source: int
    target: int
    nats: float
    stderr: float
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class SankeyLayout:
    """Bars and ribbons of all columns.

    Attributes:
        bars: Layer after layer.
        ribbons: Between them.
        columns: Layers of each column: parallel branches share one.
        scale: Height of one nat.
        gap: Between two bars of a column.
    """

    bars: tuple[Bar, ...]
    ribbons: tuple[Ribbon, ...]
    columns: tuple[tuple[int, ...], ...]
    scale: float
    gap: float


def sankey_layout(flow: Flow, *, most: int = MOST_UNITS, gap: float = GAP) -> SankeyLayout:
    """Lay out the currents of a flow, of which what flows into a unit flows out of it.

    Heights are between 0 (bottom) and 1. One nat has the same height everywhere. What speaks for the decision
    is above the base line of a bar, what speaks against it below. Links that skip layers lie below the bars
    of the columns between, so the nats of every column add up to the total.

    Args:
        flow: Of currents.
        most: Units of a layer with a bar of their own, the strongest; the others have one together.
        gap: Between two bars of a column.

    Raises:
        InputError: The flow is of association, or `most` is less than 1.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        >>> flow = nif.measure(net, torch.randn(40, 3), progress=False)
        >>> laid_out = sankey_layout(flow, most=2)
        >>> [bar.name for bar in laid_out.bars if bar.layer == 1][-1]
        '… 2 more'
        >>> first = [ribbon.nats for ribbon in laid_out.ribbons if laid_out.bars[ribbon.source].layer == 0]
        >>> abs(sum(first) - flow.total.nats) < 1e-6
        True
    """
    currents = currents_to_draw(flow, most)
    groups = [_groups(units.nats, most) for units in currents.units]
    links = _Merged.of(flow.links, groups)
    return _Places(flow, currents, _columns(flow), groups, links, gap).layout()


def currents_to_draw(flow: Flow, most: int) -> CurrentTables:
    """The currents of a flow; raises `InputError` as `sankey_layout` does."""
    if flow.currents is None:
        raise InputError(
            "flow is of association, whose links do not add up at a unit; a Sankey diagram needs currents, "
            "from nif.measure(model, data, nif.Currents())."
        )
    if most < 1:
        raise InputError(f"most is {most}; expected 1 or more units of a layer, such as {MOST_UNITS}.")
    return flow.currents


def _columns(flow: Flow) -> list[int]:
    """Of each layer, one to the right of those that it reads; the last layer is alone in the last."""
    column = [0] * len(flow.layers)
    for links in sorted(flow.links, key=lambda links: links.target):
        column[links.target] = max(column[links.target], column[links.source] + 1)
    column[-1] = max([column[-1], *(place + 1 for place in column[:-1])])
    return column


def _groups(nats: Float[np.ndarray, " unit"], most: int) -> list[Int[np.ndarray, " _"]]:
    """The strongest units by themselves, in their order, and the others together."""
    if len(nats) <= most + 1:
        return [np.array([unit]) for unit in range(len(nats))]
    order = np.argsort(-np.abs(nats), kind="stable")
    alone = np.sort(order[:most])
    return [*np.split(alone, most), np.sort(order[most:])]


@dataclass(frozen=True, eq=False)
class _Merged:
    """Links between bars, numbered through all layers, those of each sign together."""

    source: Int[np.ndarray, " ribbon"]
    target: Int[np.ndarray, " ribbon"]
    nats: Float[np.ndarray, " ribbon"]
    stderr: Float[np.ndarray, " ribbon"]

    @classmethod
    def of(cls, links: Sequence[Links], groups: Sequence[Sequence[np.ndarray]]) -> _Merged:
        first = np.cumsum([0, *map(len, groups)])
        parts = [_merged(between, groups, first) for between in links]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _merged(
    links: Links, groups: Sequence[Sequence[np.ndarray]], first: Int[np.ndarray, " _"]
) -> tuple[np.ndarray, ...]:
    """Bars at both ends, nats and errors of the links between two layers, those of 0 nats left out."""
    source, target = links.units()
    nats, stderr = links.values("nats"), links.values("stderr")
    rows, columns = len(groups[links.source]), len(groups[links.target])
    cell = _bar_of(groups[links.source])[source] * columns + _bar_of(groups[links.target])[target]
    found = []
    for chosen in (nats > 0, nats < 0):
        count = np.bincount(cell[chosen], minlength=rows * columns)
        sums = np.bincount(cell[chosen], nats[chosen], rows * columns)
        errors = np.bincount(cell[chosen], stderr[chosen], rows * columns)
        kept = np.flatnonzero(count)
        ends = kept // columns + first[links.source], kept % columns + first[links.target]
        found.append((*ends, sums[kept], np.where(count[kept] == 1, errors[kept], np.nan)))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _bar_of(groups: Sequence[np.ndarray]) -> Int[np.ndarray, " unit"]:
    """Number of the group of each unit."""
    bar = np.empty(sum(map(len, groups)), dtype=np.int64)
    for number, units in enumerate(groups):
        bar[units] = number
    return bar


class _Places:
    """Heights of bars, and of the ends of ribbons on them."""

    def __init__(
        self,
        flow: Flow,
        currents: CurrentTables,
        column: Sequence[int],
        groups: Sequence[Sequence[np.ndarray]],
        links: _Merged,
        gap: float,
    ) -> None:
        self.flow, self.groups, self.links = flow, groups, links
        self.layer = np.repeat(np.arange(len(groups)), [len(layer) for layer in groups])
        self.column = np.array(column)[self.layer]
        self.units = [units for layer in groups for units in layer]
        parts = [(currents.units[layer], units) for layer, units in zip(self.layer, self.units, strict=True)]
        self.nats = np.array([of.nats[units].sum() for of, units in parts])
        self.stderr = np.array([stderr_together(of, units) for of, units in parts])
        self.into, self.out = (self._sums(end) for end in (links.target, links.source))
        ends = np.stack([*self.into, *self.out, self.nats])
        self.above, self.below = np.maximum(ends.max(axis=0), 0.0), -np.minimum(ends.min(axis=0), 0.0)
        self.lanes = [self._passing(place) for place in range(max(column) + 1)]
        most = max(np.bincount(self.column) + [len(lane) > 0 for lane in self.lanes])
        self.gap = min(gap, MOST_GAPS / max(most - 1, 1))

    def _sums(self, ends: Int[np.ndarray, " ribbon"]) -> Float[np.ndarray, "2 bar"]:
        """Of the ribbons at each bar, those for the decision and those against it."""
        signed = (np.maximum(self.links.nats, 0.0), np.minimum(self.links.nats, 0.0))
        return np.stack([np.bincount(ends, nats, len(self.layer)) for nats in signed])

    def _passing(self, place: int) -> Int[np.ndarray, " _"]:
        """Ribbons that skip a column, in the order of the heights of their sources."""
        source, target = self.column[self.links.source], self.column[self.links.target]
        return np.flatnonzero((source < place) & (place < target))

    def layout(self) -> SankeyLayout:
        """Orders that cross little, the largest scale at which all columns fit, and the places."""
        order = self._order()
        self.base, scale = np.zeros(len(self.layer)), self._scale()
        lane_tops = [self._stack(bars, place, scale) for place, bars in enumerate(order)]
        spans = self._ribbons(scale, lane_tops)
        bars = tuple(self._bar(number, scale) for number in range(len(self.layer)))
        links = self.links
        ribbons = (
            Ribbon(int(source), int(target), float(nats), float(stderr), tuple(places))
            for source, target, nats, stderr, places in zip(
                links.source, links.target, links.nats, links.stderr, spans, strict=True
            )
        )
        of_layer = dict(zip(self.layer.tolist(), self.column.tolist(), strict=True))
        columns = tuple(
            tuple(layer for layer, place in of_layer.items() if place == column)
            for column in range(len(order))
        )
        return SankeyLayout(bars, tuple(ribbons), columns, scale, self.gap)

    def _order(self) -> list[Int[np.ndarray, " bar"]]:
        """Bars of each column from above: classes as they are, features by their currents."""
        first = np.lexsort((-self.nats, self._together(), self.layer))
        columns = [first[self.column[first] == place] for place in range(len(self.lanes))]
        last = np.flatnonzero(self.column == len(self.lanes) - 1)
        columns[-1] = last[np.argsort(self._together()[last], kind="stable")]
        pinned = np.isin(np.arange(len(self.layer)), np.concatenate([columns[0], columns[-1]]))
        groups = self.layer * 2 + self._together()
        return ordered(columns, self.links.source, self.links.target, np.abs(self.links.nats), groups, pinned)

    def _together(self) -> Int[np.ndarray, " bar"]:
        """1 for a bar of several units, which is below the others."""
        return np.array([int(len(units) > 1) for units in self.units])

    def _scale(self) -> float:
        heights = np.bincount(self.column, self.above + self.below)
        heights += [np.abs(self.links.nats[lane]).sum() for lane in self.lanes]
        counts = np.bincount(self.column) + [len(lane) > 0 for lane in self.lanes]
        room = 1 - self.gap * (counts - 1)
        return float((room[heights > 0] / heights[heights > 0]).min(initial=1e9))

    def _stack(self, bars: Int[np.ndarray, " _"], place: int, scale: float) -> float:
        """Set the base lines of a column about the middle; return the upper end of what passes below."""
        passing = float(np.abs(self.links.nats[self.lanes[place]]).sum()) * scale
        count = len(bars) + (len(self.lanes[place]) > 0)
        height = float((self.above + self.below)[bars].sum()) * scale + passing + self.gap * (count - 1)
        top = 0.5 + height / 2
        for bar in bars:
            self.base[bar] = top - self.above[bar] * scale
            top -= (self.above[bar] + self.below[bar]) * scale + self.gap
        return top

    def _ribbons(self, scale: float, lane_tops: Sequence[float]) -> list[list[Span]]:
        """Where every ribbon is in each column that it touches."""
        links = self.links
        starts = self._ends(links.source, links.target, scale)
        stops = self._ends(links.target, links.source, scale)
        spans = [[span] for span in starts]
        for lane, top in zip(self.lanes, lane_tops, strict=True):
            below = top
            for ribbon in lane[np.lexsort((-links.nats[lane], -self.base[links.source[lane]]))]:
                spans[ribbon].append((below - abs(float(links.nats[ribbon])) * scale, below))
                below = spans[ribbon][-1][0]
        return [[*before, stop] for before, stop in zip(spans, stops, strict=True)]

    def _ends(self, at: Int[np.ndarray, " ribbon"], other: np.ndarray, scale: float) -> list[Span]:
        """Ribbons at one side of the bars, away from the base line; in the order of their other ends."""
        spans: list[Span] = [(0.0, 0.0)] * len(at)
        reached = {sign: self.base.copy() for sign in (1, -1)}
        signs = np.where(self.links.nats < 0, -1, 1)
        away = np.abs(self.column[other] - self.column[at]) > 1  # passes below
        for ribbon in np.lexsort((signs * np.where(away, -1.0, self.base[other]), at)):
            sign, bar = int(signs[ribbon]), at[ribbon]
            begin, end = reached[sign][bar], reached[sign][bar] + self.links.nats[ribbon] * scale
            spans[ribbon] = float(min(begin, end)), float(max(begin, end))
            reached[sign][bar] = end
        return spans

    def _bar(self, number: int, scale: float) -> Bar:
        layer, units, base = int(self.layer[number]), self.units[number], float(self.base[number])
        names = self.flow.layers[layer].units
        return Bar(
            layer,
            tuple(map(int, units)),
            names[units[0]] if len(units) == 1 else f"… {len(units):,} more",
            int(self.column[number]),
            base,
            (base - float(self.below[number]) * scale, base + float(self.above[number]) * scale),
            float(self.nats[number]),
            float(self.stderr[number]),
            (float(self.into[0, number]), float(self.into[1, number])),
            (float(self.out[0, number]), float(self.out[1, number])),
        )


def stderr_together(of: UnitCurrents, units: Int[np.ndarray, " _"]) -> float:
    """Of the sum of the currents of units, which rest on the same rows; NaN if it is unknown."""
    if len(units) == 1:
        return float(of.stderr[units[0]])
    return np.nan if of.deviations is None else float(np.linalg.norm(of.deviations[:, units].sum(axis=1)))
