"""Data on another scale than that of training are named where a batch norm knows the scale."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch import Tensor, nn

import nif
from nif.data.rows import read
from nif.network.data_scale import warn_of_scale
from nif.network.network import Network
from support.networks import chain

X = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
BYTES = torch.randint(0, 256, (60, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def trained(*before: nn.Module) -> nn.Module:
    """The statistics of the batch norm are those of X."""
    torch.manual_seed(0)
    model = nn.Sequential(*before, nn.BatchNorm1d(4), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    for _ in range(60):
        model(X)
    return model.eval()


class Image(nn.Module):
    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.divisor, self.conv, self.linear = divisor, nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.conv(x / self.divisor)).mean((2, 3)))


def said(model: nn.Module, x: Tensor) -> list[str]:
    network = Network.of(model)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_scale(network, read(x, network.signature), stacklevel=1)
    return [str(one.message) for one in found]


@pytest.mark.parametrize("before", [(), (nn.Linear(4, 4),)], ids=["first", "behind a layer"])
def test_the_statistics_of_training_are_compared(before: tuple[nn.Module, ...]) -> None:
    model = trained(*before)
    assert said(model, X) == [] and said(model, X[:, :] + 1) == []
    name = str(len(before))
    for x, reason in (
        (X + 100, "standard deviations"),
        (30 * X, "times the variance"),
        (X / 30, "0.0011 times"),
    ):
        (sentence,) = said(model, x)
        assert reason in sentence and f"reaches {name!r}" in sentence


def test_the_deviation_is_that_of_the_data() -> None:
    x = X + 500
    (sentence,) = said(trained(), x)
    found = re.search(r"a mean (\d+) standard deviations", sentence)
    assert found is not None
    assert float(found[1]) == pytest.approx(float((500 / X.std(0)).median()), rel=0.01)


def test_a_batch_norm_that_was_not_trained_tells_nothing() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    assert said(model, X + 100) == [] and said(chain(4, 6, 2), X + 100) == []
    assert said(trained(), X[:10] + 100) == []


def test_bytes_that_reach_the_weights() -> None:
    (sentence,) = said(Image(1.0), BYTES)
    assert "bytes, 0 to 255, and reach 'conv' unscaled" in sentence
    assert said(Image(255.0), BYTES) == []
    assert said(Image(1.0), BYTES.float() / 255) == []
    assert said(Image(1.0), BYTES % 10) == []


def test_measuring_warns_and_leaves_the_model_as_it_was() -> None:
    model = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="on another scale than those of training"):
        nif.measure(model, X + 100, nif.Binned(), progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(part._forward_pre_hooks for part in model.modules())
