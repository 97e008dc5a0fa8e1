"""Choices by minus infinity, as of the experts with the largest scores: their steps are finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.network.preserve import one_thread

INFINITE, FINITE = float("-inf"), -1e4


def ground(scores: Tensor, low: float) -> Tensor:
    return torch.full_like(scores, low)


def in_place(scores: Tensor, low: float) -> Tensor:
    values, index = scores.topk(2, -1)
    gates = ground(scores, low)
    gates.scatter_(-1, index, values)
    return gates


def written(scores: Tensor, low: float) -> Tensor:
    gates = scores.clone()
    gates[others(scores)] = low
    return gates


def placed(scores: Tensor, low: float) -> Tensor:
    values, index = scores.topk(2, -1)
    gates, rows = ground(scores, low), torch.arange(len(scores))[:, None]
    gates[rows, index] = values
    return gates


def others(scores: Tensor) -> Tensor:
    return scores < scores.topk(2, -1).values[:, -1:]


CHOICES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "scatter": lambda g, low: ground(g, low).scatter(-1, g.topk(2, -1).indices, g.topk(2, -1).values),
    "scatter_": in_place,
    "a mask is written": written,
    "indices are written": placed,
    "masked_fill": lambda g, low: g.masked_fill(others(g), low),
    "where": lambda g, low: torch.where(others(g), low, g),
    "added": lambda g, low: g + torch.zeros_like(g).masked_fill(others(g), low),
}


class Experts(nn.Module):
    """Two of five linear experts answer."""

    def __init__(self, choose: Callable[[Tensor, float], Tensor], low: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.weight = nn.Linear(4, 5), nn.Parameter(torch.randn(5, 4, 3))
        self.choose, self.low = choose, low

    def forward(self, x: Tensor) -> Tensor:
        gates = self.choose(self.gate(x), self.low).softmax(-1)
        return torch.einsum("nd,edo,ne->no", x, self.weight, gates)


def currents(net: nn.Module, backgrounds: int = 8) -> nif.Flow:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(1))
    method = nif.Currents(rows=20, backgrounds=backgrounds, steps=8, by_class=False, paths=0)
    with one_thread():
        return nif.measure(net, x, method, progress=False)


NO_LAYER = pytest.mark.filterwarnings("ignore:No layer between the inputs and the output:UserWarning")


@NO_LAYER
@pytest.mark.parametrize("name", CHOICES)
def test_minus_infinity_is_as_a_large_negative_number(name: str) -> None:
    flow, twin = (currents(Experts(CHOICES[name], low)) for low in (INFINITE, FINITE))
    assert flow.total is not None and twin.total is not None and flow.total.nats == twin.total.nats
    assert flow.currents is not None and twin.currents is not None
    found, expected = (np.concatenate([layer.nats for layer in one.currents.units]) for one in (flow, twin))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[:4].sum(), flow.total.nats, rtol=1e-6)


@NO_LAYER
def test_the_logarithm_of_a_mask_is_one_of_these() -> None:
    by_logarithm = Experts(lambda scores, _: scores + (~others(scores)).float().log(), INFINITE)
    flow, twin = currents(by_logarithm), currents(Experts(CHOICES["masked_fill"], INFINITE))
    found, expected = (one.neurons().loc["input"]["current"].to_numpy() for one in (flow, twin))
    np.testing.assert_allclose(found, expected, atol=1e-3)  # its number is not as large


class Complex(nn.Module):
    """A product with a complex matrix, or the same in real numbers."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        parts = 0.4 * torch.randn(4, 5), 0.4 * torch.randn(4, 5)
        self.whole, self.head = whole, nn.Linear(5, 3)
        if whole:
            self.weight = nn.Parameter(torch.complex(*parts))
        else:
            self.real, self.imaginary = map(nn.Parameter, parts)

    def forward(self, x: Tensor) -> Tensor:
        if self.whole:
            return 10 * self.head((torch.complex(x, x.sin()) @ self.weight).abs())
        real = x @ self.real - x.sin() @ self.imaginary
        return 10 * self.head((real**2 + (x @ self.imaginary + x.sin() @ self.real) ** 2).sqrt())


def test_the_currents_of_a_complex_weight_are_those_of_its_two_parts() -> None:
    flow, twin = (currents(Complex(whole=whole), 32) for whole in (True, False))
    found = flow.weights("weight").nats
    assert found.dtype.kind == "f" and flow.total is not None
    np.testing.assert_allclose(found.sum(), flow.total.nats, rtol=1e-5)
    parts = sum(twin.weights(name).nats for name in ("real", "imaginary"))
    np.testing.assert_allclose(
        found, parts, atol=0.05 * np.abs(parts).max()
    )  # in a few steps, by other rules
    units, others = (each.neurons().loc["input"]["current"].to_numpy() for each in (flow, twin))
    np.testing.assert_allclose(units, others, atol=0.05 * np.abs(others).max())
