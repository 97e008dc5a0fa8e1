"""Graphs by adjacency matrices: one for each row, or one graph whose nodes are the samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.one_graph import adjacency, one_graph

NODES, FEATURES = 120, 3


class Dense(nn.Module):
    """Every node reads those that the matrix joins it to, twice."""

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.dropout = nn.Linear(FEATURES, 4), nn.Linear(4, 2), nn.Dropout()
        self.pooled = pooled

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        hidden = self.dropout((a @ self.first(x)).relu())
        out = a @ self.second(hidden)
        return out.mean(-2) if self.pooled else out


def graph(nodes: int = NODES) -> tuple[Tensor, Tensor]:
    """Nodes, and their adjacency matrix with the mean over neighbours."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, FEATURES, generator=generator)
    joined = (torch.rand(nodes, nodes, generator=generator) < 0.03).float() + torch.eye(nodes)
    return x, joined / joined.sum(1, keepdim=True)


METHOD = nif.Association(nif.GaussianCopula(), blocks=5)


@pytest.mark.parametrize("form", ["tuple", "mapping", "sparse", "numpy"])
def test_nodes_of_one_graph_are_samples_of_association(form: str) -> None:
    net, (x, a) = Dense(), graph()
    data = {
        "tuple": (x, a),
        "mapping": {"a": a, "x": x},
        "sparse": (x, a.to_sparse()),
        "numpy": (x.numpy(), a.double().numpy()),
    }[form]
    flow = nif.measure(net, data, METHOD, progress=False)
    assert [len(layer) for layer in flow.layers] == [FEATURES, 4, 2]
    assert flow.measurement.samples == NODES and net.training and net.dropout.training
    with torch.no_grad():
        hidden = (a @ net.first(x)).relu().double().numpy()
    expected = nif.pairwise(x.double().numpy(), hidden, nif.GaussianCopula(), progress=False)
    np.testing.assert_allclose(flow.links[0].relevance, expected.nats, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_several_rows_are_parts_that_nothing_joins(sparse: bool) -> None:
    net, (x, a) = Dense().eval(), graph()
    found = one_graph(net, (x, a.to_sparse() if sparse else a))
    assert found is not None
    called, row = found
    with torch.no_grad():
        two = called(torch.cat([row, row.flip(1)]))
        np.testing.assert_allclose(two[0], net(x, a), atol=1e-6)
        np.testing.assert_allclose(two[1], net(x.flip(0), a), atol=1e-6)


def test_currents_refuse_one_graph_as_what_it_is() -> None:
    net, data = Dense(), graph()
    with pytest.raises(nif.InputError, match=r"are a graph: 'a' joins all rows, as an adjacency matrix does"):
        nif.measure(net, data, progress=False)
    assert net.training and net.dropout.training


def test_a_matrix_of_rows_as_samples_is_no_graph() -> None:
    x, square = graph()

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(FEATURES, 2), nn.Linear(NODES, 2)

        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            return self.left(x) + self.right(other)

    assert adjacency(Rows(), (x, square)) is None
    assert adjacency(Dense(), (x, square[:, :5])) is None and adjacency(Dense(), x) is None
    for other in ({"x": x, "a": ["text"] * NODES}, (x.numpy(), np.full((NODES, NODES), None)), [x], None):
        assert adjacency(Dense(), other) is None and one_graph(Dense(), other) is None
    assert adjacency(Dense(), (x, square)) == "a"


@pytest.mark.parametrize("name", ["adjacency", "adj", "edge_weights"])
def test_a_graph_in_every_row_is_one_whatever_its_edges_are_called(name: str) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Dense(pooled=True)

    x, a = torch.randn(60, 4, FEATURES), torch.rand(60, 4, 4)
    Named.forward = {  # type: ignore[assignment]
        "adjacency": lambda self, x, adjacency: self.net(x, adjacency),
        "adj": lambda self, x, adj: self.net(x, adj),
        "edge_weights": lambda self, x, edge_weights: self.net(x, edge_weights),
    }[name]
    flow = nif.measure(Named(), {"x": x, name: a}, nif.GaussianCopula(), progress=False)
    assert [layer.name for layer in flow.layers[:2]] == ["input.x", f"input.{name}"]
    with pytest.raises(nif.InputError, match=f"are a graph: '{name}' of shape .* connects rows"):
        nif.measure(Named(), {"x": x, name: a[0]}, nif.GaussianCopula(), progress=False)


def test_a_graph_in_every_row_has_the_currents_of_the_definition() -> None:
    """Of features of nodes and of edges, by 512 midpoint steps of the mixture over all backgrounds."""
    generator = torch.Generator().manual_seed(1)
    net = Dense(pooled=True).double().eval()
    with torch.no_grad():
        net.second.weight *= 10
    x, pool = torch.randn(2, 8, 4, FEATURES, generator=generator, dtype=torch.float64)
    a, others = (torch.rand(2, 8, 4, 4, generator=generator) < 0.5).double()
    method = nif.Currents(rows=8, backgrounds=8, by_class=False, steps=32, paths=0)
    given = {"background": {"x": pool, "a": others}}
    flow = nif.measure(net, {"x": x, "a": a}, method, progress=False, **given)
    assert [len(layer) for layer in flow.layers] == [4 * FEATURES, 16, 4, 2]
    expected = twin(net, (x, a), (pool, others), 512)
    for name, found in zip(("input.x", "input.a"), expected, strict=True):
        np.testing.assert_allclose(flow.neurons().loc[name]["current"], found.flatten(), atol=1e-4)
        assert found.abs().max() > 0.005


def twin(net: nn.Module, ends: tuple[Tensor, ...], pools: tuple[Tensor, ...], steps: int) -> list[Tensor]:
    """Mean current of each number of several inputs: the gradient of log mean p along the straight way."""
    right = net(*ends).softmax(-1).detach()
    moved = [end[:, None] - pool[None] for end, pool in zip(ends, pools, strict=True)]
    shares = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps)[:, None, None, None, None]
    at = [(pool + shares * way).requires_grad_() for pool, way in zip(pools, moved, strict=True)]
    mixed = net(*at).softmax(-1).mean(2)  # [step, row, class]
    slopes = torch.autograd.grad((right * mixed.log()).sum(), at)
    return [(slope * way).sum(2).mean(1).sum(0) / steps for slope, way in zip(slopes, moved, strict=True)]
