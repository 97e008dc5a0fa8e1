"""Several trainings: mean and spread of shares against numpy, and a known difference."""

import numpy as np
import pytest
import torch
from torch import nn

import nif

X = torch.randn(150, 2, generator=torch.Generator().manual_seed(0))
METHOD = nif.Currents(paths=0, by_class=False, backgrounds=8, rows=50, steps=2)


def linear(first: float, second: float) -> nn.Module:
    net = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 0.0], [first, second]]))
    return nn.Sequential(net)


def test_shares_are_those_of_the_flows() -> None:
    models = [linear(1.0, 1.0), linear(2.0, 1.0), linear(1.0, 3.0)]
    table = nif.across(models, X, METHOD, progress=False)
    shares = np.stack([nif.measure(net, X, METHOD, progress=False).shares()["share"] for net in models])
    by_name = table.loc[["x1", "x2"]]
    np.testing.assert_allclose(by_name["share"], shares.mean(0))
    np.testing.assert_allclose(by_name["spread"], shares.std(0, ddof=1))
    # Student's t with two degrees of freedom
    half = 4.302653 * shares.std(0, ddof=1) * np.sqrt(4 / 3)
    np.testing.assert_allclose(by_name["high"] - by_name["share"], half, rtol=1e-6)
    assert table["share"].is_monotonic_decreasing and len(table.attrs["flows"]) == 3


def test_the_same_network_has_no_spread() -> None:
    table = nif.across([linear(1.0, 1.0)] * 2, X, METHOD, progress=False)
    assert (table["spread"] == 0).all() and (table["stderr"] > 0).all()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(nif.InputError, match="expected a list of 2 or more"):
        nif.across([linear(1.0, 1.0)], X)
    with pytest.raises(nif.InputError, match="expected a list of 2 or more"):
        nif.across(linear(1.0, 1.0), X)  # type: ignore[arg-type]
