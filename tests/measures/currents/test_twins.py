"""Currents where another theory knows them: Shapley values, Pratt's index, and a suppressor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision
from nif.network.forward import Forward
from support.currents import measured, shapley_values, total, units
from support.networks import chain


def gaussian(rows: int, covariance: np.ndarray, seed: int = 0) -> Tensor:
    """Normal rows whose sample has exactly this covariance, and with each row its opposite."""
    x = np.random.default_rng(seed).normal(size=(rows // 2, len(covariance)))
    x = np.concatenate([x, -x])
    whitened = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / len(x))).T
    return torch.from_numpy(whitened @ np.linalg.cholesky(covariance).T).float()


def regressor(*weights: float) -> nn.Module:
    """A linear function."""
    net = nn.Sequential(nn.Linear(len(weights), 1, bias=False))
    with torch.no_grad():
        net[0].weight[0] = torch.tensor(weights)
    return net


def side_by_side(parts: int) -> nn.Module:
    """A network of two hidden layers whose outputs rest on one feature each, through units of their own."""
    torch.manual_seed(0)
    net = chain(parts, 4 * parts, 4 * parts, parts)
    with torch.no_grad():
        for module in net:
            if isinstance(module, nn.Linear):
                one = torch.ones(parts, len(module.weight) // parts, module.in_features // parts)
                module.weight.mul_(8 * torch.block_diag(*one))
    return net


@pytest.mark.slow
@pytest.mark.parametrize("path", ["straight", "orders"])
@pytest.mark.parametrize("chosen", ["bernoulli", "value"])
def test_additive_information_has_its_shapley_values_on_any_way(chosen: str, path: str) -> None:
    net, x = side_by_side(3), torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    outputs = net(x).detach()
    decided = decided_by(Decision.of(Forward(net), (x,)), outputs, chosen, 0.5, None)
    sample = Sample.of(decided, outputs, 512, 39, np.random.default_rng(0))
    expected = shapley_values(net, x, sample, decided)
    result = measured(net, x, decision=chosen, path=path, noise=0.5, backgrounds=39, steps=2)
    assert expected.min() > 0.01
    np.testing.assert_allclose(units(result)[0], expected, rtol=0, atol=2e-5 * total(result))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_a_linear_gaussian_regressor_has_pratts_index(noise: float) -> None:
    """``Cov(w X, f) / Var f``: the regression of the step of a feature on that of f, for any mixture."""
    weights, covariance = np.array([1.0, -0.4, 0.5]), np.array([[1, 0.5, 0.3], [0.5, 1, 0], [0.3, 0, 1]])
    result = measured(
        regressor(*weights), gaussian(600, covariance), decision="value", noise=noise, backgrounds=64
    )
    pratt = weights * (covariance @ weights) / (weights @ covariance @ weights)
    assert pratt.sum() == pytest.approx(1)
    np.testing.assert_allclose(units(result)[0] / total(result), pratt, rtol=0, atol=0.02)


def test_a_suppressor_carries_little_and_is_not_silent() -> None:
    """f is the signal s alone: x1 = s + n, x2 = n, f = x1 - x2. By Pratt's index x2 has no share of it."""
    x = gaussian(600, np.array([[2.0, 1.0], [1.0, 1.0]]))
    flow = nif.measure(
        regressor(1.0, -1.0), x, nif.Currents(decision="value", rows=600, steps=4), progress=False
    )
    neurons = flow.neurons().loc["input"]
    assert flow.total.nats == pytest.approx(np.log(26) / 2, rel=0.05)
    assert abs(neurons["current"].iloc[1]) < 0.05 * flow.total.nats
    assert neurons["absolute"].iloc[1] > 0.1 * flow.total.nats
    assert not neurons["silent"].any()


def test_exclusive_or_of_bits_is_shared_alike_by_all_orders() -> None:
    """All four inputs are as frequent, so both features have half of the total, ln 2."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(10, 1)
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight[:], net[0].bias[:] = torch.ones(2, 2), torch.tensor([0.0, -1.0])
        net[2].weight[:], net[2].bias[:] = torch.tensor([[40.0, -80.0]]), torch.tensor([-20.0])
    result = measured(net, x, decision="bernoulli", path="orders", backgrounds=39, steps=2)
    assert total(result) == pytest.approx(np.log(2), rel=1e-3)
    np.testing.assert_allclose(units(result)[0], np.full(2, np.log(2) / 2), rtol=1e-3)
