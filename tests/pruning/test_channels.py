"""Convolutions of many features: their channels are compared, and removed ones are predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.weights import features
from nif.pruning.channels import by_channel, mixed, padded_channels, tap_products, with_taps
from nif.pruning.rules.redundancy import Reader
from support.pruning_cases import flow_of

COARSE = "nif.pruning.channels.MOST_FEATURES"

MODULES = {
    "in time": (nn.Conv1d(4, 3, 5, padding=2), (4, 20)),
    "images": (nn.Conv2d(4, 3, (3, 2), padding=(1, 0), stride=2), (4, 9, 8)),
    "circular": (nn.Conv1d(4, 3, 5, padding="same", padding_mode="circular"), (4, 20)),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", MODULES)
def test_mixed_weights_compute_what_the_predicted_channels_would(name: str) -> None:
    module, shape = MODULES[name]
    x, slope, shift = drawn(6, *shape), drawn(2, 4, seed=1).double(), drawn(4, seed=2).double()
    kept = x[:, [0, 2]]
    with torch.no_grad():
        weight, bias = mixed(module, module.weight, slope, shift)
        predicted = torch.einsum("nk...,kc->nc...", kept.double(), slope)
        smaller = type(module)(2, 3, module.kernel_size, module.stride, module.padding)
        smaller.padding_mode, smaller._reversed_padding_repeated_twice = (
            module.padding_mode, module._reversed_padding_repeated_twice,
        )  # fmt: skip
        smaller.weight.copy_(weight)
        smaller.bias.copy_(module.bias)
        assert torch.allclose(smaller(kept), module(predicted.float()), atol=1e-4)
        constant = module.weight.double().flatten(2).sum(2) @ shift
        assert torch.allclose(bias, constant)


def test_channels_with_their_padding_are_what_taps_read() -> None:
    module, shape = MODULES["in time"]
    x = drawn(6, *shape)
    rows = padded_channels(module, x)
    assert rows.shape == (6 * 24, 4)
    assert torch.equal(rows.reshape(6, 24, 4)[:, 2:-2].transpose(1, 2), x)
    middle = features(module, x, torch.arange(4)).unflatten(1, (4, 5))[:, :, 2]
    assert torch.equal(middle.reshape(6, 20, 4).transpose(1, 2), x)


def test_the_cost_of_a_channel_is_that_of_its_features_where_the_covariance_is_a_product() -> None:
    """Channels times taps by Kronecker: the reader of channels costs what that of all features does."""
    mixed_up, smooth = drawn(4, 9, seed=1).double(), drawn(5, 11, seed=2).double()
    channels, taps = mixed_up @ mixed_up.T, smooth @ smooth.T
    taps /= taps.diagonal().mean()
    weight = drawn(3, 4, 5, seed=3).double()
    fine = Reader(torch.linalg.inv(torch.kron(channels, taps)), weight.flatten(1), np.repeat(np.arange(4), 5))
    coarse = Reader(torch.linalg.inv(channels), with_taps(weight, 7.0 * taps), np.arange(4))
    assert np.allclose(coarse.costs(), fine.costs())
    fine.remove(2)
    coarse.remove(2)
    assert np.allclose(coarse.costs(), fine.costs())


def test_products_of_taps_are_those_of_a_stationary_series() -> None:
    series = torch.zeros(60, 4, 20)
    noise = drawn(60, 4, 21)
    series = noise[..., 1:] + noise[..., :-1]  # neighbours share half of their variance
    products = tap_products(nn.Conv1d(4, 3, 5), series)
    wanted = torch.eye(5) + 0.5 * (torch.eye(5).roll(1, 0).tril(-1) + torch.eye(5).roll(-1, 0).triu(1))
    assert torch.allclose((products / products.diagonal().mean()).float(), wanted, atol=0.06)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 12, 9, padding=4), nn.ReLU(), nn.Conv1d(12, 6, 7, padding=3), nn.ReLU(),
        nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(24, 3),
    ).eval()  # fmt: skip


def test_copies_of_a_channel_are_removed_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COARSE, 1)
    model, x = network(), drawn(150, 1, 40)
    with torch.no_grad():
        for copy in (3, 5, 8):
            model[0].weight[copy], model[0].bias[copy] = model[0].weight[1], model[0].bias[1]
    small = nif.prune(model, flow_of(model, x, ["1"]), x, remove={"1": 0.25}, tolerance=None, progress=False)
    gone = set(small.removed["index"])
    assert gone < {1, 3, 5, 8} and len(gone) == 3
    assert small.score_after < 2e-3


def test_channels_beat_the_mean_and_are_near_to_all_features(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network(), drawn(300, 1, 40).cumsum(2) / 4
    flow, found = flow_of(model, x, ["1", "3"]), {}
    for name, most, how in (("taps", 600, "linear"), ("channels", 1, "linear"), ("mean", 1, "mean")):
        monkeypatch.setattr(COARSE, most)
        small = nif.prune(model, flow, x, remove=0.4, tolerance=None, compensate=how, progress=False)
        assert set(small.removed["how"]) == {"cut"}
        with torch.no_grad():
            found[name] = float((small.model(x) - model(x)).square().mean())
    assert found["taps"] <= found["channels"] < 0.5 * found["mean"]


def test_linear_layers_and_small_kernels_keep_their_features() -> None:
    assert not by_channel(nn.Linear(5000, 3), 5000)
    assert not by_channel(nn.Conv2d(64, 8, 3), 64)
    assert by_channel(nn.Conv2d(128, 8, 3), 128)
