"""The input of every attribution: a trained network, its flow, and labelled data."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nif.core.arguments import shown
from nif.core.errors import InputError
from nif.core.numbers import check_column_order, check_same_order
from nif.core.random import stream
from nif.data.rows import Rows, read
from nif.data.signature import EMBEDDINGS, Signature
from nif.estimators.binned.estimator import Binned
from nif.estimators.estimate import Estimator
from nif.estimators.inputs import checked_estimator, columns, same_length
from nif.flow.flow import Flow
from nif.flow.unit_names import feature_names
from nif.network.decision import Decision, Scale
from nif.network.forward import Forward
from nif.network.labels import class_indices, doubt_of, values_of_classes
from nif.network.network import Network


@dataclass(frozen=True, eq=False)
class ComparisonProblem:
    """A trained network with its flow and the labelled data to explain it on.

    Attributes:
        model: A copy in eval mode on the CPU, which an attribution may hook.
        decision: The meaning of its outputs.
        flow: The flow measured on it.
        currents: Its flow of currents, if that has been measured.
        published: Its flow as published in 2019, if it has been measured.
        x: Features, on the scale the model was trained on.
        replacement: What a feature is replaced by in each row: its mean, or its value in another row.
        y: Index of the class of each sample, or the value that a regressor is to return.
        estimator: Estimates the information between a feature and the label.
        seed: Random seed of the attributions.
    """

    model: nn.Module
    decision: Decision
    flow: Flow
    currents: Flow | None
    published: Flow | None
    x: Float[np.ndarray, "sample feature"]
    replacement: Float[np.ndarray, "sample feature"]
    y: Int64[np.ndarray, " sample"] | Float[np.ndarray, " sample"]
    estimator: Estimator
    seed: int

    @property
    def of_values(self) -> bool:
        """Whether the model is a regressor."""
        return self.y.dtype.kind == "f"

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
    def score(self, x: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, " sample"]:
        """Whether the class of each row of `x` is that of `y`, as 0 or 1; of values, parts of R².

        The mean over rows is the accuracy, or R².
        """
        outputs = self.outputs(self.tensor(x))
        if self.of_values:
            error = outputs[:, 0].double().numpy() - self.y
            return 1 - error**2 / self.y.var()
        return (self.decision.classes(outputs).numpy() == self.y).astype(np.float64)

    @torch.no_grad()
    def doubt(self) -> str:
        """A sentence if labels would fit the outputs far better by another numbering; else empty."""
        if self.of_values:
            return ""
        predicted = self.decision.classes(self.outputs(self.tensor(self.x))).numpy()
        return doubt_of(predicted, self.y, max(self.decision.outputs, 2))


def comparison_problem(
    model: Any,
    flow: Flow,
    x: Any,
    y: Any,
    *,
    currents: Flow | None = None,
    published: Flow | None = None,
    estimator: Estimator | None = None,
    output: int | str | None = None,
    replacement: str = "mean",
    seed: int = 0,
) -> ComparisonProblem:
    """Copy the network, find what its outputs stand for, and check that network, flow and data fit.

    Raises:
        InputError: NaN or infinity, fewer than 50 rows, another number of features than the flow has, labels
            of another length or that are no classes of the model, or a single class or value.
    """
    check_replacement(replacement, "feature")
    if currents is not None:
        check_currents(currents, flow)
    given = Network.of(model)
    x, y = given.signature.prepared((x, y))
    network, table = one_table(frozen(given), x, output, flow)
    features, labels = validated(table, y)
    decision = Decision.of(Forward(network), (torch.as_tensor(features),), given.model)
    target = _target(decision, labels, values_of_classes(given.model, flow.layers[-1].units, labels))
    other = features[stream(seed, "replacement").permutation(len(features))]
    instead = other if replacement == "row" else np.broadcast_to(features.mean(axis=0), features.shape)
    known = currents or (flow if flow.currents is not None else None)
    problem = ComparisonProblem(
        network,
        decision,
        flow,
        known,
        published,
        features,
        instead,
        target,
        checked_estimator(estimator) or Binned(),
        seed,
    )
    if problem.of_values:
        return problem
    outputs = problem.outputs(problem.tensor(features)).detach()
    return replace(problem, decision=decision.of_classes(outputs))


def check_replacement(replacement: str, of: str) -> None:
    """Refuse another replacement of a feature, or of the source of a link, than there is."""
    if replacement not in {"mean", "row"}:
        raise InputError(
            f"replacement is {replacement!r}; expected 'mean', the mean of a {of}, or 'row', its value in "
            "another row."
        )


def check_association(methods: Collection[str], flow: Flow) -> None:
    """Refuse to compare association where the flow is one of currents."""
    if "association" in methods and flow.currents is not None:
        raise InputError(
            "methods names 'association' and the flow is one of currents; pass one measured with "
            "nif.Association(), and this one as currents=."
        )


def check_currents(currents: Flow, flow: Flow) -> None:
    """Refuse a flow that is not of currents, or not of the features of the other."""
    if currents.currents is None:
        raise InputError("currents is a flow of association; expected one from nif.measure(model, data).")
    if feature_names(currents.layers) != feature_names(flow.layers):
        raise InputError(
            "currents and flow have features of other names; measure both on the same data, with the same "
            "names."
        )


def _target(decision: Decision, labels: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Indices of the classes, or the values of a regressor."""
    index = class_indices(decision, labels, len(labels), classes)
    if index is not None and len(np.unique(index)) < 2:
        raise InputError("y contains a single class; expected at least two.")
    if index is not None:
        return index
    if decision.scale is not Scale.VALUE or decision.outputs != 1:
        raise InputError(
            f"y contains real numbers, {labels.min():g} to {labels.max():g}; expected class indices 0 to "
            f"{max(decision.outputs, 2) - 1}, in the order of the model's outputs, or names of classes."
        )
    if np.ptp(labels) == 0:
        raise InputError("y contains a single value; expected several.")
    return labels.astype(np.float64)


def some_rows(problem: ComparisonProblem, most: int) -> Int64[Tensor, " row"]:
    """Up to `most` samples, drawn at random, to explain where explaining all takes long."""
    rng = np.random.default_rng(problem.seed)
    return torch.from_numpy(rng.permutation(len(problem.y))[:most])


def validated(x: Any, y: Any) -> tuple[Float[np.ndarray, "sample feature"], np.ndarray]:
    """Features and labels as arrays of finite numbers, or of names."""
    features, labels = columns(x, "x"), np.asarray(y)
    if labels.ndim == 0:
        raise InputError(f"y is {shown(y)}; expected one class or value for each row of x.")
    if labels.dtype.kind not in "OUS":
        labels = columns(y, "y")
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1:
        raise InputError(f"y has {labels.shape[1]} columns; expected one class or value for each row of x.")
    same_length(features, labels)
    check_same_order({"x": x, "y": y})
    return features, labels[:, 0]


class OneTable(nn.Module):
    """Takes the features of all inputs side by side, and returns the selected output."""

    def __init__(self, call: Forward, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.network, self.call, self.shapes = call.model, call, shapes

    def forward(self, table: Float[Tensor, "sample feature"]) -> Tensor:
        """The output for rows of the table."""
        parts = table.split([prod(shape) for shape in self.shapes], dim=1)
        # Copies, as a model may write into its inputs.
        inputs = [part.clone().unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.call(inputs)


def frozen(given: Network) -> nn.Module:
    """A copy of the module on the CPU, in eval mode, without gradients of its parameters."""
    return copy.deepcopy(given.module).to("cpu").eval().requires_grad_(False)


def one_table(
    network: nn.Module, x: Any, output: int | str | None, flow: Flow
) -> tuple[OneTable, Float[np.ndarray, "sample feature"]]:
    """The network as a function of one table, and the table, whose columns are in the order of the flow."""
    if isinstance(x, pd.DataFrame):
        check_column_order(list(x.columns), feature_names(flow.layers), "x", "the flow")
    if any(isinstance(module, EMBEDDINGS) for module in network.modules()):
        raise InputError(
            "The model has an embedding, whose whole numbers have no gradient and no mean, which the "
            "comparison needs. Pass the network behind the embedding, and the embedded rows."
        )
    arguments = Signature.of(network)
    if arguments.required == 1 and not isinstance(x, (tuple, Mapping, Rows)) and np.ndim(x) <= 2:
        table = columns(x, "x")
        of_table = OneTable(Forward(network, (), output), [table.shape[1:]])
    else:
        rows = read(x, arguments)
        shapes = [tuple(values.shape[1:]) for values in rows.inputs]
        table = torch.cat([values.flatten(1).double().cpu() for values in rows.inputs], dim=1).numpy()
        of_table = OneTable(Forward.of(network, rows, output), shapes)
    measured = len(feature_names(flow.layers))
    if table.shape[1] != measured:
        raise InputError(
            f"x has {table.shape[1]} features and the flow was measured on {measured}; "
            "pass the features the model was trained on."
        )
    return of_table, table
