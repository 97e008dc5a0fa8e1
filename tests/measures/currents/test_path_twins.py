"""Currents along every path of networks with shortcuts and convolutions, against 128 midpoint steps.

The slow twin enumerates the paths, and lets the gradient of v through nothing but the units of one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.sample import Sample
from nif.network.decision import Decision, Scale
from support.currents import measured, value_on_the_way

ROWS, STEPS = 4, 128

Keep = Callable[[str, Tensor], Tensor]
"""Lets gradients through some units of a layer."""


def every(layer: str, h: Tensor) -> Tensor:
    return h


class Shortcuts(nn.Module):
    """A block with a shortcut, and an output that reads the features, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gelu, self.inner, self.tanh = nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 4), nn.Tanh()
        self.out, self.past = nn.Linear(4, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(x, every)

    def along(self, x: Tensor, keep: Keep) -> Tensor:
        hidden = keep("gelu", self.gelu(self.first(x)))
        inner = keep("tanh", self.tanh(self.inner(hidden)))
        return self.out(keep("past gelu", hidden) + inner) + self.past(keep("past all", x))


class Images(nn.Module):
    """Channels that a shortcut adds to those of a second convolution; paths lead through channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tanh, self.inner = nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Conv2d(3, 3, 3, padding=1)
        self.gelu, self.out = nn.GELU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.along(x, every)

    def along(self, x: Tensor, keep: Keep) -> Tensor:
        hidden = keep("tanh", self.tanh(self.first(x)))
        inner = keep("gelu", self.gelu(self.inner(hidden)))
        return self.out((keep("past tanh", hidden) + inner).mean((2, 3)))


def drawn(*shape: int) -> Tensor:
    return torch.randn(ROWS, *shape, generator=torch.Generator().manual_seed(0))


CASES: dict[str, tuple[type[Any], Tensor, tuple[str, str]]] = {
    "shortcuts": (Shortcuts, drawn(3), ("gelu", "tanh")),
    "images": (Images, drawn(1, 4, 4), ("tanh", "gelu")),
}


def made(case: str) -> tuple[Any, Tensor, tuple[str, str]]:
    """A network with decisions that differ, its rows, and its two hidden layers."""
    make, x, layers = CASES[case]
    torch.manual_seed(1)
    net = make()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net, x, layers


def through(units: dict[str, int | None]) -> Keep:
    """Gradients pass through one unit of each layer that is named, through all where it is None."""

    def keep(layer: str, h: Tensor) -> Tensor:
        if layer not in units:
            return h.detach()
        mine = torch.arange(h.shape[1]).reshape(-1, *[1] * (h.dim() - 2)) == units[layer]
        return h if units[layer] is None else torch.where(mine, h, h.detach())

    return keep


def by_enumeration(net: Any, x: Tensor, layers: tuple[str, str]) -> dict[tuple[int, ...], float]:
    """The current of each path, by the numbers of its feature, its hidden units (-1 past one) and output."""
    net, x = net.double(), x.double()
    outputs = net(x).detach()
    decided = decided_by(Decision(Scale.LOGIT, 2, True), outputs, None, 0.2, None)
    sample = Sample.of(decided, outputs, ROWS, ROWS - 1, np.random.default_rng(0))
    value = value_on_the_way(sample, decided, outputs)
    here, there = x[torch.from_numpy(sample.rows)][:, None], x[torch.from_numpy(sample.backgrounds.index)]
    stops = ((torch.arange(STEPS, dtype=x.dtype) + 0.5) / STEPS).reshape(-1, 1, *[1] * x.dim())
    z = (there + stops * (here - there)).requires_grad_()
    first, second = layers
    widths = net.first.weight.shape[0], net.inner.weight.shape[0]
    found = {}
    for k, m, o in itertools.product(range(-1, widths[0]), range(-1, widths[1]), range(2)):
        if k < 0 <= m:
            continue  # the second layer reads the first alone
        units = {first: k, second: m} if m >= 0 else {first: k, f"past {first}": None} if k >= 0 else {}
        output = net.along(z.flatten(0, 2), through(units or {"past all": None}))
        output = through({"output": o})("output", output).unflatten(0, z.shape[:3])
        (slope,) = torch.autograd.grad(value(output), z, allow_unused=True)
        if slope is None:
            continue  # there is no such path
        currents = (slope * (here - there)).sum((0, 1, 2)).flatten() / STEPS
        found |= {(feature, k, m, o): float(current) for feature, current in enumerate(currents)}
    net.float()
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_path_is_what_the_gradient_through_its_units_alone_gives(case: str) -> None:
    net, x, layers = made(case)
    result = measured(net, x, rows=ROWS, backgrounds=ROWS - 1, paths=100_000, steps=64)
    assert result.currents is not None and result.currents.paths is not None
    paths, total = result.currents.paths, result.currents.total.nats
    found = dict(zip(map(tuple, paths.units.tolist()), paths.nats.tolist(), strict=True))
    expected = by_enumeration(net, x, layers)
    assert found.keys() == expected.keys() and len(found) == {"shortcuts": 126, "images": 384}[case]
    assert sum(found.values()) == pytest.approx(total, abs=1e-6)
    assert sum(expected.values()) == pytest.approx(total, rel=1e-3)
    assert max(abs(found[path] - expected[path]) for path in found) < 5e-4 * total
    assert min(expected.values()) < -1e-3 * total  # paths that speak against keep their sign


@pytest.mark.parametrize("case", CASES)
def test_the_table_of_all_paths_sums_to_the_total_and_says_so(case: str) -> None:
    net, x, _ = made(case)
    flow = nif.measure(net, x, nif.Currents(backgrounds=ROWS - 1, paths=100_000), progress=False)
    table = flow.paths(k=1000)
    assert flow.total is not None and len(table) == table.attrs["paths"]
    assert table["current"].sum() == pytest.approx(flow.total.nats, abs=1e-6)
    assert (
        f"The strongest {len(table)} of {len(table)} paths carry 100.0% of the total"
        in table.attrs["summary"]
    )
    for feature, current in flow.neurons().loc["input", "current"].items():
        begin = [path[0] == ("input", feature) for path in table["path"]]
        assert table["current"][begin].sum() == pytest.approx(current, abs=1e-6)
