"""A linear network, its data and its flow: what attributions of it are is known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from nif.comparison.problem import ComparisonProblem, comparison_problem
from nif.core.types import Layer, Links
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement

WEIGHTS = torch.tensor([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])  # class 1 where 4 x0 + x1 > 0; x2 is not used
QUICK = ["raw MI", "association", "random ranking"]


def linear(weights: torch.Tensor = WEIGHTS) -> nn.Sequential:
    """A network whose outputs are `weights @ x`, so that its attributions have closed forms."""
    layer = nn.utils.skip_init(nn.Linear, weights.shape[1], weights.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.zero_()
    return nn.Sequential(layer)


def data(samples: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three independent normal features and the class that `linear()` gives them."""
    x = np.random.default_rng(seed).normal(size=(samples, 3))
    return x, (4 * x[:, 0] + x[:, 1] > 0).astype(np.int64)


def flow_of(
    nats: Any,
    *,
    terms: int = 9,
    features: tuple[str, ...] = ("big", "small", "unused"),
    classes: tuple[str, ...] | None = None,
) -> Flow:
    """A flow of one layer of links with these weights."""
    weights = np.asarray(nats, dtype=np.float64)
    zeros = np.zeros_like(weights)
    classes = classes or tuple(f"class {k}" for k in range(weights.shape[1]))
    return Flow(
        layers=(Layer("input", "input", features), Layer("output", "Linear", classes)),
        links=(Links(0, 1, nats=weights, stderr=zeros, p_value=zeros, relevance=weights),),
        constant=(np.zeros(len(features), dtype=bool), np.zeros(len(classes), dtype=bool)),
        measurement=Measurement("Association()", {"terms": terms}, 400, 0, 0, "0"),
    )


FLOW = flow_of([[0.5, 0.5], [0.1, 0.1], [0.0, 0.0]])


def problem(
    x: np.ndarray,
    y: np.ndarray,
    model: nn.Module | None = None,
    flow: Flow | None = None,
    estimator: Any = None,
) -> ComparisonProblem:
    flow = flow or flow_of(np.ones((x.shape[1], 2)), features=tuple(f"f{k}" for k in range(x.shape[1])))
    if model is None:
        model = linear() if x.shape[1] == 3 else linear(torch.zeros(2, x.shape[1]))
    return comparison_problem(model, flow, x, y, estimator=estimator)
