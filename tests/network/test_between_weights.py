"""Functions that are layers where nothing else bends what lies between two weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nif
from support.current_architectures import Run

X = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))


CHEAP = nif.Currents(rows=8, backgrounds=8, steps=2, by_class=False, paths=0)


class Square(nn.Module):
    def forward(self, h: Tensor) -> Tensor:
        return h**2


def between(bent: Callable[[Tensor], Tensor], width: int = 8, **parts: nn.Module) -> nn.Module:
    """Two linear layers and a function between them."""
    torch.manual_seed(0)
    first, last = nn.Linear(5, 8), nn.Linear(width, 3)
    return Run(lambda self, x: self.last(bent(self.first(x))), first=first, last=last, **parts)


def rms(h: Tensor) -> Tensor:
    return h * torch.rsqrt(h.pow(2).mean(1, keepdim=True) + 1e-6)


BENT: dict[str, tuple[Callable[[Tensor], Tensor], str, int]] = {
    "square": (lambda h: h**2, "pow", 8),
    "exp": (torch.exp, "exp", 8),
    "gelu by hand": (lambda h: 0.5 * h * (1 + torch.erf(h / math.sqrt(2))), "erf", 8),
    "where": (lambda h: torch.where(h > 0, h, 0.1 * h), "where", 8),
    "maximum": (lambda h: torch.maximum(h, torch.zeros(())), "maximum", 8),
    "elu by hand": (lambda h: torch.where(h > 0, h, h.exp() - 1), "where", 8),
    "softmax": (lambda h: h.softmax(1), "softmax", 8),
    "floor": (torch.floor, "floor", 8),
    "hypot": (lambda h: torch.hypot(h, h.roll(1, 1)), "hypot", 8),
    "maxout": (lambda h: h.view(-1, 4, 2).amax(2), "amax", 4),
    "exp, dropped and normed": (lambda h: F.layer_norm(F.dropout(h.exp(), 0.5, False), (8,)), "exp", 8),
}


@pytest.mark.parametrize("name", BENT)
@pytest.mark.parametrize("method", [nif.GaussianCopula(), CHEAP])
def test_what_bends_between_two_weights_is_a_layer(name: str, method: Any) -> None:
    bent, layer, units = BENT[name]
    net = between(bent, units)
    expected = [("input", 5), (layer, units), ("output", 3)]
    listed = nif.layers(net, X)
    assert list(zip(listed["name"], listed["units"], strict=True)) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = nif.measure(net, X, method, progress=False)
    assert [(found.name, len(found)) for found in flow.layers] == expected


def test_its_units_are_those_that_the_next_weight_reads() -> None:
    """The values of the layer are recorded: a unit that is constant there has no information."""
    net = between(lambda h: h**2)
    with torch.no_grad():
        net.first.weight[2], net.first.bias[2] = 0, 1
    flow = nif.measure(net, X, nif.GaussianCopula(), progress=False)
    np.testing.assert_array_equal(flow.constant[1], np.arange(8) == 2)


def test_a_module_of_the_user_is_a_layer_by_its_name() -> None:
    net = nn.Sequential(nn.Linear(5, 8), Square(), nn.Linear(8, 3))
    assert nif.layers(net, X)["name"].tolist() == ["input", "1", "output"]


@pytest.mark.parametrize(
    "bent, layers",
    [
        (lambda h: h.relu() ** 2, ["relu"]),
        (lambda h: rms(h).relu(), ["relu"]),
        (lambda h: rms(h).tanh() * h.exp().sum(1, keepdim=True), ["tanh"]),
        (lambda h: F.normalize(h).sigmoid(), ["sigmoid"]),
        (lambda h: (h - h.mean(1, keepdim=True)) / h.var(1, keepdim=True).sqrt(), []),
    ],
    ids=["squared relu", "norm", "sum", "normalize", "layer norm"],
)
@pytest.mark.filterwarnings("ignore:No layer between the inputs and the output:UserWarning")
def test_norms_and_what_follows_an_activation_are_no_layers(
    bent: Callable[[Tensor], Tensor], layers: list[str]
) -> None:
    assert nif.layers(between(bent), X)["name"].tolist() == ["input", *layers, "output"]


def test_functions_of_inputs_and_outputs_are_no_layers() -> None:
    net = Run(lambda self, x: self.last(x**2).exp(), last=nn.Linear(5, 3))
    assert nif.layers(net, X)["name"].tolist() == ["input", "output"]


class Spline(nn.Module):
    """A layer of a KAN: a curve of its own on every edge."""

    def __init__(self, reads: int, writes: int) -> None:
        super().__init__()
        self.curves = nn.Parameter(torch.randn(writes, reads, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum(
            "bik,oik->bo", torch.exp(-((x[..., None] - torch.linspace(-2, 2, 4)) ** 2)), self.curves
        )


@pytest.mark.parametrize(
    "net, names",
    [
        (nn.Sequential(Spline(5, 4), Spline(4, 3)), "'0'"),
        (
            Run(
                lambda self, x: self.c(self.a(x) * self.b(x)),
                a=nn.Linear(5, 4),
                b=nn.Linear(5, 4),
                c=nn.Linear(4, 3),
            ),
            "'a', 'b'",
        ),
    ],
    ids=["splines", "products"],
)
def test_where_no_layer_is_found_those_to_choose_are_named(net: nn.Module, names: str) -> None:
    with pytest.warns(UserWarning, match=f"No layer between .* with some of: {names}[.]"):
        nif.layers(net, X)
    chosen = nif.layers(net, X, layers=[names.split("'")[1]])
    assert chosen["units"].tolist() == [5, 4, 3]


@pytest.mark.parametrize(
    "bent",
    [
        lambda h: h.masked_fill(h < 0, 0),
        lambda h: h * (h > 0),
        lambda h: h.cummax(1).values,
        lambda h: h.sort(1).values,
        lambda h: h.fmod(h.roll(1, 1)),
    ],
    ids=["masked fill", "mask", "cummax", "sort", "fmod"],
)
def test_whatever_bends_between_weights_is_warned_of(bent: Callable[[Tensor], Tensor]) -> None:
    with pytest.warns(UserWarning, match="No layer between .* with some of: 'first'[.]"):
        nif.layers(between(bent), X)


def test_means_by_a_mask_bend_nothing() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.first, self.last = nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            hidden = self.first(self.embed(ids)).masked_fill(mask[..., None] == 0, 0.0)
            return self.last(hidden.sum(1) / mask.sum(1, keepdim=True).clamp_min(1))

    ids = torch.arange(240).reshape(60, 4) % 9
    listed = nif.layers(Mean(), {"ids": ids, "mask": torch.ones(60, 4)})
    assert listed["name"].tolist()[-1] == "output"
