"""What every attribution is given: a trained network, its flow, and labelled data."""

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
from nif.estimators.estimate import Estimator
from nif.estimators.inputs import columns, same_length
from nif.flow.flow import Flow
from nif.network.forward import Forward
from nif.network.network import Network


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network with its flow and the labelled data to explain it on.

    Attributes:
        model: A copy in eval mode on the CPU, so that an attribution may hook it as it likes.
        flow: The flow measured on it.
        davis: Its flow as published in 2019, if it has been measured.
        x: Features, on the scale the model was trained on.
        y: Index of the class of each sample.
        estimator: Estimates the information between a feature and the label.
        seed: Seeds whatever an attribution draws.
    """

    model: nn.Module
    flow: Flow
    davis: Flow | None
    x: Float[np.ndarray, "sample feature"]
    y: Int64[np.ndarray, " sample"]
    estimator: Estimator
    seed: int

    def outputs(self, x: Tensor) -> Float[Tensor, "sample output"]:
        """What the model gives for `x`, one column for each output."""
        values = self.model(x)
        return values[:, None] if values.ndim == 1 else values

    def tensor(self, x: Float[np.ndarray, "sample feature"]) -> Float[Tensor, "sample feature"]:
        """`x` in the precision of the model's weights."""
        return self.to_model_dtype(torch.as_tensor(x))

    def to_model_dtype(self, x: Tensor) -> Tensor:
        """The same numbers in the precision of the model's weights."""
        return x.to(next(self.model.parameters(), torch.empty(0)).dtype)

    @torch.no_grad()
    def correct(self, x: Float[np.ndarray, "sample feature"]) -> np.ndarray:
        """Which rows of `x` the model gives the class in `y`, as 0 or 1."""
        return (self._classes(self.outputs(self.tensor(x))) == self.y).astype(np.float64)

    def _classes(self, outputs: Tensor) -> np.ndarray:
        if outputs.shape[1] > 1:
            return outputs.argmax(dim=1).numpy()
        last = list(self.model.modules())[-1]
        boundary = 0.5 if isinstance(last, nn.Sigmoid) else 0.0
        return (outputs[:, 0] > boundary).numpy().astype(np.int64)


def some_rows(subject: Subject, most: int) -> Int64[Tensor, " row"]:
    """Which samples to explain where explaining all takes long: up to `most`, drawn at random."""
    rng = np.random.default_rng(subject.seed)
    return torch.from_numpy(rng.permutation(len(subject.y))[:most])


def frozen_copy(model: Any) -> nn.Module:
    """A copy on the CPU in eval mode, its gradients off: the model passed in stays as it is.

    A scikit-learn network becomes an equal torch one; wrappers are taken off.
    """
    twin = copy.deepcopy(Network.of(model).module).to("cpu").eval()
    return twin.requires_grad_(False)


def checked(x: Any, y: Any, flow: Flow) -> tuple[np.ndarray, np.ndarray]:
    """Features and class indices as arrays, or an error that says what does not fit.

    Raises:
        InputError: NaN or infinity, fewer than 50 rows, another number of features than the flow has, labels
            of another length or that are no class indices, or one class only.
    """
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
    return features, _class_indices(labels[:, 0], classes=max(len(flow.layers[-1]), 2))


def feature_names(flow: Flow) -> list[str]:
    """Of all inputs, in their order."""
    return [unit for layer in flow.layers if layer.kind == "input" for unit in layer.units]


def _class_indices(labels: Float[np.ndarray, " sample"], classes: int) -> Int64[np.ndarray, " sample"]:
    index = labels.astype(np.int64)
    if (index != labels).any() or index.min() < 0 or index.max() >= classes:
        raise InputError(
            f"y holds {labels.min():g} to {labels.max():g}; expected whole class indices 0 to {classes - 1}, "
            "one for each output of the model."
        )
    if len(np.unique(index)) < 2:
        raise InputError(
            "y holds one class only; no feature can carry information on it. Add rows of another."
        )
    return index


class OneTable(nn.Module):
    """Takes the features of all inputs side by side, and gives the output that is meant.

    Example:
        >>> joined = OneTable(Forward(nn.Bilinear(2, 3, 1), ("input1", "input2")), [(2,), (3,)])
        >>> joined(torch.zeros(4, 5)).shape
        torch.Size([4, 1])
    """

    def __init__(self, call: Forward, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.network, self.shapes = call.model, shapes
        self.names, self.output = call.names, call.output

    def forward(self, table: Float[Tensor, "sample feature"]) -> Tensor:
        """The output for rows of the table."""
        parts = table.split([prod(shape) for shape in self.shapes], dim=1)
        inputs = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return Forward(self.network, self.names, self.output)(inputs)


def one_table(
    network: nn.Module, x: Any, output: int | str | None
) -> tuple[OneTable, Float[np.ndarray, "sample feature"]]:
    """The network as a function of one table, and the table.

    Args:
        network: It is not changed.
        x: One table as it is, or several inputs as for `nif.measure`.
        output: Which output is meant.

    Raises:
        InputError: The network takes several inputs and x is one, or it takes whole numbers.
    """
    if any(isinstance(module, EMBEDDINGS) for module in network.modules()):
        raise InputError(
            "The model has an embedding, which takes whole numbers: they have no gradient and no mean, by "
            "which features are compared. Compare the network behind its embedding, on what that gives."
        )
    arguments = Signature.of(network)
    if arguments.required == 1 and not isinstance(x, (tuple, Mapping, Rows)):
        table = columns(x, "x")
        return OneTable(Forward(network, (), output), [table.shape[1:]]), table
    found = read(x, arguments)
    if len(found.inputs) < arguments.required:
        wanted = ", ".join(arguments.names[: arguments.required])
        raise InputError(
            f"The model takes {arguments.required} inputs ({wanted}) and x is one; give x as a tuple or "
            "mapping of them, as nif.measure takes it."
        )
    shapes = [tuple(values.shape[1:]) for values in found.inputs]
    together = torch.cat([values.flatten(1).double().cpu() for values in found.inputs], dim=1)
    return OneTable(Forward(network, found.names, output), shapes), together.numpy()
