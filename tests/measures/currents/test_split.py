"""The split at the default steps against 512 midpoint steps in float64, and the error that is stated."""

from __future__ import annotations

import warnings
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents import steps
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision
from nif.network.forward import Forward
from support.currents import by_midpoints, trained

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(20261128))
Y = ((X[:, 0] * X[:, 1] > 0).long() + (X[:, 2] + X[:, 3] > 1)).long()


class Residual(nn.Module):
    """A norm, a gate and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.gate, self.up, self.down = (
            nn.LayerNorm(width),
            *(nn.Linear(width, width) for _ in range(3)),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        result: Tensor = x + self.down(nn.functional.silu(self.gate(h)) * self.up(h))
        return result


def saturated() -> nn.Sequential:
    """Logits that are eight times too large."""
    net = trained(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)), X, Y)
    with torch.no_grad():
        net[2].weight *= 8
        net[2].bias *= 8
    return net


def steep() -> nn.Sequential:
    """Narrow ramps, up and down again, whose currents nearly cancel: 256 steps are too few."""
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    weight, bias, out = (torch.randn(8, size) for size in (6, 1, 2))
    with torch.no_grad():
        net[0].weight[:] = 40 * torch.cat([weight, weight])
        net[0].bias[:] = torch.cat([20 * bias, 20 * bias - 1])[:, 0]
        net[2].weight[:] = 2.5 * torch.cat([out, -out]).T
    return net


NETWORKS = {
    "saturated": saturated,
    "gated": lambda: trained(
        nn.Sequential(nn.Linear(6, 10), Residual(10), nn.ReLU(), nn.Linear(10, 3)), X, Y
    ),
    "gelu": lambda: trained(
        nn.Sequential(nn.Linear(6, 12), nn.LayerNorm(12), nn.GELU(), nn.Linear(12, 3)), X, Y
    ),
    "steep": steep,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_default_is_near_the_integral_or_says_how_far_it_is(name: str) -> None:
    torch.manual_seed(7)
    net, method = NETWORKS[name](), nif.Currents(rows=24, backgrounds=8, paths=0, by_class=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        flow = nif.measure(net, X, method, progress=False)
        outputs = net(X).detach()
        decided = decided_by(Decision.of(Forward(net), (X,)), outputs, None, 0.2, None)
        sample = Sample.of(decided, outputs, 24, 8, np.random.default_rng(0))
    units, weights = by_midpoints(net, X, sample, decided)
    found, off = flow.neurons()["current"], []
    off += [found.loc["input"] - units[0]]
    off += [found.loc[str(place)] - of for place, of in enumerate(units[1:]) if str(place) in found.index]
    linear = [place for place, module in enumerate(net) if isinstance(module, nn.Linear)]
    off += [flow.weights(f"{place}.weight").nats - of.T for place, of in zip(linear, weights, strict=True)]
    worst = max(np.abs(values).max() for values in map(np.asarray, off)) / flow.total.nats
    stated = flow.measurement.options["step_error"]
    assert worst <= stated
    if name == "steep":
        assert worst > 0.01
        assert any("With 256 steps" in str(one.message) for one in said)
    else:
        assert worst <= 0.01
        assert stated <= 0.01


def test_a_change_that_falls_by_more_than_half_may_be_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.6 and .78 % of the total, where the integral was 2.5 % away (random network 136)."""
    torch.manual_seed(7)
    few: dict[str, Any] = {"rows": 24, "backgrounds": 8, "paths": 0, "by_class": False}
    net = saturated()
    total = float(nif.measure(net, X, nif.Currents(**few, steps=8), progress=False).total or 0)
    changes = Mock(side_effect=[0.026 * total, 0.0078 * total, 0.001 * total])
    monkeypatch.setattr(steps, "_largest_change", changes)
    options = nif.measure(net, X, nif.Currents(**few), progress=False).measurement.options
    assert options["steps"] == 32
    assert options["step_error"] == pytest.approx(0.0039, rel=1e-4)


@pytest.mark.parametrize(("change", "taken", "stated"), [(0.0037, 4, 0.0074), (0.0038, 8, 0.0038)])
def test_half_as_many_steps_are_taken_where_twice_their_change_is_small(
    change: float, taken: int, stated: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(7)
    few: dict[str, Any] = {"rows": 24, "backgrounds": 8, "paths": 0, "by_class": False}
    net = saturated()
    total = float(nif.measure(net, X, nif.Currents(**few, steps=8), progress=False).total or 0)
    monkeypatch.setattr(steps, "_largest_change", lambda *_: change * total)
    options = nif.measure(net, X, nif.Currents(**few), progress=False).measurement.options
    assert options["steps"] == taken
    assert options["step_error"] == pytest.approx(stated, rel=1e-4)


def test_many_pairs_take_no_more_than_64_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST_RUNS", 192 * 64)
    torch.manual_seed(7)
    with pytest.warns(UserWarning, match=r"With 64 steps the current.*such as Currents\(steps=256\)"):
        flow = nif.measure(
            steep(), X, nif.Currents(rows=24, backgrounds=8, paths=0, by_class=False), progress=False
        )
    assert flow.measurement.options["steps"] == 64


def test_of_a_network_that_decides_next_to_nothing_steps_end_at_a_ten_millionth_of_a_nat() -> None:
    """An untrained network of images ran for minutes to divide 1e-6 nats to 1 %."""
    torch.manual_seed(0)
    net = steep()
    with torch.no_grad():
        net[2].weight *= 1e-4
        net[2].bias.zero_()
    few: dict[str, Any] = {"rows": 48, "backgrounds": 8, "paths": 0, "by_class": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow = nif.measure(net, X, nif.Currents(**few), progress=False)
    near = nif.measure(net, X, nif.Currents(**few, steps=128), progress=False)
    assert 0 < float(flow.total) < 1e-7
    assert "8 steps" in repr(flow)
    assert (flow.neurons()["current"] - near.neurons()["current"]).abs().max() < 1e-7
