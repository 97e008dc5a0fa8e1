"""Betweenness against closed forms, networkx and igraph; the sample of starts."""

from __future__ import annotations

import numpy as np
import pytest

from nif.flow import betweenness as module
from nif.flow.betweenness import betweenness
from nif.flow.communities import Graph
from nif.flow.flow import Flow
from support.flows import flow_of, links_of, random_flow

HALF = 8
"""As many times the links of a graph of 48 units allow paths from about half of them."""


def graph_of(flow: Flow) -> Graph:
    return Graph.of([len(layer) for layer in flow.layers], flow.links)


def test_betweenness_of_a_bottleneck() -> None:
    flow = flow_of([links_of(np.ones((3, 1))), links_of(np.ones((1, 2)), 1, 2)], [3, 1, 2])
    assert flow.neurons()["betweenness"].tolist() == [0, 0, 0, 6, 0, 0]  # 3 inputs to 2 outputs


def test_the_strong_way_is_the_short_one() -> None:
    flow = flow_of([links_of([[1.0, 0.1]]), links_of([[1.0], [0.1]], 1, 2)], [1, 2, 1])
    assert flow.neurons()["betweenness"].loc["relu1"].tolist() == [1, 0]


def test_betweenness_is_that_of_networkx() -> None:
    networkx = pytest.importorskip("networkx")
    flow = random_flow([6, 9, 7, 3], [(0, 2), (1, 3)], seed=2)
    expected = networkx.betweenness_centrality(flow.to_networkx(), weight="distance", normalized=False)
    found = flow.neurons()["betweenness"]
    np.testing.assert_allclose(found, [expected[place] for place in found.index], atol=1e-9)


def test_sampled_betweenness_is_unbiased() -> None:
    graph = graph_of(random_flow([12, 20, 12, 4], seed=6))
    exact = betweenness(graph)
    assert exact.starts == graph.units
    drawn = [betweenness(graph, seed=seed, most_work=HALF * len(graph.nats)) for seed in range(300)]
    assert all(1 < estimate.starts < graph.units for estimate in drawn)
    pairs = np.stack([each.pairs for each in drawn])
    error = pairs.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(pairs.mean(axis=0) - exact.pairs) <= 4 * error + 1e-9).all()
    assert pairs.std(axis=0).max() > 0


def test_sampled_betweenness_depends_on_the_seed_alone() -> None:
    graph = graph_of(random_flow([12, 20, 12, 4], seed=6))
    first, again, other = (
        betweenness(graph, seed=seed, most_work=HALF * len(graph.nats)).pairs for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_links_ahead_are_what_betweenness_costs() -> None:
    graph = graph_of(random_flow([10, 10, 10], seed=3))
    ahead = sum(int((graph.ends[:, 0] >= unit).sum()) for unit in range(graph.units))
    assert betweenness(graph, most_work=ahead + 1).starts == graph.units
    assert betweenness(graph, most_work=ahead / 2).starts < graph.units


def test_equal_ways_share_their_pair_however_their_lengths_are_summed() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 round differently."""
    ends = np.array([[0, 1], [1, 3], [3, 5], [0, 2], [2, 4], [4, 5]])
    graph = Graph((1, 2, 2, 1), ends, 1 / np.array([0.1, 0.2, 0.3, 0.3, 0.2, 0.1]))
    assert betweenness(graph).pairs.tolist() == [0, 1.5, 1.5, 1.5, 1.5, 0]


def test_units_followed_together_and_one_by_one_are_those_of_igraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links of few sizes, so that many ways are equally long, in layers that shortcuts pass by."""
    random = np.random.default_rng(0)
    sizes, first = (5, 8, 7, 6, 3), np.cumsum([0, 5, 8, 7, 6])
    pairs = [(0, 1), (1, 2), (0, 2), (2, 3), (1, 4), (3, 4)]
    ends = [
        (first[a] + i, first[b] + j)
        for a, b in pairs
        for i in range(sizes[a])
        for j in range(sizes[b])
        if random.random() < 0.5
    ]
    graph = Graph(sizes, np.array(ends), random.choice([0.25, 0.5, -1.0], size=len(ends)))
    lengths = (1 / np.abs(graph.nats)).tolist()
    expected = graph.to_igraph().betweenness(weights=lengths)
    for together in (1, 3, 64):
        monkeypatch.setattr(module, "TOGETHER", together)
        np.testing.assert_allclose(betweenness(graph).pairs, expected, atol=1e-9)


@pytest.mark.slow
def test_more_paths_than_a_number_holds_are_counted() -> None:
    """4 to the 520 equal ways lead through 520 layers, each by one unit of four: all units are alike."""
    sizes = (1, *[4] * 520, 1)
    first = np.cumsum([0, *sizes])
    ends = [
        (first[layer] + i, first[layer + 1] + j)
        for layer in range(len(sizes) - 1)
        for i in range(sizes[layer])
        for j in range(sizes[layer + 1])
    ]
    pairs = betweenness(Graph(sizes, np.array(ends), np.ones(len(ends)))).pairs
    layer = np.arange(1, 521)
    before, after = 1 + 4 * (layer - 1), 4 * (520 - layer) + 1
    np.testing.assert_allclose(pairs[1:-1].reshape(520, 4), (before * after / 4)[:, None] * np.ones(4))
