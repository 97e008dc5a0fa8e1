"""Pruning a model of the nodes of one graph."""

from __future__ import annotations

from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif

NODES = 120


class Mean(nn.Module):
    """Features of a node and its neighbours; units 4 and 5 repeat units 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3)
        with torch.no_grad():
            self.first.weight[4:], self.first.bias[4:] = self.first.weight[:2], self.first.bias[:2]


class ByMatrix(Mean):
    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.second(adjacency @ self.relu(self.first(adjacency @ x)))


class ByEdges(Mean):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.relu(self.first(x.index_add(0, edge_index[1], x[edge_index[0]])))
        return self.second(hidden.index_add(0, edge_index[1], hidden[edge_index[0]]))


def graph(*, sparse: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes, edges, and the matrix of them."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, NODES, (2, 200), generator=generator)
    matrix = torch.eye(NODES).index_put((edges[1], edges[0]), torch.ones(()), accumulate=True)
    return torch.randn(NODES, 3, generator=generator), edges, matrix.to_sparse() if sparse else matrix


def measured(net: nn.Module, data: Any) -> nif.Flow:
    return nif.measure(net, data, nif.Association(nif.GaussianCopula(), blocks=6), progress=False)


@pytest.mark.parametrize("sparse", [False, True])
def test_units_that_others_repeat_are_cut_and_the_model_is_called_as_before(sparse: bool) -> None:
    net, (x, _, matrix) = ByMatrix().train(), graph(sparse=sparse)
    before = net(x, matrix).detach()
    flow = measured(net, (x, matrix))
    small = nif.prune(net, flow, (x, matrix), remove=0.3, tolerance=1e-3, progress=False)
    assert small.model.first.out_features == 4 and type(small.model) is ByMatrix and small.model.training
    assert "forward" not in vars(small.model) and small.score_after <= 1e-3
    np.testing.assert_allclose(small.model(x, matrix).detach(), before, atol=1e-3)
    np.testing.assert_allclose(net(x, matrix).detach(), before)
    other = torch.eye(NODES)  # the edges of the data are not kept
    np.testing.assert_allclose(small.model(x, other).detach(), net(x, other).detach(), atol=1e-3)


def test_labels_are_those_of_nodes() -> None:
    net, (x, _, matrix) = ByMatrix(), graph()
    flow, labels = measured(net, (x, matrix)), net(x, matrix).argmax(1)
    options: dict[str, Any] = {"remove": 0.3, "progress": False}
    small = nif.prune(net, flow, (x, matrix), labels, **options)
    right = float((small.model(x, matrix).argmax(1) == labels).double().mean())
    assert (small.score_before, small.score_after) == (1.0, right)
    inside = nif.prune(net, flow, {"x": x, "adjacency": matrix, "y": labels}, **options)
    assert (inside.score, inside.score_after) == (small.score, small.score_after)
    with pytest.raises(nif.InputError, match="The labels are 10 and the graph has 120 nodes"):
        nif.prune(net, flow, (x, matrix), labels[:10], **options)
    with pytest.raises(nif.InputError, match="held_out cannot be combined with one graph"):
        nif.prune(net, flow, (x, matrix), held_out=(x, matrix), **options)


def test_what_meets_along_edges_can_be_zeroed_and_is_not_cut() -> None:
    net, (x, edges, _) = ByEdges(), graph()
    flow = measured(net, (x, edges))
    whole = nif.prune(net, flow, (x, edges), remove=0.3, tolerance=None, progress=False)
    assert whole.removed.empty and "Layer 'relu' is left whole" in whole.notes[0]
    small = nif.prune(net, flow, (x, edges), remove=0.3, tolerance=None, cut=False, progress=False)
    assert small.removed["how"].tolist() == ["zeroed"] * 2
    assert not small.model.first.weight[small.removed["index"].tolist()].any()


def test_a_forward_of_the_instance_is_kept_and_is_no_graph() -> None:
    class Net(Mean):
        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.relu(self.first(x)))

    def scaled(self: Net, x: Tensor) -> Tensor:
        return 3 * Net.forward(self, x) + 1

    net, (x, _, _) = Net().eval(), graph()
    net.forward = MethodType(scaled, net)
    flow = nif.measure(net, x, nif.Binned(), progress=False)
    small = nif.prune(net, flow, x, remove=0.3, tolerance=None, progress=False)
    assert len(small.removed) == 2
    change = float((small.model(x) - net(x)).detach().abs().max())
    assert change == pytest.approx(small.score_after, rel=1e-5) and change < 1e-4  # each repeats another
    with pytest.raises(nif.InputError, match="The data have 8 rows"):
        nif.prune(net, flow, x[:8], progress=False)


def test_a_forward_of_the_instance_is_that_of_the_graph_too() -> None:
    def scaled(self: ByMatrix, x: Tensor, adjacency: Tensor) -> Tensor:
        return 3 * ByMatrix.forward(self, x, adjacency) + 1

    net, (x, _, matrix) = ByMatrix().eval(), graph()
    net.forward = MethodType(scaled, net)
    small = nif.prune(
        net, measured(net, (x, matrix)), (x, matrix), remove=0.3, tolerance=1e-3, progress=False
    )
    np.testing.assert_allclose(small.model(x, matrix).detach(), net(x, matrix).detach(), atol=1e-3)
    assert small.model.forward.__self__ is small.model
