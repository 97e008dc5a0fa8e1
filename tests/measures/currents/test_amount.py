"""How many rows and backgrounds are measured where nothing is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import nif
from nif.data.rows import read
from nif.measures.currents.amount import Amount
from nif.network.flops import OF_A_NUMBER
from nif.network.network import Network
from support.networks import chain

X = torch.randn(300, 4)
A_ROW = 2 * (4 * 5 + 5 * 3) + OF_A_NUMBER * (5 + 5 + 3)


def amount(rows: int | None = None, backgrounds: int | None = None, *, columns: int = 3) -> Amount:
    network = Network.of(chain(4, 5, 3))
    return Amount.of(network, read(X, network.signature), rows, backgrounds, columns)


@pytest.mark.parametrize(
    ("affordable", "given", "expected"),
    [
        (6 * A_ROW * 300 * 500, {}, Amount(300, 32, 1000)),  # all rows of data
        (6 * A_ROW * 200 * 32, {}, Amount(192, 32, 66)),  # multiples of 64, and twice as many backgrounds
        (6 * A_ROW * 64 * 20, {}, Amount(64, 16, 40)),
        (1.0, {}, Amount(64, 8, 8)),
        (1.0, {"rows": 500, "backgrounds": 40}, Amount(500, 40, 40)),
        (6 * A_ROW * 200 * 32, {"rows": 100}, Amount(100, 32, 128)),
        (6 * A_ROW * 200 * 32, {"backgrounds": 100}, Amount(64, 100, 200)),
        (6 * A_ROW * 200 * 32, {"columns": 0}, Amount(300, 32, 85)),
    ],
)
def test_fewer_are_taken_where_a_run_is_long(
    affordable: float, given: dict[str, int], expected: Amount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nif.measures.currents.amount.AFFORDABLE", affordable)
    assert amount(**given) == expected


def test_a_flow_says_how_many_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    net = chain(4, 5, 3)
    whole = nif.measure(net, X, nif.Currents(by_class=False), progress=False)
    monkeypatch.setattr("nif.measures.currents.amount.AFFORDABLE", 3 * A_ROW * 64 * 8)
    few = nif.measure(net, X, nif.Currents(by_class=False), progress=False)
    assert [(flow.measurement.samples, flow.measurement.options["backgrounds"]) for flow in (whole, few)] == [
        (300, 32),
        (64, 8),
    ]
    assert float(few.total) == pytest.approx(float(whole.total), rel=0.2)


def test_a_run_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr("nif.network.network.cost_of", lambda *given: counted.append(given) or A_ROW)
    nif.measure(chain(4, 5, 3), X, nif.Currents(steps=2), progress=False)
    assert len(counted) == 1


def test_a_model_that_drops_an_axis_of_one_row_is_counted() -> None:
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.first(x[:, None]).squeeze()
            return torch.cat([self.last(hidden.relu()), hidden[:, :0]], 1)

    network = Network.of(Squeezed())
    found = Amount.of(network, read(X, network.signature), None, None, 3)
    assert replace(found, limit=0) == Amount(300, 32, 0)


def test_backgrounds_of_a_long_run_are_doubled_as_far_as_it_is_affordable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = chain(4, 5, 1)
    a_row = 2 * (4 * 5 + 5) + OF_A_NUMBER * (5 + 5 + 1)
    monkeypatch.setattr("nif.measures.currents.amount.AFFORDABLE", 3 * a_row * 300 * 3)
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", 1e-9)
    with pytest.warns(UserWarning, match=r"2 backgrounds miss .*; 6 are used.*off; .*backgrounds=12\)"):
        flow = nif.measure(net, X, nif.Currents("value", backgrounds=2, by_class=False), progress=False)
    assert flow.measurement.options["backgrounds"] == 6
