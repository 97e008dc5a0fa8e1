"""Models of half precision are computed in float32, and left as they were."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.network import Network
from support.currents import measured, total, units
from support.networks import chain

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
HALF = [torch.float16, torch.bfloat16]
FAST = {"steps": 4, "rows": 20, "backgrounds": 8}


def of(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    return net.to(dtype).eval()


@pytest.mark.parametrize("dtype", HALF)
def test_a_half_model_has_the_currents_of_its_copy_in_float32(dtype: torch.dtype) -> None:
    half = of(dtype)
    before = copy.deepcopy(half.state_dict())
    x = X.to(dtype)
    result, expected = measured(half, x, **FAST), measured(copy.deepcopy(half).float(), x.float(), **FAST)
    for one, two in zip(units(result), units(expected), strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(result.links, expected.links, strict=True):
        np.testing.assert_array_equal(one.nats, two.nats)
    for name, values in half.state_dict().items():
        assert values.dtype == before[name].dtype
        assert torch.equal(values, before[name])


class Autocast(nn.Module):
    """Computes in half precision inside; its weights are of float32."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.dtype):
            return self.net(x).to(self.dtype)


@pytest.mark.parametrize("dtype", HALF)
def test_autocast_is_ignored(dtype: torch.dtype) -> None:
    net = of(torch.float32)
    result, expected = measured(Autocast(net, dtype), X, **FAST), measured(net, X, **FAST)
    np.testing.assert_allclose(total(result), result.options["exact_total"], rtol=0.02)
    for one, two in zip(units(result), units(expected), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    with torch.autocast("cpu", dtype=dtype):
        around = measured(net, X, **FAST)
    np.testing.assert_allclose(units(around)[0], units(expected)[0], atol=1e-6)


def test_float64_stays_float64() -> None:
    net = chain(4, 5, 2).double()
    with torch.no_grad():
        net[-1].bias += 1e9  # one added to both logits changes nothing but the digits of float32
    result = measured(net, X.double(), **FAST)
    with torch.no_grad():
        net[-1].bias -= 1e9
    np.testing.assert_allclose(units(result)[0], units(measured(net, X.double(), **FAST))[0], atol=1e-5)
    for of_units in units(result):
        assert of_units.sum() == pytest.approx(total(result), rel=1e-6)


class Uncopied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = of(torch.float16)

    def __deepcopy__(self, memo: object) -> None:
        raise RuntimeError("there is only one")


def test_a_half_model_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(nif.InputError, match=r"cannot be copied: there is only one. Pass model.float\(\)"):
        Network.of(Uncopied()).in_full_precision()
