"""Networks of the zoo that read graphs by their adjacency matrices, and cells that run step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_cases import CLASSES, TRAINED, Case, Net, Task, graded, numbers

NODES, FEATURES = 4, 3

SERIES = numbers(6, 4)


def graphs() -> Task:
    """Nodes with features, and weighted edges, of which some are heavy and some light, from node to node."""
    generator = torch.Generator().manual_seed(4)
    heavy = graded(NODES * NODES).reshape(NODES, NODES)
    x = torch.randn(TRAINED, NODES, FEATURES, generator=generator) * graded(NODES * FEATURES, 1).reshape(
        NODES, FEATURES
    )
    edges = torch.rand(TRAINED, NODES, NODES, generator=generator).lt(0.5) * 2.0 * heavy
    weights = torch.randn(NODES, FEATURES, CLASSES, generator=generator)
    score = torch.einsum("rnf,nfc->rc", x + edges @ x, weights) + torch.einsum(
        "rnm,mc->rc", edges, weights[:, 0]
    )
    return Task({"x": x, "adjacency": edges}, score.argmax(1))


class Adjacent(nn.Module):
    """Each node reads the nodes that the adjacency matrix joins it to, twice; all are read in order."""

    def __init__(self, *, isomorphism: bool = False) -> None:
        super().__init__()
        self.isomorphism = isomorphism
        self.first, self.own = nn.Linear(FEATURES, 6), nn.Linear(FEATURES, 6)
        self.second, self.head = nn.Linear(6, 6), nn.Linear(NODES * 6, CLASSES)
        self.edges = nn.Linear(NODES, 6)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Logits, of ``[row, node, feature]`` and ``[row, node, node]``."""
        if self.isomorphism:  # a sum over neighbours, and a perceptron
            hidden = self.second(self.first(x + adjacency @ x).relu()).relu()
        else:
            hidden = (self.own(x) + adjacency @ self.first(x)).relu()
            hidden = (hidden + adjacency @ self.second(hidden)).relu()
        out: Tensor = self.head((hidden + self.edges(adjacency).tanh()).flatten(1))
        return out


def masked(self: Any, x: Tensor, adjacency: Tensor) -> Tensor:
    """Attention over the nodes, in which the weights of edges are added to the scores."""
    hidden = self.into(x)
    shares = (self.query(hidden) @ self.key(hidden).mT / 6**0.5 + adjacency).softmax(-1)
    out: Tensor = self.head((self.own(x) + shares @ hidden).tanh().flatten(1))
    return out


class Graph(Net):
    """Parts, and what is done with them, of nodes and an adjacency matrix."""

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:  # type: ignore[override]
        """What the parts make of them."""
        found: Tensor = self.run(self, x, adjacency)
        return found


def stepped(self: Any, x: Tensor) -> Tensor:
    """Two cells, one above the other."""
    low, high = x.new_zeros(len(x), 6), x.new_zeros(len(x), 6)
    for step in x.unbind(1):
        low = self.low(step, low)
        high = self.high(low, high)
    out: Tensor = self.head(high)
    return out


def attentive(self: Any, x: Tensor) -> Tensor:
    """A cell whose states of all steps are weighted."""
    state, cell = x.new_zeros(len(x), 6), x.new_zeros(len(x), 6)
    states = []
    for step in x.unbind(1):
        state, cell = self.cell(step, (state, cell))
        states.append(state)
    every = torch.stack(states, 1)
    out: Tensor = self.head((self.score(every).softmax(1) * every).sum(1))
    return out


def generated(self: Any, x: Tensor) -> Tensor:
    """A cell that reads a series and then, for two steps, what it has predicted itself."""
    state = x.new_zeros(len(x), 6)
    for step in x.unbind(1):
        state = self.cell(step, state)
    for _ in range(2):
        state = self.cell(self.guess(state), state)
    out: Tensor = self.head(state)
    return out


def gated(self: Any, x: Tensor) -> Tensor:
    """A minimal gated unit, written out."""
    state = x.new_zeros(len(x), 6)
    for step in x.unbind(1):
        gate = torch.sigmoid(self.gate(torch.cat([step, state], 1)))
        state = (1 - gate) * state + gate * torch.tanh(self.body(torch.cat([step, gate * state], 1)))
    out: Tensor = self.head(F.layer_norm(state, (6,)))
    return out


def one(name: str, make: Callable[[], Any], task: Any = SERIES) -> Case:
    return Case(name, make, task, steps=300, rate=1e-2)


CASES: list[Case] = [
    one("graphs by adjacency matrix (GCN)", Adjacent, graphs),
    one("graphs by adjacency matrix (GIN)", lambda: Adjacent(isomorphism=True), graphs),
    one(
        "graphs by adjacency matrix, attention",
        lambda: Graph(
            masked,
            into=nn.Linear(FEATURES, 6),
            own=nn.Linear(FEATURES, 6),
            query=nn.Linear(6, 6),
            key=nn.Linear(6, 6),
            head=nn.Linear(NODES * 6, CLASSES),
        ),
        graphs,
    ),
    one(
        "GRU cells, two layers in a loop",
        lambda: Net(stepped, low=nn.GRUCell(4, 6), high=nn.GRUCell(6, 6), head=nn.Linear(6, 3)),
    ),
    one(
        "RNN cells, two layers in a loop",
        lambda: Net(stepped, low=nn.RNNCell(4, 6), high=nn.RNNCell(6, 6), head=nn.Linear(6, 3)),
    ),
    one(
        "LSTM cell, attention over its steps",
        lambda: Net(attentive, cell=nn.LSTMCell(4, 6), score=nn.Linear(6, 1), head=nn.Linear(6, 3)),
    ),
    one(
        "GRU cell that reads its own guesses",
        lambda: Net(generated, cell=nn.GRUCell(4, 6), guess=nn.Linear(6, 4), head=nn.Linear(6, 3)),
    ),
    one(
        "gated unit, written out",
        lambda: Net(gated, gate=nn.Linear(10, 6), body=nn.Linear(10, 6), head=nn.Linear(6, 3)),
    ),
]
