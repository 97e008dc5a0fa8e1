"""Known and used: planted copies and exclusive-ors are named, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import nif
from nif.core.errors import InputError
from nif.core.types import UnitCurrents
from nif.flow.flow import Flow
from support.flows import current_flow, flow_of, links_of
from support.known_flows import known_flow

FEW = nif.Currents(rows=200, backgrounds=16, steps=8, by_class=False)


def with_units(
    flow: Flow, nats: list[float], stderr: float = 0.01, absolute: list[float] | None = None
) -> Flow:
    """The flow with other currents of its first layer."""
    assert flow.currents is not None
    values, size = np.array(nats), np.full(len(nats), stderr)
    rest = np.abs(values) if absolute is None else np.array(absolute)
    first = UnitCurrents(values, size, rest, size)
    return replace(flow, currents=replace(flow.currents, units=(first, *flow.currents.units[1:])))


def sigmoid(*weights: float) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(len(weights), 1, bias=False), nn.Sigmoid())
    net[0].weight.data = torch.tensor([list(weights)])
    return net


def test_an_unused_copy_is_ignored_and_a_used_one_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(600, 1, generator=generator)
    noise = torch.randn(600, 2, generator=generator)
    x = torch.cat([first, first + 0.2 * noise[:, :1], noise[:, 1:]], dim=1)
    expected = {(3.0, 0.0, 1.0): ["", "ignored", ""], (1.5, 1.5, 1.0): ["", "", ""]}
    for weights, outlier in expected.items():
        net = sigmoid(*weights)
        known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
        table = nif.known_and_used(known, nif.measure(net, x, FEW, progress=False))
        assert table["outlier"].tolist() == outlier


def test_the_inputs_of_an_exclusive_or_are_synergy_and_a_useless_one_is_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1), nn.Sigmoid())
    for values, parameter in zip(
        ([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]], [0.0, 0.0], [[8.0, 8.0]], [-4.0]),
        net.parameters(),
        strict=True,
    ):
        parameter.data = torch.tensor(values)
    bits = torch.tensor([[a, b, c] for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 1.0)]).repeat(25, 1)
    known = nif.measure(net, bits, nif.DecisionInformation(), progress=False)
    used = nif.measure(net, bits, FEW, progress=False)
    table = nif.known_and_used(known, used)
    assert table["outlier"].loc["input"].tolist() == ["synergy", "synergy", ""]
    assert table["known"].loc["input"].max() < 1e-3  # an exclusive-or hides each of its inputs
    assert table["used"].loc["input"].iloc[:2].sum() == pytest.approx(float(used.total or 0), rel=1e-4)


def test_the_table_has_the_numbers_of_both_flows() -> None:
    used = current_flow([3, 4, 2], seed=1)
    table = nif.known_and_used(known_flow(used, [0.1 * unit for unit in range(9)]), used)
    assert len(table) == 7  # all but the output
    np.testing.assert_allclose(table["known"], [0.1 * unit for unit in range(7)])
    np.testing.assert_allclose(table["used"], used.neurons()["current"].iloc[:7])
    assert list(table.index[0]) == ["input", "input[0]"]


def test_q_values_are_those_of_the_stated_test() -> None:
    used = with_units(current_flow([2, 3, 1], seed=0), [0.0, 0.6], absolute=[0.004, 0.6])
    known = [0.3, 0.2, *([0.0] * 4)]
    table = nif.known_and_used(known_flow(used, known), used)
    part = 0.25 * float(used.total or 0) / 0.5
    units = 5  # of the layers before the output
    ignored = stats.t.sf((part * 0.3 - 0.004) / np.hypot(part * 0.01, 0.01), 9)
    assert table["q_ignored"].iloc[0] == pytest.approx(units * ignored)  # the only small p-value
    synergy = stats.t.sf((0.6 - 0.2) / np.hypot(0.01, 0.01), 9)
    p = [1.0, synergy, *stats.t.sf(np.abs(table["used"].iloc[2:]) / np.hypot(0.01, 0.01), 9)]
    np.testing.assert_allclose(table["q_synergy"], stats.false_discovery_control(p))


def test_without_errors_no_outlier_is_named() -> None:
    used = with_units(current_flow([2, 3, 1], seed=0), [0.0, 0.6])
    assert used.currents is not None
    one = replace(used.currents.units[0], deviations=np.zeros((1, 2)))
    bare = replace(used, currents=replace(used.currents, units=(one, *used.currents.units[1:])))
    table = nif.known_and_used(known_flow(bare, [0.3, 0.2, *([0.0] * 4)]), bare)
    assert (table["outlier"] == "").all()


def test_noise_is_named_no_more_often_than_alpha() -> None:
    """Units that are used for exactly as much as they tell, measured with the stated errors."""
    generator, named = np.random.default_rng(0), 0
    for _ in range(200):
        truth = generator.uniform(0.1, 0.4, 6)
        flow = current_flow([6, 2, 1], seed=3)
        used = with_units(flow, (truth + 0.02 * generator.normal(size=6)).tolist(), stderr=0.02)
        noisy = truth + 0.02 * generator.normal(size=6)
        known = known_flow(used, [*noisy, 5.0, 5.0, 0.0], stderr=0.02)
        named += (nif.known_and_used(known, used)["q_synergy"] < 0.05).any()
    assert named / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_what_does_not_belong_together_is_refused() -> None:
    used = current_flow([3, 4, 2], seed=1)
    known = known_flow(used, [0.1] * 9)
    with pytest.raises(InputError, match="association is a flow of currents; expected what units tell of"):
        nif.known_and_used(used, used)
    with pytest.raises(InputError, match="association is a flow of what units tell of each other"):
        nif.known_and_used(flow_of([links_of(np.ones((3, 2)))], [3, 2]), used)
    with pytest.raises(InputError, match="currents is a flow of association"):
        nif.known_and_used(known, known)
    with pytest.raises(InputError, match=r"the units of input \(3\).*and currents those of input \(2\)"):
        nif.known_and_used(known, current_flow([2, 4, 2], seed=1))
    other = replace(used.measurement, options={**used.measurement.options, "decision": "a value"})
    with pytest.raises(InputError, match=r"about one of 3 classes .* and currents about a value"):
        nif.known_and_used(known, replace(used, measurement=other))
    with pytest.raises(InputError, match="alpha is 1"):
        nif.known_and_used(known, used, alpha=1)
