"""What ran and has no links is listed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.data.rows import read
from nif.measures.not_measured import not_measured
from nif.network.network import Network

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


class Parts(nn.Module):
    """Weights that are used in many ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.out = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)
        self.functional = nn.Parameter(torch.randn(5, 5))
        self.low, self.rank = nn.Parameter(torch.randn(5, 2)), nn.Parameter(torch.randn(2, 5))
        self.position = nn.Parameter(torch.randn(1, 5))
        self.gate = nn.Parameter(torch.randn(1, 5))
        self.table = nn.Parameter(torch.randn(2, 5))
        self.side = nn.Linear(5, 3)
        self.idle = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x) + self.position)
        hidden = torch.einsum("bi,io->bo", hidden, self.functional) + hidden @ (self.low @ self.rank)
        self.side(hidden)
        picked = self.table[(hidden.sum(1) > 0).long()]
        return self.out(self.relu(hidden * self.gate + picked))


ADDED = "position (used in add)"
NOWHERE = "side.weight (used in addmm, which does not lead to the output)"


@pytest.mark.parametrize(
    "by_weight, expected",
    [(False, {ADDED, NOWHERE}), (True, {ADDED, NOWHERE, "gate (used in mul)", "table (used in index)"})],
)
def test_weights_that_no_link_rests_on_are_named(by_weight: bool, expected: set[str]) -> None:
    network = Network.of(Parts())
    assert set(not_measured(network, read(X, network.signature), by_weight=by_weight)) == expected


def test_nothing_is_named_of_a_plain_network() -> None:
    network = Network.of(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 2)))
    for by_weight in (False, True):
        assert not_measured(network, read(X, network.signature), by_weight=by_weight) == []


@pytest.mark.filterwarnings("ignore:.*backgrounds miss:UserWarning")
@pytest.mark.parametrize("method", [nif.GaussianCopula(), nif.Currents(steps=2, rows=20, backgrounds=4)])
def test_the_flow_says_it_in_one_line(method: object) -> None:
    flow = nif.measure(Parts(), X, method, progress=False)
    line = next(line for line in repr(flow).splitlines() if "not measured" in line)
    assert ADDED in line and NOWHERE in line


def test_the_flow_says_the_steps_and_their_error() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    flow = nif.measure(net, X, nif.Currents(rows=20, backgrounds=16), progress=False)
    error = flow.measurement.options["step_error"]
    assert 0 < error <= 0.01
    assert f"{flow.measurement.options['steps']} steps, units within {error:.1%} of the total" in repr(flow)
    given = nif.measure(net, X, nif.Currents(rows=20, backgrounds=16, steps=4), progress=False)
    assert "4 steps, error not estimated" in repr(given)
