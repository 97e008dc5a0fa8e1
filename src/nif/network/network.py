"""A trained model, made ready once: how it is called, which of its layers are measured, how they connect."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from torch import nn

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.types import Layer
from nif.data.rows import Rows, read
from nif.data.signature import Signature
from nif.network.adapters import as_torch, sklearn_names, unwrapped
from nif.network.fitted import Fitted
from nif.network.flops import cost_of
from nif.network.forward import Forward
from nif.network.graph import graph_of
from nif.network.inputs import InputLayers
from nif.network.last_state import recurrent_layers, with_last_states
from nif.network.layers import Plan, plan_of
from nif.network.mask_branches import without_mask_branches
from nif.network.names import class_units, first_given, numbered
from nif.network.one_graph import one_graph
from nif.network.precision import in_full_precision
from nif.network.preserve import check_supported, preserved
from nif.network.reduction import Reduction
from nif.network.row_order import checked_places


@dataclass(frozen=True, eq=False)
class Architecture:
    """The layers of a network and how their units connect.

    Attributes:
        layers: Input, hidden layers, output, in order of execution.
        connections: ``(source, target)`` indices of the layers that feed one another directly.
        connected: For each connection, which units a path connects; None where all are. Empty: all in all.
    """

    layers: tuple[Layer, ...]
    connections: tuple[tuple[int, int], ...]
    connected: tuple[Bool[np.ndarray, "source target"] | None, ...] = ()

    def connected_between(self, source: int, target: int) -> Bool[np.ndarray, "source target"] | None:
        """Which units of two connected layers a path connects; None where it connects all."""
        return self.connected[self.connections.index((source, target))] if self.connected else None

    @property
    def number_unconnected(self) -> int:
        """Number of pairs of units of connected layers that no path connects."""
        return sum(int((~flags).sum()) for flags in self.connected if flags is not None)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained model and the choices that say what of it is measured.

    Attributes:
        module: The module that is run: the user's own, or a copy on another device.
        signature: The inputs that its ``forward`` takes.
        layers: Names of the modules that are measured; all non-linearities if None.
        output: The output that is measured, of a model that returns several: a position, key or field.
        reduce: ``"mean"`` or ``"max"`` of a unit over its positions, or ``"positions"``: each is a sample.
        feature_names: Names of the features that a scikit-learn model knows.
        class_names: One name for each output.
        model: What the user passed, without pipelines and searches; it may be no module.
        recurrent: Whether recurrent modules are layers: their last state, or all steps if those are read.
    """

    module: nn.Module
    signature: Signature
    layers: Sequence[str] | None = None
    output: int | str | None = None
    reduce: str = "mean"
    feature_names: Sequence[str] | None = None
    class_names: Iterable[Any] | None = None
    model: Any = field(default=None, repr=False)
    recurrent: bool = False
    _plans: dict[Any, Plan] = field(default_factory=dict, repr=False)
    _calls: dict[Any, Forward] = field(default_factory=dict, repr=False)
    _costs: dict[Any, int] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        layers: Sequence[str] | None = None,
        output: int | str | None = None,
        reduce: str = "mean",
        device: Any = None,
        class_names: Iterable[Any] | None = None,
    ) -> Network:
        """The network of a model.

        Args:
            model: A `torch.nn.Module`, compiled, parallel or not, a skorch net, or scikit-learn's
                MLPClassifier or MLPRegressor, whose own class names hold if none are passed; also in a
                pipeline, whose steps are applied to the data, a search or a TransformedTargetRegressor.
            device: Where to run a copy of the model; where the model is if None.

        Raises:
            InputError: The model is of another type, cannot be traced, or cannot be moved to the device.
        """
        fitted = Fitted.of(model)
        model = fitted.estimator
        module = as_torch(unwrapped(model))
        check_supported(module)
        if device is not None:
            module = _on_device(module, device)
        features, classes = sklearn_names(model)
        names = first_given(class_names, classes)
        names = names if names is None or isinstance(names, str) else tuple(names)
        signature = replace(Signature.of(module), before=fitted.before, columns=features or ())
        return cls(module, signature, layers, output, reduce, features, names, model)

    def in_full_precision(self) -> Network:
        """The same network with a copy of its module in float32 where it has half precision."""
        module = in_full_precision(self.module)
        return self if module is self.module else replace(self, module=module, _calls={})

    def forward(self, rows: Rows) -> Forward:
        """How the module is called with such rows."""
        key = rows.names, rows.flat, tuple(values.dtype for values in rows.inputs), str(rows.constants)
        if key not in self._calls:
            self._calls[key] = Forward.of(self.module, rows, self.output)
        return self._calls[key]

    def cost(self, rows: Rows) -> int:
        """Operations of a row, as `cost_of` counts them, once for like rows; 1 at least.

        Two rows are run, as a model may drop an axis of length 1.
        """
        key = _shapes(rows)
        if key not in self._costs:
            call, few = self.forward(rows), [values[:2] for values in rows.inputs]
            with preserved(self.module):
                self._costs[key] = max(1, cost_of(call, tuple(call.prepared(few))) // len(few[0]))
        return self._costs[key]

    def plan(self, rows: Rows) -> Plan:
        """The layers to record and their connections, from a run on a few of the rows; kept for like rows.

        Raises:
            InputError: The model fails on the rows, or a layer does not exist.
        """
        key = *_shapes(rows), self.recurrent
        if key not in self._plans:
            with preserved(self.module):
                self._plans[key] = self._checked_plan(rows)
        return self._plans[key]

    def _checked_plan(self, rows: Rows) -> Plan:
        """The plan, without the layers whose rows are not those of the data."""
        graph = graph_of(self.forward(rows), rows.inputs)
        graph = without_mask_branches(graph, self.forward(rows), rows.inputs)
        states = recurrent_layers(self.forward(rows), rows.inputs) if self.recurrent else {}
        graph = with_last_states(graph, states)
        plan = plan_of(graph, self.layers, states=states)
        places = {
            place.name: place
            for place in checked_places(self.forward(rows), plan.places, rows.inputs, plan.inputs)
        }
        left_out = {place.name for place in plan.places} - places.keys()
        if left_out:
            plan = plan_of(graph, self.layers, left_out, states)
        return replace(plan, places=tuple(places[place.name] for place in plan.places))

    def inputs(self, rows: Rows) -> InputLayers:
        """The input layers."""
        plan = self.plan(rows)
        return InputLayers(rows, plan, Reduction.of(self.reduce, plan.places))

    def architecture(self, rows: Rows) -> Architecture:
        """Layers with the names of their units, and which units a path connects."""
        plan, inputs = self.plan(rows), self.inputs(rows)
        known = None if rows.groups is not None else self.feature_names
        names = [*inputs.names(first_given(rows.feature_names, known))]
        names += [numbered(place.name, place.axes.units) for place in plan.hidden]
        names.append(class_units(self.class_names, plan.places[-1].axes.units))
        layers = zip(plan.places, names, inputs.shapes(), strict=True)
        return Architecture(
            tuple(Layer(place.name, place.kind, units, shape) for place, units, shape in layers),
            tuple(plan.connections),
            tuple(inputs.connected(source, path) for (source, _), path in plan.connections.items()),
        )


def _shapes(rows: Rows) -> tuple[Any, ...]:
    """What rows for which a network runs alike have in common."""
    shapes = tuple((values.shape[1:], values.dtype) for values in rows.inputs)
    return rows.names, rows.flat, shapes, str(rows.constants)


def _on_device(module: nn.Module, device: Any) -> nn.Module:
    try:
        return copy.deepcopy(module).to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"Cannot move the model to device {device!r}: {reason}. Try device='cpu'."
        ) from error


@checked_arguments()
def layers(
    model: Any, example: Any, *, layers: Sequence[str] | None = None, output: int | str | None = None
) -> pd.DataFrame:
    """The layers of a model that are measured, and the layers that each feeds.

    Recurrent modules are layers of association: their last state, if the model reads no more of them.
    Currents lead through them, and are those of their weights; they are layers of currents if named.

    Args:
        model: As for `nif.measure`.
        example: One row of inputs, or more; or one graph, as for `nif.measure`.
        layers: Names of the modules to measure; all non-linearities if None.
        output: The output to measure, of a model that returns several.

    Returns:
        One row for each layer, in order of execution: ``name``; ``kind``, the class of the module or the name
        of the function; ``units``; ``shape`` of the activation without the sample; ``feeds``, the layers it
        feeds.

    Raises:
        InputError: The model fails on the example, or a name does not exist.

    Example:
        >>> from torch import zeros
        >>> layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), zeros(1, 2))
             name    kind  units shape     feeds
        0   input   input      2  (2,)      (1,)
        1       1    ReLU      3  (3,) (output,)
        2  output  Linear      1  (1,)        ()
    """
    graph = one_graph(model, example)  # of which the nodes are rows
    if graph is not None:
        model, example = graph
    network = replace(Network.of(model, layers=layers, output=output), recurrent=True)
    rows = read(example, network.signature)
    plan = network.plan(rows)
    names = [place.name for place in plan.places]
    units = [values[0].numel() if graph is None else values.shape[-1] for values in rows.inputs]
    return pd.DataFrame(
        {
            "name": names,
            "kind": [place.kind for place in plan.places],
            "units": units + [place.axes.units for place in plan.places[plan.inputs :]],
            "shape": [place.shape if graph is None else place.shape[-1:] for place in plan.places],
            "feeds": [
                tuple(names[target] for source, target in plan.connections if source == index)
                for index in range(len(names))
            ],
        }
    )
