"""What makes up for removed units, against least squares done slowly with numpy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.network.weights import channel_rows, columns_of, features, weighted
from nif.pruning import least_squares as moments
from nif.pruning.least_squares import Moments
from nif.pruning.prune import prune
from support.networks import chain, conv_net
from support.pruning_cases import flow_of, ready, rows


def fixed(*gone: int) -> object:
    """A rule for tests: these units first."""
    return lambda problem, units, seed: 1.0 - np.isin(np.arange(len(units)), gone)


def hidden(model: nn.Module, x: Tensor, upto: int) -> np.ndarray:
    with torch.no_grad():
        return model[:upto](x).double().numpy()


def test_linear_is_the_least_squares_prediction_from_the_kept_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "RIDGES", (0.0,))
    model = chain(6, 10, 3).double()
    x, _ = rows(chain(6, 10, 3), 6, count=300)
    flow = flow_of(chain(6, 10, 3), x, ["1"])
    small = prune(model, flow, x, remove=0.3, tolerance=None, rule=fixed(2, 5, 7))
    assert sorted(small.removed["index"]) == [2, 5, 7]
    units = hidden(model, x.double(), 2)
    kept = np.delete(units, [2, 5, 7], axis=1)
    with_one = np.column_stack([kept, np.ones(len(kept))])
    weight, bias = model[2].weight.detach().numpy(), model[2].bias.detach().numpy()
    predicted, *_ = np.linalg.lstsq(with_one, units[:, [2, 5, 7]], rcond=None)
    folded = np.delete(weight, [2, 5, 7], axis=1) + weight[:, [2, 5, 7]] @ predicted[:-1].T
    assert np.allclose(small.model[2].weight.detach().numpy(), folded, atol=1e-8)
    assert np.allclose(
        small.model[2].bias.detach().numpy(), bias + weight[:, [2, 5, 7]] @ predicted[-1], atol=1e-8
    )


def test_mean_moves_the_bias_alone() -> None:
    model = chain(6, 10, 3)
    x, _ = rows(model, 6, count=300)
    small = prune(
        model, flow_of(model, x, ["1"]), x, remove=0.1, tolerance=None, rule=fixed(4), compensate="mean"
    )
    average = hidden(model, x, 2)[:, 4].mean()
    weight = model[2].weight.detach().numpy()
    assert np.allclose(small.model[2].weight.detach().numpy(), np.delete(weight, 4, axis=1))
    assert np.allclose(
        small.model[2].bias.detach().numpy(),
        model[2].bias.detach().numpy() + weight[:, 4] * average,
        atol=1e-6,
    )


def test_what_others_tell_exactly_is_made_up_for_exactly() -> None:
    model = chain(6, 10, 8, 3)
    with torch.no_grad():
        model[0].weight[3], model[0].bias[3] = 2 * model[0].weight[1], 2 * model[0].bias[1]
    x, _ = rows(model, 6, count=300)
    flow = flow_of(model, x, ["1", "3"])
    exact = prune(model, flow, x, remove={"1": 0.1}, tolerance=None, rule=fixed(3))
    rough = prune(model, flow, x, remove={"1": 0.1}, tolerance=None, rule=fixed(3), compensate="mean")
    assert exact.removed["index"].tolist() == [3]
    assert exact.score_after < 1e-3 < rough.score_after  # the ridge keeps it from 0


def test_later_layers_take_back_what_earlier_ones_could_not() -> None:
    """The refit sees the activations of the pruned network: its own slow twin is one regression a layer."""
    model = chain(6, 20, 20, 3).double()
    x, _ = rows(chain(6, 20, 20, 3), 6, count=400)
    flow = flow_of(chain(6, 20, 20, 3), x, ["1", "3"])
    small = prune(model, flow, x, remove={"1": 0.5}, tolerance=None)
    with torch.no_grad():
        inside = small.model[:4](x.double()).numpy()
        wanted = model(x.double()).numpy()
    with_one = np.column_stack([inside, np.ones(len(inside))])
    best, *_ = np.linalg.lstsq(with_one, wanted, rcond=None)
    with torch.no_grad():
        reached = ((small.model(x.double()).numpy() - wanted) ** 2).mean()
    assert reached == pytest.approx(((with_one @ best - wanted) ** 2).mean(), rel=0.02)


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(4, 3),
        nn.Conv1d(4, 3, 3, stride=2, padding=1),
        nn.Conv1d(4, 3, 2, dilation=4, padding="same"),
        nn.Conv2d(4, 3, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 3, 2, dilation=2, padding="same"),
    ],
    ids=str,
)
def test_features_times_weight_is_what_the_module_gives(module: nn.Module) -> None:
    net = nn.Sequential(module)
    layer = weighted(net, "0")
    shape = {nn.Linear: (5, 7, 4), nn.Conv1d: (5, 4, 9), nn.Conv2d: (5, 4, 8, 7)}[type(module)]
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        direct = channel_rows(layer, layer(given))
        rebuilt = features(layer, given, torch.arange(4)) @ layer.weight.flatten(1).T + layer.bias
    assert torch.allclose(direct, rebuilt, atol=1e-5)


def test_columns_of_a_channel_are_those_of_its_weight() -> None:
    weight = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert torch.equal(weight.flatten(1)[:, columns_of(np.array([2, 0]), 4)], weight[:, [2, 0]].flatten(1))


def test_a_convolution_is_refitted_on_its_patches() -> None:
    torch.manual_seed(0)
    model = ready(conv_net(), 1, 8, 8)
    with torch.no_grad():
        model[0].weight[1], model[1].weight[1], model[1].bias[1] = (
            model[0].weight[4],
            model[1].weight[4],
            model[1].bias[4],
        )
        model[1].running_mean[1], model[1].running_var[1] = model[1].running_mean[4], model[1].running_var[4]
        model[0].bias[1] = model[0].bias[4]
    x, _ = rows(model, 1, 8, 8)
    small = prune(model, flow_of(model, x, ["2", "5"]), x, remove={"2": 0.17}, tolerance=None, rule=fixed(1))
    assert small.removed["index"].tolist() == [1]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[4].weight[:, 4] += twin[4].weight[:, 1]
        twin[4].weight[:, 1] = 0
        scale = functional.mse_loss(model(x), model(x).mean(0).expand(len(x), -1))
        assert functional.mse_loss(small.model(x), twin(x)) < 1e-4 * scale


def test_moments_added_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "RIDGES", (0.0,))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(90, 2, generator=generator, dtype=torch.float64)
    pieces = Moments()
    for start in (0, 30, 60):
        pieces.add(x[start : start + 30], y[start : start + 30])
    assert np.allclose(pieces.covariance(), np.cov(x.numpy().T, bias=True))
    slope, shift = pieces.solve()
    best, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(90)]), y.numpy(), rcond=None)
    assert np.allclose(slope, best[:-1])
    assert np.allclose(shift, best[-1])


@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("rows", [20, 60, 600])
def test_the_ridge_is_that_of_generalized_cross_validation(rows: int, noise: float) -> None:
    """Computed with the projection onto the features, which the moments never hold."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, 40)) * np.geomspace(1, 0.05, 40)
    y = x @ generator.normal(size=(40, 3)) + noise * generator.normal(size=(rows, 3)) + 5
    centred = x - x.mean(0)
    expected, slopes = [], []
    for share in moments.RIDGES:
        ridge = share * centred.var(0).mean() * np.eye(40)
        solve = np.linalg.solve(centred.T @ centred / rows + ridge, centred.T / rows)
        used = centred @ solve + 1 / rows
        left = y - used @ y
        expected.append(np.square(left).sum() / np.trace(np.eye(rows) - used) ** 2)
        slopes.append(solve @ y)
    found = Moments()
    found.add(torch.from_numpy(x), torch.from_numpy(y))
    slope, shift = found.solve()
    np.testing.assert_allclose(slope, slopes[int(np.argmin(expected))], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(shift, y.mean(0) - x.mean(0) @ slope.numpy())


def test_features_that_never_change_are_left_out() -> None:
    found = Moments()
    found.add(torch.full((60, 2), 0.1, dtype=torch.float64), torch.arange(60.0, dtype=torch.float64)[:, None])
    slope, shift = found.solve()
    assert slope.abs().max() < 1e-3 and shift.item() == pytest.approx(29.5, abs=1e-3)


def test_a_layer_without_a_bias_gets_one_where_it_is_needed() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2, bias=False)).eval()
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 3
    x, _ = rows(model, 4)
    small = prune(model, flow_of(model, x, ["1"]), x)
    assert small.removed["index"].tolist() == [2]
    assert small.score_after < 1e-5
    assert torch.allclose(small.model[2].bias, 3 * model[2].weight[:, 2])


class InPlace(nn.Module):
    """Convolutions and a Linear, each followed by an activation that writes into their result, or not."""

    def __init__(self, writes: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
        self.r1, self.r3, self.writes = nn.ReLU(inplace=writes), nn.ReLU(inplace=writes), writes
        self.third, self.last = nn.Linear(128, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.relu(self.second(self.r1(self.first(x))), inplace=self.writes)
        h = nn.functional.linear(h.flatten(1), self.third.weight, self.third.bias)
        return self.last(self.r3(h))


@pytest.mark.parametrize("rule", ["redundancy", "contribution"])
def test_activations_in_place_change_nothing(rule: str) -> None:
    x, found = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(1)), []
    for writes in (False, True):
        model = InPlace(writes).eval()
        flow = nif.measure(model, x, nif.GaussianCopula(), progress=False)
        found.append(nif.prune(model, flow, x, remove=0.4, tolerance=None, rule=rule, progress=False))
    assert found[0].removed["index"].tolist() == found[1].removed["index"].tolist()
    with torch.no_grad():
        assert torch.allclose(found[0].model(x), found[1].model(x), atol=1e-6)
