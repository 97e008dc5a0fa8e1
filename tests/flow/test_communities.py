"""Communities and betweenness against planted groups, closed forms and networkx."""

from __future__ import annotations

import pickle
import random

import igraph
import numpy as np
import pytest

from nif.flow.communities import Graph, betweenness, communities, in_and_out
from nif.flow.flow import Flow
from support.flows import flow_of, links_of, random_flow

HALF = 8
"""As many times the links of a graph of 48 units allow paths from about half of them."""


def graph_of(flow: Flow) -> Graph:
    return Graph.of([len(layer) for layer in flow.layers], flow.links)


def two_blocks(strong: float = 1.0, weak: float = 0.01) -> Flow:
    """Three layers of four units; even units tell one another, and so do odd ones."""
    weights = np.where(np.add.outer(np.arange(4), np.arange(4)) % 2 == 0, strong, weak)
    return flow_of([links_of(weights), links_of(weights, 1, 2)], [4, 4, 4])


def test_planted_groups_are_found() -> None:
    found = two_blocks().neurons()["community"].to_numpy().reshape(3, 4)
    assert (found == found[0, :2].tolist() * 2).all() and found[0, 0] != found[0, 1]


def test_modularity_is_that_of_newman() -> None:
    flow = two_blocks()
    graph = graph_of(flow)
    label = flow.neurons()["community"].to_numpy()
    weights = np.zeros((12, 12))
    weights[graph.ends[:, 0], graph.ends[:, 1]] = graph.nats
    weights += weights.T
    degree, total = weights.sum(0), weights.sum()
    same = label[:, None] == label[None, :]
    by_hand = ((weights - np.outer(degree, degree) / total) * same).sum() / total
    assert flow.modularity == pytest.approx(by_hand, abs=1e-12)


def test_units_without_information_are_in_no_community() -> None:
    flow = flow_of([links_of([[1.0, -0.5], [0.0, 0.0]])], [2, 2])
    assert flow.neurons()["community"].tolist() == [0, -1, 0, -1]
    assert flow_of([links_of([[-1.0]])], [1, 1]).neurons()["community"].tolist() == [-1, -1]
    assert flow_of([links_of([[-1.0]])], [1, 1]).modularity == 0.0


def test_the_largest_community_is_the_first() -> None:
    label = communities(graph_of(random_flow([9, 12, 8, 3], seed=4))).label
    sizes = np.bincount(label[label >= 0])
    assert (np.diff(sizes) <= 0).all()


def test_communities_depend_on_the_seed_alone_and_leave_random_states_as_they_were() -> None:
    graph = graph_of(random_flow([20, 30, 10], seed=1))
    before = pickle.dumps((random.getstate(), np.random.get_state()))  # noqa: NPY002
    first = communities(graph, seed=7)
    random.random()
    again = communities(graph, seed=7)
    np.testing.assert_array_equal(first.label, again.label)
    assert first.modularity == again.modularity
    random.setstate(pickle.loads(before)[0])
    communities(graph, seed=8)
    assert pickle.dumps((random.getstate(), np.random.get_state())) == before  # noqa: NPY002


def test_igraph_draws_from_its_default_generator_afterwards() -> None:
    communities(graph_of(random_flow([5, 5])), seed=3)
    random.seed(5)
    first = igraph.Graph.Erdos_Renyi(n=20, m=30).get_edgelist()
    random.seed(5)
    assert igraph.Graph.Erdos_Renyi(n=20, m=30).get_edgelist() == first


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


def test_inflow_and_outflow_sum_positive_links() -> None:
    flow = random_flow([3, 4, 2], [(0, 2)])
    table = flow.neurons()
    edges = flow.edges()
    edges["nats"] = edges["nats"].clip(lower=0)
    into = edges.groupby(["target_layer", "target_unit"])["nats"].sum()
    out = edges.groupby(["source_layer", "source_unit"])["nats"].sum()
    for place, row in table.iterrows():
        assert row["inflow"] == pytest.approx(into.get(place, 0.0))
        assert row["outflow"] == pytest.approx(out.get(place, 0.0))
    inflow, outflow = in_and_out([3, 4, 2], flow.links)
    assert inflow.sum() == pytest.approx(outflow.sum())
