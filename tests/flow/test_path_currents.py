"""Currents along paths against paths enumerated one by one; and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nif
from nif.core.types import Links
from nif.flow.flow import Flow
from nif.flow.path_currents import CANCELS, proposed
from support.flows import current_flow, flow_of, links_of, with_currents

Place = tuple[int, int]

SHAPES = {
    "one layer of links": ([3, 2], []),
    "chain": ([4, 3, 5, 2], []),
    "residual": ([3, 4, 4, 2], [(1, 3)]),
    "every layer to every later one": ([2, 3, 2, 3, 2], [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)]),
}


def links_out(flow: Flow, place: Place) -> Iterator[tuple[float, Place]]:
    for links in flow.links:
        if links.source == place[0]:
            for target, nats in enumerate(links.nats[place[1]].tolist()):
                yield nats, (links.target, target)


def enumerated(flow: Flow, source: Place) -> Iterator[tuple[float, tuple[Place, ...]]]:
    """Every path from a unit to an output, and its current by the definition."""

    def onward(current: float, places: tuple[Place, ...]) -> Iterator[tuple[float, tuple[Place, ...]]]:
        if places[-1][0] == len(flow.layers) - 1:
            yield current, places
            return
        links = list(links_out(flow, places[-1]))
        outflow = sum(nats for nats, _ in links)
        assert flow.currents is not None
        size = max(
            sum(abs(nats) for nats, _ in links), flow.currents.units[places[-1][0]].absolute[places[-1][1]]
        )
        if abs(outflow) < CANCELS * size:
            return
        for nats, place in links:
            yield from onward(current * nats / outflow, (*places, place))

    for nats, place in links_out(flow, source):
        yield from onward(nats, (source, place))


def named(flow: Flow, places: tuple[Place, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((flow.layers[layer].name, flow.layers[layer].units[unit]) for layer, unit in places)


@pytest.mark.parametrize(("sizes", "skips"), SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("seed", range(3))
def test_the_strongest_paths_are_those_of_the_definition(
    sizes: list[int], skips: list[Place], seed: int
) -> None:
    flow = current_flow(sizes, skips, seed)
    known = [path for unit in range(sizes[0]) for path in enumerated(flow, (0, unit))]
    known.sort(key=lambda path: -abs(path[0]))
    found = flow.paths(k=12)
    np.testing.assert_allclose(found["current"], [current for current, _ in known[:12]], rtol=1e-9)
    assert found["path"].tolist() == [named(flow, places) for _, places in known[:12]]
    assert found.attrs["all_paths"] == pytest.approx(sum(current for current, _ in known), rel=1e-9)
    assert found.attrs["shown"] == pytest.approx(found["current"].sum())
    assert len(sizes) == 2 or any(current < 0 for current, _ in known)


@pytest.mark.parametrize(("sizes", "skips"), SHAPES.values(), ids=SHAPES.keys())
def test_all_paths_sum_to_the_total(sizes: list[int], skips: list[Place]) -> None:
    flow = current_flow(sizes, skips, seed=1, mixed=0.1)
    found = flow.paths(k=10_000)
    assert found.attrs["left_out"] == ""
    assert found["current"].sum() == pytest.approx(float(flow.total or 0), rel=1e-9)
    assert found["share"].sum() == pytest.approx(1, rel=1e-9)


def small() -> Flow:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return nif.measure(net, torch.randn(60, 3), nif.Currents(backgrounds=8), progress=False)


def test_paths_of_a_measured_network_are_evaluated_and_sum_to_its_total(tmp_path: Path) -> None:
    flow = small()
    found = flow.paths(k=1000)
    assert list(found.columns) == ["current", "share", "stderr", "p_value", "q_value", "path"]
    assert len(found) == found.attrs["paths"] == 3 * 4 * 3 * 2
    assert found["current"].sum() == pytest.approx(float(flow.total or 0), abs=1e-6)
    assert (found["current"].abs().diff().dropna() <= 0).all()
    assert (found["p_value"] < 0.05).any() and (found["q_value"] >= found["p_value"]).all()
    assert found.attrs["evaluated"] == "72 paths within 60 rows x 8 backgrounds"
    few = flow.paths(k=2)
    part = few["current"].sum() / float(flow.total or 1)
    assert few.attrs["summary"] == (
        f"The strongest 2 of 72 paths carry {part:.1%} of the total of {float(flow.total or 0):.3f} nats; "
        "evaluated: 72 paths within 60 rows x 8 backgrounds."
    )
    assert few.attrs["shown_stderr"] > 0
    flow.save(tmp_path / "flow.safetensors")
    again = nif.load(tmp_path / "flow.safetensors")
    assert again == flow
    pd.testing.assert_frame_equal(again.paths(k=1000), found)


def test_evaluated_paths_of_one_feature_or_output_are_those_with_its_ends() -> None:
    flow = small()
    assert flow.currents is not None
    for feature, nats in enumerate(flow.currents.units[0].nats):
        of_one = flow.paths(("input", feature), k=1000)
        assert {path[0] for path in of_one["path"]} == {("input", flow.layers[0].units[feature])}
        assert of_one["current"].sum() == pytest.approx(nats, abs=1e-3) and of_one.attrs["paths"] == 24
    of_both = flow.paths(("input", 1), ("output", 0), k=1000)
    assert len(of_both) == 12 and {path[-1][0] for path in of_both["path"]} == {"output"}


def test_without_evaluated_paths_the_table_is_of_the_mean_graph_and_says_so() -> None:
    flow = small()
    assert flow.currents is not None and flow.currents.paths is not None
    between = flow.paths(("1", 2), k=100)  # a hidden unit: no evaluated path begins there
    older = replace(flow, currents=replace(flow.currents, paths=None))
    assert older != flow
    for found in (between, older.paths(k=100)):
        assert found.attrs["evaluated"] == "mean graph"
        assert list(found.columns) == ["current", "share", "path"]
        assert "evaluated: mean graph." in found.attrs["summary"]
    assert older.paths(k=1000).attrs["all_paths"] == pytest.approx(float(flow.total or 0), rel=1e-5)
    evaluated = dict(zip(flow.paths(k=1000)["path"], flow.paths(k=1000)["current"], strict=True))
    by_mean = older.paths(k=1000)
    apart = by_mean["current"] - by_mean["path"].map(evaluated)
    assert apart.abs().max() > 0.01 * float(flow.total or 0)


def test_q_values_count_the_paths_that_were_evaluated_and_not_kept() -> None:
    flow = small()
    assert flow.currents is not None and flow.currents.paths is not None
    more = replace(flow.currents.paths, evaluated=144)
    found = replace(flow, currents=replace(flow.currents, paths=more)).paths(k=5)
    np.testing.assert_allclose(found["q_value"], np.minimum(2 * flow.paths(k=5)["q_value"], 1))


@pytest.mark.parametrize(("sizes", "skips"), SHAPES.values(), ids=SHAPES.keys())
def test_proposed_paths_are_the_strongest_by_definition(sizes: list[int], skips: list[Place]) -> None:
    flow = current_flow(sizes, skips, seed=4)

    def strength(links: Links) -> np.ndarray:
        nats: np.ndarray = (np.abs(links.nats) + np.sqrt(links.nats**2 + 90 * links.stderr**2)) / 2
        return nats

    weights = {(links.source, links.target): strength(links) for links in flow.links}

    def onward(product: float, places: tuple[Place, ...]) -> Iterator[tuple[float, tuple[Place, ...]]]:
        if places[-1][0] == len(sizes) - 1:
            yield product, places
            return
        out = {pair: table for pair, table in weights.items() if pair[0] == places[-1][0]}
        alone = len(places) == 1
        rows = {pair: table.sum(0) if alone else table[places[-1][1]] for pair, table in out.items()}
        whole = 1.0 if alone else sum(row.sum() for row in rows.values())
        for (_, target), row in rows.items():
            for unit, nats in enumerate(row.tolist()):
                yield from onward(product * nats / whole, (*places, (target, unit)))

    known = sorted(onward(1.0, ((0, 0),)), key=lambda path: -path[0])[:7]
    assert list(proposed(flow.graph, 7, rows=90)) == [places for _, places in known]


def test_paths_between_two_units_are_those_that_lead_from_one_to_the_other() -> None:
    flow = current_flow([3, 4, 4, 2], [(1, 3)], seed=2, mixed=0.1)
    known = [path for path in enumerated(flow, (1, 2)) if path[1][-1] == (3, 1)]
    found = flow.paths(("relu1", 2), "output[1]", k=100)
    np.testing.assert_allclose(
        found["current"], sorted((c for c, _ in known), key=lambda c: -abs(c)), rtol=1e-9
    )
    assert found.attrs["all_paths"] == pytest.approx(sum(current for current, _ in known))


def cancelling(outflow: float) -> Flow:
    """The second hidden unit has currents onward of .3 and of as much less as they differ in all."""
    first = np.array([[0.5, outflow]])
    second = np.array([[0.3, 0.2], [0.3, outflow - 0.3]])
    nats = [first.sum(1), first.sum(0), second.sum(0)]
    return with_currents(flow_of([links_of(first), links_of(second, 1, 2)], [1, 2, 2]), nats)


def test_no_path_leads_through_a_unit_whose_currents_onward_cancel() -> None:
    found = cancelling(0.01).paths(k=100)
    assert [path[1][1] for path in found["path"]] == ["relu1[0]", "relu1[0]"]
    assert found.attrs["left_out"] == (
        "Paths through a unit whose currents onward nearly cancel (relu1[1]) are left out; together they "
        "carry 0.01 nats, and 0.012 nats in absolute value."
    )
    assert found.attrs["all_paths"] == pytest.approx(0.5) and found.attrs["total"] == pytest.approx(0.51)
    assert len(cancelling(0.2).paths(k=100)) == 4


def test_a_warning_says_that_much_is_left_out() -> None:
    flow = cancelling(0.01)
    assert flow.currents is not None
    first, hidden, last = flow.currents.units
    mixed = replace(hidden, absolute=np.array([0.5, 0.2]))
    tables = replace(flow.currents, units=(first, mixed, last))
    with pytest.warns(UserWarning, match="carry 0.01 nats, and 0.2 nats in absolute value"):
        replace(flow, currents=tables).paths()


def test_a_path_may_begin_at_a_unit_whose_currents_cancel() -> None:
    found = cancelling(0.01).paths(("relu1", 1), k=100)
    np.testing.assert_allclose(found["current"], [0.3, -0.29])
    assert found.attrs["left_out"] == ""


def test_sparse_links_give_the_same_paths() -> None:
    flow = current_flow([4, 5, 3], seed=3)
    sparse = []
    for links in flow.links:
        connected = np.abs(links.nats) > np.quantile(np.abs(links.nats), 0.7)
        arrays = {name: getattr(links, name) * connected for name in ("nats", "stderr", "relevance")}
        sparse.append(replace(links, **arrays))
    dense = replace(flow, links=tuple(sparse))
    few = replace(flow, links=tuple(replace(links, connected=links.nats != 0) for links in dense.links))
    assert all(links.sparse for links in few.links)
    one, other = few.paths(k=20), dense.paths(k=20)
    assert one["path"].tolist() == other["path"].tolist() and len(one) > 3
    np.testing.assert_allclose(one["current"], other["current"], rtol=1e-12)


def test_without_a_source_and_a_target_association_takes_all_of_them() -> None:
    flow = flow_of([links_of([[0.5, 0.1], [0.2, 0.4]]), links_of([[0.3], [0.6]], 1, 2)], [2, 2, 1])
    found = flow.paths(k=2)
    assert list(found.columns) == ["share", "path"]
    np.testing.assert_allclose(found.attrs["products"], [0.24, 0.15])
    np.testing.assert_allclose(found["share"], [0.24 / 0.51, 0.15 / 0.51])
