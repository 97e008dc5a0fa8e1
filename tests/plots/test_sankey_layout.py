"""The numbers of the Sankey diagram: widths add up at every unit, and nothing is lost."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.plots.sankey_layout import SankeyLayout, sankey_layout
from nif.plots.sankey_order import crossings, ordered
from support.flows import current_flow, flow_of, links_of, random_flow, with_currents


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.stem(x))
        return self.head(hidden + torch.relu(self.inner(hidden)))


def residual() -> Flow:
    torch.manual_seed(0)
    few = nif.Currents(rows=64, backgrounds=8)
    return nif.measure(Residual(), torch.randn(100, 4), few, progress=False)


FLOWS = {
    "chain": lambda: current_flow([5, 8, 6, 3], seed=4),
    "wide": lambda: current_flow([40, 30, 17], seed=1),
    "skips": lambda: current_flow([4, 6, 5, 6, 3], [(1, 3), (0, 4)], seed=2, mixed=2.0),
    "linear": lambda: current_flow([5, 2]),
    "residual": residual,
}


@functools.cache
def known(name: str) -> Flow:
    return FLOWS[name]()


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest) -> Flow:
    return known(request.param)


def total(flow: Flow) -> float:
    assert flow.total is not None
    return flow.total.nats


def widths_at(layout: SankeyLayout, bar: int, end: str) -> float:
    """Signed widths of the ribbons at one side of a bar, in nats."""
    found = [ribbon for ribbon in layout.ribbons if getattr(ribbon, end) == bar]
    place = 0 if end == "source" else -1
    return sum(
        np.sign(ribbon.nats) * (ribbon.spans[place][1] - ribbon.spans[place][0]) / layout.scale
        for ribbon in found
    )


def test_widths_add_up_at_every_unit_to_the_table_of_neurons(flow: Flow) -> None:
    layout = sankey_layout(flow, most=12)
    table = flow.neurons()
    names = [layer.name for layer in flow.layers]
    for number, bar in enumerate(layout.bars):
        rows = table.loc[names[bar.layer]].iloc[list(bar.units)]
        assert widths_at(layout, number, "target") == pytest.approx(rows["inflow"].sum(), abs=1e-6)
        assert widths_at(layout, number, "source") == pytest.approx(rows["outflow"].sum(), abs=1e-6)
        assert bar.nats == pytest.approx(rows["current"].sum(), abs=1e-12)
        if len(bar.units) == 1:
            assert bar.stderr == rows["stderr"].iloc[0]
            assert bar.name == rows.index[0]


def test_every_cut_between_columns_carries_the_total(flow: Flow) -> None:
    layout = sankey_layout(flow, most=3)
    for place in range(len(layout.columns) - 1):
        cut = [
            ribbon.nats
            for ribbon in layout.ribbons
            if layout.bars[ribbon.source].column <= place < layout.bars[ribbon.target].column
        ]
        assert sum(cut) == pytest.approx(total(flow), abs=1e-6)


def test_every_link_is_in_a_ribbon_of_its_sign(flow: Flow) -> None:
    layout = sankey_layout(flow, most=2)
    nats = np.concatenate([links.values("nats") for links in flow.links])
    drawn = np.array([ribbon.nats for ribbon in layout.ribbons])
    for sign in (1, -1):
        assert drawn[sign * drawn > 0].sum() == pytest.approx(nats[sign * nats > 0].sum())
    units = sorted((bar.layer, unit) for bar in layout.bars for unit in bar.units)
    assert units == [(layer, unit) for layer, of in enumerate(flow.layers) for unit in range(len(of))]


def test_ribbons_fill_their_sides_of_the_base_line_without_gaps(flow: Flow) -> None:
    layout = sankey_layout(flow)
    for number, bar in enumerate(layout.bars):
        for end, place, sums in (("source", 0, bar.out), ("target", -1, bar.into)):
            spans = [ribbon for ribbon in layout.ribbons if getattr(ribbon, end) == number]
            for sign, nats in zip((1, -1), sums, strict=True):
                side = sorted(ribbon.spans[place] for ribbon in spans if sign * ribbon.nats > 0)
                reached = sorted([bar.base, bar.base + nats * layout.scale])
                edges = [reached[0], *(edge for span in side for edge in span), reached[1]]
                np.testing.assert_allclose(edges[::2], edges[1::2], atol=1e-9)
        low, high = bar.span
        assert low - 1e-9 <= min(bar.base, bar.base + bar.nats * layout.scale) <= high + 1e-9


def test_nothing_in_a_column_lies_on_another_thing(flow: Flow) -> None:
    layout = sankey_layout(flow)
    for place in range(len(layout.columns)):
        spans = [bar.span for bar in layout.bars if bar.column == place]
        for ribbon in layout.ribbons:
            passed = place - layout.bars[ribbon.source].column
            if 0 < passed < len(ribbon.spans) - 1:
                spans.append(ribbon.spans[passed])
        spans.sort()
        assert spans[0][0] > -1e-9 and spans[-1][1] < 1 + 1e-9
        for (_, high), (low, _) in itertools.pairwise(spans):
            assert high <= low + 1e-9


def test_the_strongest_units_stand_alone_and_the_others_together() -> None:
    layout = sankey_layout(known("wide"), most=5)
    nats = known("wide").neurons()["current"].loc["relu1"].to_numpy()
    bars = [bar for bar in layout.bars if bar.layer == 1]
    alone = {bar.units[0] for bar in bars if len(bar.units) == 1}
    assert alone == set(np.argsort(-np.abs(nats))[:5].tolist())
    (rest,) = [bar for bar in bars if len(bar.units) > 1]
    assert rest.name == "… 25 more" and rest.span[0] == min(bar.span[0] for bar in bars)
    assert np.isnan(rest.stderr)  # written by hand: no deviations of its units are known
    assert all(len(bar.units) == 1 for bar in sankey_layout(known("chain"), most=7).bars)  # no "1 more"


def test_the_error_of_units_together_is_that_of_their_sum() -> None:
    flow = known("residual")
    assert flow.currents is not None
    deviations = flow.currents.units[1].deviations
    assert deviations is not None
    rest = next(bar for bar in sankey_layout(flow, most=2).bars if bar.layer == 1 and len(bar.units) > 1)
    assert rest.stderr == pytest.approx(np.sqrt((deviations[:, list(rest.units)].sum(axis=1) ** 2).sum()))


def test_errors_of_links_are_theirs_and_none_of_several() -> None:
    flow = known("wide")
    layout = sankey_layout(flow, most=4)
    for ribbon in layout.ribbons:
        source, target = layout.bars[ribbon.source], layout.bars[ribbon.target]
        if len(source.units) == len(target.units) == 1:
            links = flow.links[source.layer]
            assert ribbon.nats == links.nats[source.units[0], target.units[0]]
            assert ribbon.stderr == links.stderr[source.units[0], target.units[0]]
        elif len(source.units) == 36 and len(target.units) == 26:
            assert np.isnan(ribbon.stderr)


def pairs_that_cross(columns: list[np.ndarray], layout: SankeyLayout) -> float:
    """The slow twin of `crossings`: every pair of ribbons between neighbouring columns."""
    place = {int(bar): height for bars in columns for height, bar in enumerate(bars)}
    column = [bar.column for bar in layout.bars]
    near = [ribbon for ribbon in layout.ribbons if len(ribbon.spans) == 2]
    return sum(
        abs(one.nats * other.nats)
        for one, other in itertools.combinations(near, 2)
        if column[one.source] == column[other.source]
        and (place[one.source] - place[other.source]) * (place[one.target] - place[other.target]) < 0
    )


def test_the_order_crosses_less_and_crossings_are_those_of_all_pairs() -> None:
    layout = sankey_layout(known("skips"))
    ends = [np.array([getattr(ribbon, end) for ribbon in layout.ribbons]) for end in ("source", "target")]
    weight = np.abs([ribbon.nats for ribbon in layout.ribbons])
    numbers = range(len(layout.bars))
    as_listed, drawn = (
        [
            np.array(sorted((n for n in numbers if layout.bars[n].column == place), key=key))
            for place in range(len(layout.columns))
        ]
        for key in (lambda number: number, lambda number: -layout.bars[number].base)
    )
    for columns in (as_listed, drawn):
        assert crossings(columns, *ends, weight) == pytest.approx(pairs_that_cross(columns, layout))
    assert crossings(drawn, *ends, weight) < crossings(as_listed, *ends, weight)


def test_a_chain_of_pairs_is_untangled() -> None:
    columns = [np.arange(4), np.arange(4, 8), np.arange(8, 12)]
    source, target = np.arange(8), np.array([6, 4, 7, 5, 10, 11, 8, 9])
    weight, pinned = np.ones(8), np.arange(12) < 4
    found = ordered(columns, source, target, weight, np.zeros(12, dtype=int), pinned)
    assert crossings(columns, source, target, weight) > 0
    assert crossings(found, source, target, weight) == 0
    np.testing.assert_array_equal(found[0], columns[0])


def test_classes_keep_their_order_and_features_are_sorted() -> None:
    layout = sankey_layout(known("chain"))
    outputs = sorted((bar for bar in layout.bars if bar.layer == 3), key=lambda bar: -bar.base)
    assert [bar.units[0] for bar in outputs] == [0, 1, 2]
    features = sorted((bar for bar in layout.bars if bar.layer == 0), key=lambda bar: -bar.base)
    assert [bar.nats for bar in features] == sorted((bar.nats for bar in features), reverse=True)


def test_parallel_branches_share_a_column() -> None:
    flow = current_flow([4, 3, 3, 2], [(0, 2), (1, 3)], seed=3)
    parallel = Flow(
        flow.layers,
        tuple(links for links in flow.links if (links.source, links.target) != (1, 2)),
        flow.constant,
        flow.measurement,
        currents=flow.currents,
    )
    assert sankey_layout(parallel).columns == ((0,), (1, 2), (3,))


def test_no_information_is_no_fault() -> None:
    links = [links_of(np.zeros((3, 4))), links_of(np.zeros((4, 2)), 1, 2)]
    empty = with_currents(flow_of(links, [3, 4, 2]), [np.zeros(3), np.zeros(4), np.zeros(2)])
    layout = sankey_layout(empty)
    assert layout.ribbons == () and all(np.isfinite(bar.span).all() for bar in layout.bars)


def test_association_and_impossible_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"association, whose links do not add up.*nif\.Currents\(\)"):
        sankey_layout(random_flow([3, 2]))
    with pytest.raises(InputError, match="most is 0"):
        sankey_layout(known("chain"), most=0)
