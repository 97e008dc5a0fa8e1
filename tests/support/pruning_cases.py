"""Networks to prune, and flows in which the units that are to be silent are chosen by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import nif
from nif.core.types import Layer, Links
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.pruning.problem import PruningProblem
from nif.pruning.result import Pruned
from nif.pruning.rules import RULES
from nif.pruning.selection import cuttable
from support.networks import (
    Branching,
    Dense,
    Depthwise,
    FeedForward,
    FunctionalCNN,
    Gated,
    Halved,
    Mobile,
    ResidualCNN,
    Tokens,
    Twice,
    chain,
    conv_net,
    one_dimensional,
)

OF_ASSOCIATION = [rule for rule in RULES if rule != "current"]
"""Rules that need no flow of currents."""

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


def rows(model: nn.Module, *shape: int, count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random inputs, and the class that the model gives them once its outputs are centred."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *shape, generator=generator)
    with torch.no_grad():
        out = model(x).flatten(1)
    return x, (out - out.mean(0)).argmax(1)


def ready(model: nn.Module, *shape: int) -> nn.Module:
    """The model after a few rows in training mode, so that its BatchNorms have seen something."""
    with torch.no_grad():
        model.train()(torch.randn(64, *shape, generator=torch.Generator().manual_seed(1)))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return model.eval()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[str]]] = {
    "chain": (lambda: chain(5, 8, 6, 3), (5,), ["1", "3"]),
    "linear outputs": (lambda: chain(5, 8, 6, 3), (5,), ["0", "2"]),
    "convolutions": (conv_net, (1, 8, 8), ["2", "5"]),
    "convolutions in time": (one_dimensional, (2, 12), ["1", "3"]),
    "residual": (ResidualCNN, (1, 6, 6), ["r1", "r2"]),
    "concatenation": (lambda: Dense(5, 6, 7, 3), (5,), ["r1", "r2"]),
    "functions": (FunctionalCNN, (1, 8, 8), ["c1", "c2", "f1"]),
    "depthwise": (Depthwise, (1, 8, 8), ["p1", "r2", "c3"]),
    "used twice": (Twice, (5,), ["r1"]),
    "feed-forward block": (FeedForward, (4, 5), ["act"]),
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
    model = ready(make(), *shape)
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
