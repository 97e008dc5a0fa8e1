"""Communities against planted groups and closed forms, and the sums of links of units."""

from __future__ import annotations

import pickle
import random

import igraph
import numpy as np
import pytest

from nif.flow.communities import Graph, communities, in_and_out
from nif.flow.flow import Flow
from support.flows import flow_of, links_of, random_flow


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
