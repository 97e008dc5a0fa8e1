"""What currents are by definition: conserved, in nats, by use, and the same however a network is written."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nif.measures.currents.decisions import Classes, Values
from nif.measures.currents.sample import Sample
from nif.measures.measure import Measured
from support.currents import by_midpoints, measured, shapley_values, total, trained, units
from support.networks import ResidualCNN, ResidualMLP, chain

X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long() + (X[:, 3] > 1).long()


def mutual_information(p: Tensor) -> float:
    """Between a row and a draw from its probabilities ``[row, class]``: H(mean p) - mean H(p)."""
    mean = p.double().mean(0)
    return float((torch.xlogy(p, p).sum(1)).double().mean() - torch.xlogy(mean, mean).sum())


def log_softmax(outputs: Tensor) -> Tensor:
    return outputs.log_softmax(-1)


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    """Three classes; the weights of the last of five features are 0."""
    net = trained(chain(5, 12, 8, 3), X, Y)
    assert isinstance(net, nn.Sequential)
    with torch.no_grad():
        net[0].weight[:, 4] = 0
    return net


def same(one: object, other: object, scale: float) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=0, atol=1e-5 * scale)


# What is planted.


def test_a_feature_of_zero_weights_carries_exactly_nothing(net: nn.Sequential) -> None:
    result = measured(net, X)
    assert units(result)[0][4] == 0
    assert (result.links[0].nats[4] == 0).all()


def test_an_unused_copy_carries_nothing(net: nn.Sequential) -> None:
    x = torch.cat([X[:, :4], X[:, :1]], 1)
    features = units(measured(net, x))[0]
    assert features[4] == 0
    assert features[0] > 0.1


def test_exclusive_or_is_carried_by_its_two_features() -> None:
    x = (torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    y = (x[:, 0] != x[:, 1]).long()
    result = measured(trained(chain(3, 16, 2), x, y), x)
    features = units(result)[0]
    assert total(result) == pytest.approx(result.options["exact_total"], rel=0.015)
    assert features[:2].sum() == pytest.approx(total(result), rel=0.01)
    assert features[0] == pytest.approx(features[1], rel=0.15)


def test_a_flag_that_decides_is_ahead_of_a_number_that_hardly_does() -> None:
    generator = torch.Generator().manual_seed(2)
    flag = (torch.rand(300, 1, generator=generator) < 0.3).float()
    x = torch.cat([flag, 20 * torch.randn(300, 1, generator=generator)], 1)
    net = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[-4.0, 0.0], [4.0, 0.01]])
        net[0].bias[:] = torch.tensor([2.0, -2.0])
    features = units(measured(net, x))[0]
    assert features[0] > 10 * abs(features[1])


# What changes nothing.


def both(net: nn.Module, other: nn.Module) -> list[Measured]:
    """Measured against all other rows: of a few, rounding may change which ones are drawn for a row."""
    return [measured(one, X[:120], backgrounds=119) for one in (net, other)]


def test_splitting_a_unit_splits_its_current(net: nn.Sequential) -> None:
    wide = chain(5, 13, 8, 3)
    with torch.no_grad():
        for module, old in zip(wide, net, strict=True):
            if isinstance(module, nn.Linear):
                module.bias[: len(old.bias)] = old.bias
                module.weight[: len(old.weight), : old.in_features] = old.weight
        wide[0].weight[12], wide[0].bias[12] = net[0].weight[0], net[0].bias[0]
        wide[2].weight[:, 0] = 0.25 * net[2].weight[:, 0]
        wide[2].weight[:, 12] = 0.75 * net[2].weight[:, 0]
    before, after = both(net, wide)
    whole, scale = units(before)[1], total(before)
    same(units(after)[1][[0, 12]], [0.25 * whole[0], 0.75 * whole[0]], scale)
    same(units(after)[1][1:12], whole[1:], scale)
    same(after.links[0].nats[:, 0], 0.25 * before.links[0].nats[:, 0], scale)


def permuted(net: nn.Sequential) -> tuple[nn.Sequential, Tensor]:
    other, order = copy.deepcopy(net), torch.tensor([3, 1, 0, 2, *range(11, 3, -1)])
    with torch.no_grad():
        other[0].weight[:], other[0].bias[:] = net[0].weight[order], net[0].bias[order]
        other[2].weight[:] = net[2].weight[:, order]
    return other, order


def test_permuted_units_keep_their_currents(net: nn.Sequential) -> None:
    other, order = permuted(net)
    before, after = both(net, other)
    same(after.links[0].nats, before.links[0].nats[:, order], total(before))
    same(after.links[1].nats, before.links[1].nats[order], total(before))


def rescaled(net: nn.Sequential) -> nn.Sequential:
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight *= 5
        other[0].bias *= 5
        other[2].weight /= 5
    return other


def with_constant(net: nn.Sequential) -> nn.Sequential:
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[4].bias += 7
    return other


def with_identity(net: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*net[:2], nn.Identity(), *net[2:])


@pytest.mark.parametrize("change", [rescaled, with_constant, with_identity])
def test_the_same_function_has_the_same_currents(net: nn.Sequential, change: object) -> None:
    assert callable(change)
    before, after = both(net, change(net))
    for one, other in zip(before.links, after.links, strict=True):
        same(one.nats, other.nats, total(before))


def test_a_layer_of_identity_weights_hands_on_what_it_gets(net: nn.Sequential) -> None:
    eye = nn.Linear(12, 12, bias=False)
    with torch.no_grad():
        eye.weight[:] = torch.eye(12)
    before, after = both(net, nn.Sequential(*net[:2], eye, nn.ReLU(), *net[2:]))
    same(after.links[1].nats, np.diag(units(before)[1]), total(before))
    same(after.links[2].nats, before.links[1].nats, total(before))


# Conservation and the total.


@pytest.mark.parametrize("steps", [1, 8])
def test_every_layer_sums_to_the_total(net: nn.Sequential, steps: int) -> None:
    result = measured(net, X, steps=steps)
    for layer in units(result):
        assert layer.sum() == pytest.approx(total(result), abs=1e-5 * np.abs(layer).sum())


def test_the_total_is_the_closed_form(net: nn.Sequential) -> None:
    result = measured(net, X)
    with torch.no_grad():
        exact = mutual_information(net(X).softmax(1))
    assert result.options["exact_total"] == pytest.approx(exact, rel=1e-5)
    assert total(result) == pytest.approx(exact, rel=0.015)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_constant_network_carries_nothing(outputs: int) -> None:
    net = chain(5, 6, outputs)
    with torch.no_grad():
        net[2].weight.zero_()
    result = measured(net, X)
    assert total(result) == 0
    assert all((links.nats == 0).all() and (links.p_value == 1).all() for links in result.links)


# Slow twins.


def test_currents_are_the_integral_of_midpoint_gradients(net: nn.Sequential) -> None:
    x = X[:100]
    outputs = net(x).detach()
    decided = Classes(log_softmax, 3, "")
    sample = Sample.of(decided, outputs, 40, 8, np.random.default_rng(0))
    of_units, of_links = by_midpoints(net, x, sample, decided)
    result = measured(net, x, steps="auto", rows=40, backgrounds=8)
    for layer, place in zip(units(result), (0, 2, 4, 5), strict=True):
        assert np.abs(layer - of_units[place]).max() <= 0.01 * total(result)
    for links, expected in zip(result.links, of_links, strict=True):
        assert np.abs(links.nats - expected).max() <= 0.01 * total(result)


@pytest.mark.slow
def test_answers_that_rest_on_one_feature_each_have_their_shapley_values() -> None:
    net = nn.Sequential(nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        net[0].weight[:] = torch.diag(torch.tensor([3.0, 1.0, 0.3]))
    result = measured(net, X[:, :3], decision="bernoulli", backgrounds=299)
    for feature, weight in enumerate([3.0, 1.0, 0.3]):
        p = torch.sigmoid(weight * X[:, feature])
        exact = mutual_information(torch.stack([p, 1 - p], 1))
        assert units(result)[0][feature] == pytest.approx(exact, rel=1e-4)


def test_additive_independent_features_are_near_their_shapley_values() -> None:
    net, x = nn.Sequential(nn.Linear(3, 1, bias=False)), X[:, :3]
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[1.0, 0.6, 0.3]])
    outputs = net(x).detach()
    decided = Values(outputs.std(0), "")
    sample = Sample.of(decided, outputs, 512, 32, np.random.default_rng(0))
    features = units(measured(net, x, decision="value", noise=1.0))[0]
    expected = shapley_values(net, x, sample, decided)
    assert expected.sum() == pytest.approx(features.sum(), rel=1e-4)
    assert np.abs(features - expected).max() < 0.05 * features.sum()


@pytest.mark.slow
def test_a_linear_gaussian_regressor_has_pratts_index() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1000, 3, generator=generator) + 0.7 * torch.randn(1000, 1, generator=generator)
    net, weights = nn.Sequential(nn.Linear(3, 1, bias=False)), torch.tensor([1.0, -0.4, 0.5])
    with torch.no_grad():
        net[0].weight[0] = weights
    result = measured(net, x, decision="value", steps=16)
    f = x @ weights
    pratt = [float(np.cov(w * x[:, i], f)[0, 1] / f.var()) for i, w in enumerate(weights)]
    assert np.abs(units(result)[0] / total(result) - pratt).max() < 0.04


# The result does not depend on what is around it, and changes nothing.


def test_the_same_seed_gives_the_same_bits(net: nn.Sequential) -> None:
    results = [measured(net, X, rows=100, seed=seed) for seed in (1, 1, 2)]
    one, again, other = (result.links[0] for result in results)
    assert (one.nats == again.nats).all()
    assert (one.stderr == again.stderr).all()
    assert (one.nats != other.nats).any()


def test_model_mode_and_random_state_are_left_alone() -> None:
    net = nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.ReLU(), nn.Linear(6, 2)
    ).train()
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    measured(net, X)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(before[name], values) for name, values in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("make", [ResidualMLP, ResidualCNN])
def test_layers_with_shortcuts_hand_on_what_they_get(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = make().eval()
    x = X[:60, :4] if make is ResidualMLP else torch.randn(60, 1, 6, 6)
    result = measured(net, x)
    whole = total(result)
    assert units(result)[0].sum() == pytest.approx(whole, rel=1e-4)
    assert units(result)[-1].sum() == pytest.approx(whole, rel=1e-4)
