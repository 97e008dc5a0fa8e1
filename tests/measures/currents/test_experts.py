"""Experts to which only some rows are sent: their layers are named, and currents past them are right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from support.currents import trained

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1].relu() > 0.3).long()
METHOD = nif.Currents(rows=40, backgrounds=32, steps=8, by_class=False, paths=0)


def by_mask(experts: nn.ModuleList, chosen: Tensor, x: Tensor) -> Tensor:
    out = x.new_zeros(len(x), 2)
    for number, expert in enumerate(experts):
        out[chosen == number] = expert(x[chosen == number])
    return out


def by_index(experts: nn.ModuleList, chosen: Tensor, x: Tensor) -> Tensor:
    out = x.new_zeros(len(x), 2)
    for number, expert in enumerate(experts):
        rows = (chosen == number).nonzero()[:, 0]
        out = out.index_add(0, rows, expert(x[rows]))
    return out


def dense(experts: nn.ModuleList, chosen: Tensor, x: Tensor) -> Tensor:
    every = torch.stack([expert(x) for expert in experts], 1)
    return every[torch.arange(len(x)), chosen]


class Switch(nn.Module):
    """Each row is sent to one expert; the first takes nearly all of them."""

    def __init__(self, send: Callable[[nn.ModuleList, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.send, self.router = send, nn.Linear(4, 2)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)) for _ in range(2)
        )
        self.router.bias.data[0] += 1.0

    def forward(self, x: Tensor) -> Tensor:
        gate, chosen = self.router(x).softmax(-1).max(-1)
        return gate[:, None] * self.send(self.experts, chosen, x)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return trained(Switch(dense), X, Y).state_dict()


@pytest.fixture(scope="module")
def expected(weights: dict[str, Tensor]) -> nif.Flow:
    return nif.measure(loaded(dense, weights), X, METHOD, progress=False)


def loaded(send: Callable[..., Tensor], weights: dict[str, Tensor]) -> Switch:
    model = Switch(send)
    model.load_state_dict(weights)
    return model.eval()


@pytest.mark.filterwarnings(
    "ignore:The model runs different operations", "ignore:The operations nonzero have"
)
@pytest.mark.parametrize("send", [by_mask, by_index])
def test_currents_are_those_of_the_dense_twin(
    send: Callable[..., Tensor], weights: dict[str, Tensor], expected: nif.Flow
) -> None:
    with pytest.warns(UserWarning, match=r"Not measured as layers: 'experts\.0\.1'"):
        flow = nif.measure(loaded(send, weights), X, METHOD, progress=False)
    assert flow.total is not None and expected.total is not None
    assert flow.total.nats > 0.1
    inputs = [one.neurons().loc["input"]["current"].to_numpy() for one in (flow, expected)]
    missed = flow.measurement.options["missed_by_branches"]  # the flow says what the branches leave out
    assert np.abs(inputs[0] - inputs[1]).sum() < missed * expected.total.nats < 0.1 * expected.total.nats
    assert abs(inputs[0].sum() - flow.total.nats) < 0.01 * flow.total.nats
    listed = flow.measurement.options["not_measured"]
    assert any(name.startswith("experts.0.1 ") for name in listed)
    assert not any("experts" in layer.name for layer in flow.layers)


@pytest.mark.parametrize("send", [by_mask, by_index])
def test_layers_and_association_leave_them_out(
    send: Callable[..., Tensor], weights: dict[str, Tensor]
) -> None:
    model = loaded(send, weights)
    with pytest.warns(UserWarning, match="Not measured as layers"):
        names = nif.layers(model, X)["name"].tolist()
    with pytest.warns(UserWarning, match="Not measured as layers"):
        flow = nif.measure(model, X, nif.GaussianCopula(), progress=False)
    assert [layer.name for layer in flow.layers] == names == ["input", "output"]
    assert "experts.0.1 (rows are not those of the data)" in flow.measurement.options["not_measured"]


def test_rows_that_a_constant_mask_takes_are_all_rows() -> None:
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.relu, self.b = nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2)
            self.register_buffer("mask", torch.tensor([True, False, True, False]))

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.relu(self.a(x[:, self.mask])))

    assert nif.layers(Columns(), X)["name"].tolist() == ["input", "relu", "output"]
