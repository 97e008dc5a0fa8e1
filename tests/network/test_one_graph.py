"""The nodes of one graph as samples of association."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.one_graph import one_graph

NODES, FEATURES = 200, 3


class Convolution(nn.Module):
    """The mean over a node and those with an edge to it, by index_add; edges may have a weight."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        sent = x[edge_index[0]] if edge_weight is None else x[edge_index[0]] * edge_weight[:, None]
        return self.linear(x + torch.zeros_like(x).index_add(0, edge_index[1], sent) / 4)


class Gcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = Convolution(FEATURES, 4), nn.ReLU(), Convolution(4, 2)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        hidden = self.dropout(self.relu(self.first(x, edge_index, edge_weight)))
        return self.second(hidden, edge_index, edge_weight)


class Adjacent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = nn.Linear(FEATURES, 4), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.second(adjacency @ self.relu(self.first(adjacency @ x)))


def graph() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NODES, FEATURES, generator=generator)
    return x, torch.randint(0, NODES, (2, 600), generator=generator)


METHOD = nif.Association(nif.GaussianCopula(), blocks=5)


@pytest.mark.parametrize("form", ["tuple", "mapping", "object", "with labels"])
def test_nodes_are_samples_in_every_form(form: str) -> None:
    net, (x, edges) = Gcn(), graph()
    data: Any = {
        "tuple": (x, edges),
        "mapping": {"edge_index": edges, "x": x},
        "object": SimpleNamespace(x=x, edge_index=edges, y=torch.zeros(NODES)),
        "with labels": {"x": x, "edge_index": edges, "y": torch.zeros(NODES)},
    }[form]
    flow = nif.measure(net, data, METHOD, progress=False)
    assert [layer.name for layer in flow.layers] == ["input", "relu", "output"]
    assert [len(layer) for layer in flow.layers] == [FEATURES, 4, 2]
    assert flow.measurement.samples == NODES and net.training and net.dropout.training
    with torch.no_grad():
        hidden = net.relu(net.first(x, edges)).double().numpy()
    inputs = x.double().numpy()
    expected = nif.pairwise(inputs, hidden, nif.GaussianCopula(), progress=False)
    np.testing.assert_allclose(flow.links[0].relevance, expected.nats, atol=1e-5)


@pytest.mark.parametrize("form", ["tuple", "mapping", "adjacency"])
def test_the_layers_are_those_that_are_measured(form: str) -> None:
    (x, edges), net = graph(), Gcn()
    if form == "adjacency":
        matrix = torch.zeros(NODES, NODES).index_put((edges[1], edges[0]), torch.ones(()), accumulate=True)
        net, data = Adjacent(), (x, matrix)
    else:
        data = (x, edges) if form == "tuple" else {"x": x, "edge_index": edges}
    flow, listed = nif.measure(net, data, METHOD, progress=False), nif.layers(net, data)
    assert listed["name"].tolist() == [layer.name for layer in flow.layers]
    assert listed["units"].tolist() == [len(layer) for layer in flow.layers]
    assert listed["shape"].tolist() == [(len(layer),) for layer in flow.layers]
    assert listed["feeds"].iloc[0] == ("relu",)


def test_the_feature_that_alone_is_used_has_the_attribution() -> None:
    net, (x, edges) = Gcn(), graph()
    with torch.no_grad():
        net.first.linear.weight[:, 1:] = 0.0
    method = nif.Association(nif.GaussianCopula(), beta=0.0, blocks=np.arange(NODES) % 20)
    flow = nif.measure(net, (x, edges), method, progress=False)
    assert flow.shares()["share"].iloc[0] > 0.95
    assert flow.measurement.options["blocks"] == 20


def test_weights_of_edges_come_along_and_several_rows_are_parts_without_edges_between() -> None:
    net, (x, edges) = Gcn().eval(), graph()
    weights = torch.rand(edges.shape[1], generator=torch.Generator().manual_seed(1))
    found = one_graph(net, {"x": x, "edge_index": edges, "edge_weight": weights})
    assert found is not None
    called, row = found
    with torch.no_grad():
        two = called(torch.cat([row, row.flip(1)]))
        np.testing.assert_allclose(two[0], net(x, edges, weights), atol=1e-6)
        np.testing.assert_allclose(two[1], net(x.flip(0), edges, weights), atol=1e-6)
        np.testing.assert_allclose(net(x, edges), Gcn().eval()(x, edges))  # the model is as it was


def test_without_blocks_errors_are_said_to_be_too_small() -> None:
    with pytest.warns(UserWarning, match="Nodes of one graph depend on their neighbours") as warned:
        nif.measure(Gcn(), graph(), nif.GaussianCopula(), progress=False)
    assert warned[0].filename == __file__


def test_what_cannot_be_measured_is_refused_as_a_graph() -> None:
    x, edges = graph()
    with pytest.raises(nif.InputError, match=r"are a graph: .*nif\.Association\(\) takes \(x, edge_index\)"):
        nif.measure(Gcn(), (x, edges), progress=False)
    few = x[:11], edges % 11
    with pytest.raises(nif.InputError, match="a graph of 11 nodes; mutual information needs at least 50"):
        nif.measure(Gcn(), few, METHOD, progress=False)
    assert nif.layers(Gcn(), few)["units"].tolist() == [FEATURES, 4, 2]  # which needs no samples
    with pytest.raises(nif.InputError, match=r"edges of shape \[600, 2\]; expected"):
        nif.measure(Gcn(), (x, edges.T), METHOD, progress=False)

    class Pooled(Gcn):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
            return super().forward(x, edge_index).mean(0, keepdim=True)

    with pytest.raises(nif.InputError, match="for a graph of 200 nodes; expected one for each node"):
        nif.measure(Pooled(), (x, edges), METHOD, progress=False)


def test_other_data_are_no_graph() -> None:
    x, edges = graph()
    assert one_graph(nn.Linear(3, 1), x) is None and one_graph(Gcn(), x) is None
    assert one_graph(Gcn(), [SimpleNamespace(x=x, edge_index=edges)]) is None
    assert one_graph("no model", (x, edges)) is None


def test_a_traced_module_is_refused_as_one_by_both_measures() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        traced = torch.jit.trace(
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.zeros(2, 3)
        )
    for method in (nif.GaussianCopula(), nif.Currents()):
        with pytest.raises(nif.InputError, match="The model is a TorchScript module, which cannot be traced"):
            nif.measure(traced, torch.randn(60, 3), method, progress=False)
