"""Networks to prune, and flows in which the units that are to be silent are chosen by hand."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

import nif
from nif.core.types import Layer, Links
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.pruning.problem import PruningProblem
from nif.pruning.result import Pruned
from nif.pruning.rules import RULES
from nif.pruning.selection import cuttable

Place = tuple[str, int]
"""A unit by the name of its layer and its index."""


def flow_of(model: nn.Module, x: Tensor, names: Iterable[str], silent: Iterable[Place] = ()) -> Flow:
    """A flow over the outputs of the named modules, every layer linked to the next with a certain p-value.

    Links of the units in `silent` have p-value 1; constant units are found from the activations.
    """
    names, quiet = list(names), set(silent)
    seen: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, gives, name=name: seen.setdefault(name, gives.detach())
        )
        for name in names
    ]
    with torch.no_grad():
        out = model(x)
    for handle in handles:
        handle.remove()
    values = [
        x.flatten(1),
        *(seen[name].movedim(channel_axis(model, seen[name]), -1) for name in names),
        out.flatten(1),
    ]
    titles = ["input", *names, "output"]
    layers = tuple(
        Layer(
            title,
            "input" if title == "input" else "ReLU",
            tuple(f"{title}[{index}]" for index in range(table.shape[-1])),
        )
        for title, table in zip(titles, values, strict=True)
    )
    constant = tuple(np.ptp(table.reshape(-1, table.shape[-1]).numpy(), axis=0) == 0 for table in values)
    links = tuple(_links(layers, constant, place, quiet) for place in range(len(layers) - 1))
    return Flow(layers=layers, links=links, constant=constant, measurement=MEASUREMENT)


MEASUREMENT = Measurement("by hand", {}, samples=200, not_converged=0, seed=0, version="0")


def channel_axis(model: nn.Module, values: Tensor) -> int:
    """The axis of the units: the last one, but the second behind convolutions."""
    over_time = any(isinstance(module, nn.Conv1d) for module in model.modules())
    return 1 if values.ndim == 4 or (values.ndim == 3 and over_time) else values.ndim - 1


def _links(
    layers: tuple[Layer, ...], constant: tuple[np.ndarray, ...], place: int, quiet: set[Place]
) -> Links:
    shape = len(layers[place]), len(layers[place + 1])
    muted = [
        np.array([unit or (layer.name, index) in quiet for index, unit in enumerate(flags)])
        for layer, flags in zip(layers[place : place + 2], constant[place : place + 2], strict=True)
    ]
    none = muted[0][:, None] | muted[1][None, :]
    nats = np.where(none, 0.0, np.random.default_rng(place).uniform(0.1, 0.5, shape))
    p_value = np.where(none, 1.0, 1e-6)
    return Links(place, place + 1, nats, np.full(shape, 0.01), p_value, nats)


def chain(*sizes: int, seed: int = 0) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1]).eval()


def rows(model: nn.Module, *shape: int, count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random inputs, and the class that the model gives them once its outputs are centred."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *shape, generator=generator)
    with torch.no_grad():
        out = model(x).flatten(1)
    return x, (out - out.mean(0)).argmax(1)


class Residual(nn.Module):
    """Two convolutions with BatchNorm around a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.c2, self.b2, self.r2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r1(self.b1(self.c1(x)))
        x = self.r2(self.b2(self.c2(x)) + x)
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """Each layer reads the concatenation of all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.f1, self.r1 = nn.Linear(5, 6), nn.ReLU()
        self.f2, self.r2 = nn.Linear(11, 7), nn.Tanh()
        self.f3 = nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.r1(self.f1(x))], dim=1)
        x = torch.cat([x, self.r2(self.f2(x))], dim=-1)
        return self.f3(x)


class Functional(nn.Module):
    """Activations, pooling and flattening that are functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = (
            nn.Conv2d(1, 5, 3, stride=2),
            nn.Conv2d(5, 6, 2, padding="same", padding_mode="circular"),
        )
        self.f1, self.f2 = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.c1(x))
        x = functional.max_pool2d(torch.tanh(self.c2(x)), 3).relu_()
        x = x.view(x.size(0), -1)
        return self.f2(functional.gelu(self.f1(x)))


class Depthwise(nn.Module):
    """A depthwise convolution between two others, and PReLU with a slope for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.p1 = nn.Conv2d(1, 5, 3), nn.PReLU(5)
        self.c2, self.r2 = nn.Conv2d(5, 5, 3, groups=5), nn.ReLU()
        self.c3, self.flat, self.f = nn.Conv2d(5, 4, 1), nn.Flatten(), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r2(self.c2(self.p1(self.c1(x))))
        return self.f(self.flat(self.c3(x)))


class Twice(nn.Module):
    """One Linear that is run twice, so that its inputs and outputs are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.f1, self.r1, self.f2, self.f3 = nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.r1(self.f1(x))
        return self.f3(torch.relu(self.f2(torch.relu(self.f2(x)))))


class Block(nn.Module):
    """The feed-forward part of a transformer: tokens are rows, LayerNorm reads the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(5, 8), nn.LayerNorm(8)
        self.up, self.act, self.down = nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.down(self.act(self.up(self.norm(x))))
        return self.head(x.mean(1))


class Branching(Residual):
    """Its way depends on the data, so that it can not be traced."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        return super().forward(x)


class Swish(nn.Module):
    """An activation that is not one of torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.5 * x) + 0.1 * x**2


class Gated(nn.Module):
    """A layer whose units are products, each of a unit that an activation of the user's own has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(5, 8), nn.Linear(5, 8, bias=False), nn.Linear(8, 6)
        self.act, self.last, self.head = Swish(), Swish(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.down(self.act(self.gate(x)) * self.up(x))))


class Halved(nn.Module):
    """A gate and what it gates are two halves of one layer, split by a module, a function and a chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.zeroth, self.gated = nn.Linear(5, 14), nn.GLU()
        self.first, self.second, self.last = nn.Linear(7, 12), nn.Linear(6, 10), nn.Linear(5, 3)
        self.act, self.out = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(functional.glu(self.first(self.gated(self.zeroth(x)))))
        value, gate = self.second(x).chunk(2, dim=-1)
        return self.last(self.out(value * functional.silu(gate)))


class Tokens(Block):
    """Not traceable, with an activation of its own and numbers for each position."""

    def __init__(self) -> None:
        super().__init__()
        self.act = Swish()
        self.positions = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        x = self.embed(x) + self.positions
        x = x + self.down(self.act(self.up(self.norm(x))))
        return self.head(x.mean(1))


class Mobile(nn.Module):
    """Not traceable: a convolution for each channel by itself behind padding, then convolutions in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1, self.r1 = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU6()
        self.c2, self.b2, self.r2 = nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU6()
        self.c3, self.r3 = nn.Conv2d(6, 4, 1), nn.ReLU6()
        self.c4, self.f = nn.Conv2d(4, 4, 1, groups=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            x = x * 2
        x = self.r1(self.b1(self.c1(x)))
        x = self.r2(self.b2(self.c2(functional.pad(x, (1, 1, 1, 1)))))
        return self.f(self.c4(self.r3(self.c3(x))).mean((2, 3)))


def conv_net() -> nn.Sequential:
    """Convolutions with BatchNorm and pooling, flattened into a Linear."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(32, 3),
    )  # fmt: skip


def one_dimensional() -> nn.Sequential:
    """Convolutions over time, dilated and with padding."""
    return nn.Sequential(
        nn.Conv1d(2, 6, 3, dilation=2), nn.ReLU(), nn.Conv1d(6, 5, 3, padding=1), nn.ELU(),
        nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(10, 3),
    )  # fmt: skip


def ready(model: nn.Module, *shape: int) -> nn.Module:
    """The model after a few rows in training mode, so that its BatchNorms have seen something."""
    with torch.no_grad():
        model.train()(torch.randn(64, *shape, generator=torch.Generator().manual_seed(1)))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return model.eval()


NETWORKS: dict[str, tuple[type | object, tuple[int, ...], list[str]]] = {
    "chain": (lambda: chain(5, 8, 6, 3), (5,), ["1", "3"]),
    "linear outputs": (lambda: chain(5, 8, 6, 3), (5,), ["0", "2"]),
    "convolutions": (conv_net, (1, 8, 8), ["2", "5"]),
    "convolutions in time": (one_dimensional, (2, 12), ["1", "3"]),
    "residual": (Residual, (1, 6, 6), ["r1", "r2"]),
    "concatenation": (Dense, (5,), ["r1", "r2"]),
    "functions": (Functional, (1, 8, 8), ["c1", "c2", "f1"]),
    "depthwise": (Depthwise, (1, 8, 8), ["p1", "r2", "c3"]),
    "used twice": (Twice, (5,), ["r1"]),
    "feed-forward block": (Block, (4, 5), ["act"]),
    "gated": (Gated, (5,), ["act", "last"]),
    "gated by halves": (Halved, (5,), ["gated", "act", "out"]),
    "tokens, not traceable": (Tokens, (4, 5), ["act"]),
    "depthwise, not traceable": (Mobile, (1, 6, 6), ["r2"]),
    "not traceable": (Branching, (1, 6, 6), ["r1"]),
}
"""How to make each network, the shape of one row, and the modules whose outputs are measured."""


def network(name: str, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor, list[str]]:
    """A network of the table with data, labels and the names of its hidden layers."""
    make, shape, layers = NETWORKS[name]
    torch.manual_seed(seed)
    model = ready(make(), *shape)  # type: ignore[operator]
    x, y = rows(model, *shape)
    return model, x, y, layers


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal rows of this shape."""
    return torch.randn(200, *shape, generator=torch.Generator().manual_seed(seed))


def measured(model: nn.Module, data: Any, output: int | str | None = None) -> Flow:
    """The flow to one output, by bins."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The model chooses its path by the data")
        return nif.measure(model, data, nif.Binned(), output=output, progress=False)


def small_one(model: nn.Module, flow: Flow, data: Any, **options: Any) -> Pruned:
    """The network pruned, without a bar."""
    return nif.prune(model, flow, data, progress=False, **options)


def importance_of(rule: str, problem: PruningProblem) -> Float[np.ndarray, " unit"]:
    """The importance of all units that can be cut, by a rule; checked to be numbers."""
    units = cuttable(problem)
    importance = RULES[rule](problem, units, 0)
    assert importance.shape == units.shape and np.isfinite(importance).all()
    return importance
