"""The input of every attribution: a trained network, its flow, and labelled data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.data.rows import Rows, read
from nif.data.signature import EMBEDDINGS, Signature
from nif.estimators.binned.estimator import Binned
from nif.estimators.estimate import Estimator
from nif.estimators.inputs import columns, same_length
from nif.flow.flow import Flow
from nif.network.decision import Decision, Scale
from nif.network.forward import Forward
from nif.network.network import Network


@dataclass(frozen=True, eq=False)
class ComparisonProblem:
    """A trained network with its flow and the labelled data to explain it on.

    Attributes:
        model: A copy in eval mode on the CPU, which an attribution may hook.
        decision: The meaning of its outputs.
        flow: The flow measured on it.
        published: Its flow as published in 2019, if it has been measured.
        x: Features, on the scale the model was trained on.
        y: Index of the class of each sample.
        estimator: Estimates the information between a feature and the label.
        seed: Random seed of the attributions.
    """

    model: nn.Module
    decision: Decision
    flow: Flow
    published: Flow | None
    x: Float[np.ndarray, "sample feature"]
    y: Int64[np.ndarray, " sample"]
    estimator: Estimator
    seed: int

    def outputs(self, x: Tensor) -> Float[Tensor, "sample output"]:
        """The outputs of the model for `x`, one column for each."""
        values = self.model(x)
        return values.reshape(len(values), -1)

    def explained(self, x: Tensor) -> Float[Tensor, "sample output"]:
        """The outputs that gradients explain: log-probabilities as probabilities, all others as they are.

        A log-probability is dominated by the classes that the model excludes; a network that ends in a
        log-softmax is explained as the same network with a softmax.
        """
        values = self.outputs(x)
        return values.exp() if self.decision.scale is Scale.LOG_PROBABILITY else values

    def tensor(self, x: Float[np.ndarray, "sample feature"] | Tensor) -> Float[Tensor, "sample feature"]:
        """`x` in the precision of the model's weights."""
        return torch.as_tensor(x).to(next(self.model.parameters(), torch.empty(0)).dtype)

    @torch.no_grad()
    def correct(self, x: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, " sample"]:
        """Whether the model assigns each row of `x` to the class in `y`, as 0 or 1."""
        classes = self.decision.classes(self.outputs(self.tensor(x)))
        return (classes.numpy() == self.y).astype(np.float64)


def comparison_problem(
    model: Any,
    flow: Flow,
    x: Any,
    y: Any,
    *,
    published: Flow | None = None,
    estimator: Estimator | None = None,
    output: int | str | None = None,
    seed: int = 0,
) -> ComparisonProblem:
    """Copy the network, find what its outputs stand for, and check that network, flow and data fit.

    Raises:
        InputError: NaN or infinity, fewer than 50 rows, another number of features than the flow has, labels
            of another length or that are no class indices, or a single class.
    """
    frozen = copy.deepcopy(Network.of(model).module).to("cpu").eval().requires_grad_(False)
    network, table = one_table(frozen, x, output)
    features, labels = validated(table, y, flow)
    decision = Decision.of(Forward(network), (torch.as_tensor(features),), model)
    index = decision.class_indices(labels, len(features))
    if index is None:
        raise InputError(
            f"y contains real numbers, {labels.min():g} to {labels.max():g}; expected class indices 0 to "
            f"{max(decision.outputs, 2) - 1}, in the order of the model's outputs."
        )
    if len(np.unique(index)) < 2:
        raise InputError("y contains a single class; expected at least two.")
    return ComparisonProblem(network, decision, flow, published, features, index, estimator or Binned(), seed)


def some_rows(problem: ComparisonProblem, most: int) -> Int64[Tensor, " row"]:
    """Up to `most` samples, drawn at random, to explain where explaining all takes long."""
    rng = np.random.default_rng(problem.seed)
    return torch.from_numpy(rng.permutation(len(problem.y))[:most])


def validated(x: Any, y: Any, flow: Flow) -> tuple[np.ndarray, Float[np.ndarray, " sample"]]:
    """Features and labels as arrays of finite numbers, with the features of the flow."""
    features, labels = columns(x, "x"), columns(y, "y")
    if labels.shape[1] != 1:
        raise InputError(f"y has {labels.shape[1]} columns; expected one class index for each row of x.")
    same_length(features, labels)
    measured = len(feature_names(flow))
    if features.shape[1] != measured:
        raise InputError(
            f"x has {features.shape[1]} features and the flow was measured on {measured}; "
            "pass the features the model was trained on."
        )
    return features, labels[:, 0]


def feature_names(flow: Flow) -> list[str]:
    """Of all inputs, in their order."""
    return [unit for layer in flow.layers if layer.kind == "input" for unit in layer.units]


class OneTable(nn.Module):
    """Takes the features of all inputs side by side, and returns the selected output."""

    def __init__(self, call: Forward, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.network, self.call, self.shapes = call.model, call, shapes

    def forward(self, table: Float[Tensor, "sample feature"]) -> Tensor:
        """The output for rows of the table."""
        parts = table.split([prod(shape) for shape in self.shapes], dim=1)
        inputs = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.call(inputs)


def one_table(
    network: nn.Module, x: Any, output: int | str | None
) -> tuple[OneTable, Float[np.ndarray, "sample feature"]]:
    """The network as a function of one table, and the table."""
    if any(isinstance(module, EMBEDDINGS) for module in network.modules()):
        raise InputError(
            "The model has an embedding, whose whole numbers have no gradient and no mean, which the "
            "comparison needs. Pass the network behind the embedding, and the embedded rows."
        )
    arguments = Signature.of(network)
    if arguments.required == 1 and not isinstance(x, (tuple, Mapping, Rows)):
        table = columns(x, "x")
        return OneTable(Forward(network, (), output), [table.shape[1:]]), table
    rows = read(x, arguments)
    if len(rows.inputs) < arguments.required:
        wanted = ", ".join(arguments.names[: arguments.required])
        raise InputError(
            f"The model takes {arguments.required} inputs ({wanted}) and x is one; pass x as a tuple or "
            "mapping of them, as for nif.measure."
        )
    shapes = [tuple(values.shape[1:]) for values in rows.inputs]
    together = torch.cat([values.flatten(1).double().cpu() for values in rows.inputs], dim=1)
    return OneTable(Forward(network, rows.names, output), shapes), together.numpy()
