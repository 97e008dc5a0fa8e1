"""What has to hold of every row of the zoo, computed without the code that it is held against."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import nif
from zoo_cases import Case, Task

LARGEST_IMBALANCE = 1e-4
"""Of a full cut, as a share of the sum of its absolute currents."""

LOWEST_CORRELATION = 0.7
"""Rank correlation of absolute currents with occlusion."""

SMALLEST_SPREAD = 2.0
"""Effect of the most important feature in units of that of the least, from which on ranks are compared."""

OTHERS = 8
"""Rows that take the place of a feature of each row."""

ACTIVATIONS = (
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.Mish, nn.Softplus, nn.PReLU,
    nn.LeakyReLU, nn.Hardswish, nn.Hardtanh, nn.Softsign, nn.RReLU, nn.Softshrink, nn.GLU,
)  # fmt: skip
"""Modules of which each that runs has to be a layer."""


def imbalance(flow: nif.Flow) -> float:
    """The largest difference of what crosses a cut from the total, over all cuts between two layers."""
    assert flow.total is not None
    inputs = sum(layer.name.split(".")[0] == "input" for layer in flow.layers)
    worst = 0.0
    for place in range(inputs - 1, len(flow.layers) - 1):
        crossing = [link.values("nats") for link in flow.links if link.source <= place < link.target]
        whole, absolute = (math.fsum(float(f(part).sum()) for part in crossing) for f in (np.asarray, np.abs))
        worst = max(worst, abs(whole - flow.total.nats) / max(absolute, abs(flow.total.nats), 1e-12))
    return worst


def unlisted(model: Any, task: Task, flow: nif.Flow) -> Iterator[str]:
    """Weights that the output depends on and that are neither measured nor named as not measured.

    A weight of two axes or more is depended on if the gradient of some mixture of the outputs is not 0.
    """
    if not isinstance(model, nn.Module) or flow.currents is None:
        return
    weights = {name: p for name, p in model.named_parameters() if p.dim() >= 2 and p.dtype.is_floating_point}
    with torch.enable_grad():
        parts = [(values * torch.randn_like(values)).sum() for values in _floats(called(model, task, 16))]
        gradients = torch.autograd.grad(torch.stack(parts).sum(), list(weights.values()), allow_unused=True)
    known = {*flow.weight_names, *(each.split(" ")[0] for each in flow.measurement.options["not_measured"])}
    same = {id(p): name for name, p in model.named_parameters(remove_duplicate=False) if name in known}
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        if (
            gradient is not None
            and bool(gradient.ne(0).any())
            and name not in known
            and id(weight) not in same
        ):
            yield name


def missing_layers(model: Any, task: Task, flow: nif.Flow) -> Iterator[str]:
    """Activations that ran, by their hooks, and that are neither a layer nor named as not measured."""
    if not isinstance(model, nn.Module):
        return
    ran: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda *call, name=name: ran.update({name: call[2]}))
        for name, module in model.named_modules()
        if isinstance(module, ACTIVATIONS)
    ]
    returned = called(model, task, 4)
    for handle in handles:
        handle.remove()
    known = {layer.name.partition("#")[0] for layer in flow.layers}
    known |= {each.split(" ")[0].partition("#")[0] for each in flow.measurement.options["not_measured"]}
    for name, result in ran.items():
        output = isinstance(returned, Tensor) and torch.equal(result.flatten(), returned.flatten())
        if name not in known and not output:
            yield name


def called(model: Any, task: Task, rows: int | None = None) -> Any:
    """What the model returns for the first rows, in eval mode."""
    inputs = {name: values[:rows] for name, values in task.inputs.items()}
    dtype = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), torch.float32)
    inputs = {k: v.to(dtype) if v.dtype.is_floating_point else v for k, v in inputs.items()}
    return model(**inputs) if len(inputs) > 1 else model(next(iter(inputs.values())))


def occlusion(model: Any, task: Task, case: Case) -> dict[str, np.ndarray]:
    """How much the decision changes if a feature takes the value of other rows: for each input, each feature.

    Of a class the divergence of its distributions, of a value the squared difference in units of its noise.
    """
    before = _numbers(model, task, case)
    scale = before.std(0)
    orders = [np.random.default_rng(seed).permutation(len(before)) for seed in range(OTHERS)]
    found = {}
    for name, values in task.inputs.items():
        index = torch.from_numpy(task.features(name).copy())
        effects = []
        for feature in range(int(index.max()) + 1):
            where = (index == feature).expand(values.shape[1:])
            each = [_replaced(task, name, torch.where(where, values[order], values)) for order in orders]
            after = [_numbers(model, part, case) for part in each]
            effects.append(float(np.mean([_divergence(case.says, before, a, scale) for a in after])))
        found[name] = np.array(effects)
    return found


def spread(effects: dict[str, np.ndarray]) -> float:
    """How many times the largest effect is the smallest."""
    every = np.concatenate(list(effects.values()))
    return float(every.max() / max(every.min(), 1e-12))


def correlation(flow: nif.Flow, effects: dict[str, np.ndarray]) -> float:
    """Rank correlation of the absolute currents of features with the effects of occlusion, of all inputs."""
    absolute = flow.neurons()["absolute"]
    names = [layer.name for layer in flow.layers if layer.name.split(".")[0] == "input"]
    pairs = []
    for name in names:
        known = effects[name.partition(".")[2]] if "." in name else next(iter(effects.values()))
        pairs.append(np.stack([absolute.loc[name].to_numpy(), known]))
    return float(spearmanr(*np.concatenate(pairs, 1)).statistic)


def _replaced(task: Task, name: str, values: Tensor) -> Task:
    return Task({**task.inputs, name: values}, task.labels, task.groups)


def _numbers(model: Any, task: Task, case: Case) -> np.ndarray:
    """The numbers that decide."""
    if not isinstance(model, nn.Module):
        return _of_library(model, task)
    with torch.no_grad():
        return case.decided(called(model, task)).double().numpy()


def _of_library(model: Any, task: Task) -> np.ndarray:
    data = task.data.numpy()
    if hasattr(model, "predict_proba"):
        try:
            return np.asarray(model.predict_proba(data), dtype=float)
        except ValueError:
            return np.asarray(model.predict_proba(data.astype(float)), dtype=float)
    return np.asarray(model.predict(data.astype(float)), dtype=float).reshape(len(data), -1)


def _divergence(says: str, before: np.ndarray, after: np.ndarray, scale: np.ndarray) -> float:
    if says == "value":
        moving = scale > 1e-9
        return float((np.square((before - after)[:, moving] / scale[moving])).sum(1).mean())
    p, q = (_probabilities(says, part) for part in (before, after))
    return float((p * (np.log(p) - np.log(q))).sum(-1).mean())


def _probabilities(says: str, numbers: np.ndarray) -> np.ndarray:
    if says == "classes":
        numbers = np.exp(numbers - numbers.max(1, keepdims=True))
        numbers = numbers / numbers.sum(1, keepdims=True)
    if says == "answers":
        numbers = np.stack([numbers, 1 - numbers], -1).reshape(len(numbers), -1)
    clipped: np.ndarray = np.clip(numbers, 1e-12, None)
    return clipped


def _floats(returned: Any) -> Iterator[Tensor]:
    if isinstance(returned, Tensor):
        if returned.requires_grad:
            yield returned
    elif isinstance(returned, dict):
        for value in returned.values():
            yield from _floats(value)
    elif isinstance(returned, (tuple, list)):
        for value in returned:
            yield from _floats(value)
