"""Currents along paths against paths enumerated one by one; and what is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.flow.flow import Flow
from nif.flow.path_currents import CANCELS
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


def test_paths_of_a_measured_network_sum_to_its_total() -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    flow = nif.measure(net, torch.randn(60, 3), nif.Currents(backgrounds=8), progress=False)
    found = flow.paths(k=1000)
    assert found.attrs["left_out"] == "" and len(found) == 3 * 4 * 3 * 2
    assert found["current"].sum() == pytest.approx(float(flow.total or 0), rel=1e-5)
    of_one = flow.paths(("input", 0), k=1000)
    assert flow.currents is not None
    assert of_one.attrs["all_paths"] == pytest.approx(flow.currents.units[0].nats[0], rel=1e-5)


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
    assert list(found.columns) == ["product", "share", "path"]
    np.testing.assert_allclose(found["product"], [0.24, 0.15])
    np.testing.assert_allclose(found["share"], [0.24 / 0.51, 0.15 / 0.51])
