"""A copy of the network to prune, the weights that compute its units, and the units of the flow in it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from nif.core.errors import InputError
from nif.core.numbers import check_column_order
from nif.core.types import FEWEST_SAMPLES, Layer
from nif.data.rows import Rows, read
from nif.flow.flow import Flow
from nif.flow.unit_names import feature_names
from nif.network.adapters import make_plain
from nif.network.forward import Forward, Inputs, batches
from nif.network.network import Network
from nif.network.one_graph import is_graph
from nif.network.preserve import preserved
from nif.network.unit_groups import UnitIds
from nif.network.units import UnitWeights, unit_weights
from nif.pruning.criterion import Criterion, Outputs, criterion_for, outputs
from nif.pruning.equivalent import to_linear

ATTENTION = ("scaled_dot_product_attention", "MultiheadAttention")
"""Kinds of layers of a flow whose units belong to heads."""

HEADS_ONLY = (
    "of attention, `heads=` removes heads, `key_dims=` dimensions of keys, and nothing removes single units"
)

MOST_NAMES = 3
"""Layers that a sentence names."""

EXAMPLES = 2
"""Rows that are run to follow the units of the network."""


@dataclass(frozen=True, eq=False)
class PruningProblem:
    """A trained network, where its units are, and the data to judge by.

    Attributes:
        call: Runs a copy of the user's network, never changed either, so that others can be compared with it.
        weights: Which weights compute and read each unit.
        flow: What was measured on the network.
        hidden: Labels of the units of each hidden layer of the flow, by the layer's name.
        inputs: Rows of data, for each input of the network.
        criterion: Of any network on these rows.
        flags: Which modules of the user's network were in training mode.
        whole: Why layers of the flow cannot be pruned, by the layer's name.
        uncut: Why units of layers can only be zeroed, by the layer's name.
        compensate: How removed units will be compensated for; rules may weigh by it.
        noted: What layers of the network read and return, which every trial is compared with.
    """

    call: Forward
    weights: UnitWeights
    flow: Flow
    hidden: dict[str, UnitIds]
    inputs: Inputs
    criterion: Criterion
    flags: dict[str, bool]
    whole: dict[str, str]
    uncut: dict[str, str]
    compensate: str | None = None
    noted: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        """The network that `call` runs."""
        return self.call.model

    def outputs(self, model: nn.Module) -> Outputs:
        """Of another network, on the rows."""
        return outputs(self.call.with_model(model), self.inputs)

    def on(self, model: nn.Module) -> PruningProblem:
        """The same problem on another network of the same modules."""
        call = self.call.with_model(model)
        return _traced(call, self.flow, self.inputs, self.criterion, self.flags, self.compensate)

    def is_within(self, tolerance: float | None, model: nn.Module) -> bool:
        """Whether the criterion of another network is within the tolerance."""
        return tolerance is None or self.criterion.is_met(tolerance, self.outputs(model))


def rows_of_flow(data: Any, given: Network, flow: Flow) -> Rows:
    """The rows of data, whose columns are in the order of the flow.

    Raises:
        InputError: They are in another order.
    """
    rows = read(data, given.signature)
    check_column_order(rows.feature_names or (), feature_names(flow.layers), "the data", "the flow")
    return rows


def pruning_problem(
    model: Any,
    flow: Flow,
    data: Any,
    output: int | str | None = None,
    compensate: str | None = None,
    scorer: Any = None,
) -> PruningProblem:
    """Copy the network, follow its units, and check that network, flow and data belong together."""
    given = Network.of(model)
    network = copied(given.model)
    to_linear(network)
    flags = {name: module.training for name, module in network.named_modules()}
    network.eval()
    rows = rows_of_flow(data, given, flow)
    if len(rows) < FEWEST_SAMPLES and not is_graph(given.module):
        raise InputError(
            f"The data have {len(rows)} rows; pruning is judged on {FEWEST_SAMPLES} or more. Pass more."
        )
    call = Forward.of(network, rows, output)
    criterion = criterion_for(call, rows.inputs, rows.labels, given.model, scorer, flow.layers[-1].units)
    _same_output(flow, criterion)
    return _traced(call, flow, rows.inputs, criterion, flags, compensate)


def _traced(
    call: Forward,
    flow: Flow,
    inputs: Inputs,
    criterion: Criterion,
    flags: dict[str, bool],
    compensate: str | None,
) -> PruningProblem:
    """With the units of the network that `call` runs."""
    example = next(batches(call, inputs, EXAMPLES))
    with preserved(call.model):
        weights = unit_weights(call, example)
    hidden, whole = _hidden(flow, weights, shared_weights(call.model))
    uncut = _uncut(call.model, weights, hidden)
    return PruningProblem(call, weights, flow, hidden, inputs, criterion, flags, whole, uncut, compensate)


def _same_output(flow: Flow, criterion: Criterion) -> None:
    """The model must return one or more positions of each unit of the flow's last layer."""
    gives, units = criterion.reference.chosen.shape[1], len(flow.layers[-1])
    if gives % units:
        raise InputError(
            f"The flow has an output of {units} units and the model gives {gives} numbers a row; pass the "
            "model that the flow was measured on."
        )


def shared_weights(model: nn.Module) -> set[str]:
    """Names of the modules that share a parameter with another module."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():  # a module with two names counts once
        for weight in module.parameters(recurse=False):
            owners[id(weight)].append(name)
    return {name for several in owners.values() if len(several) > 1 for name in several}


def copied(model: Any) -> nn.Module:
    """A copy of the module of a model, in which every layer holds the weights that it computes with."""
    try:
        module = copy.deepcopy(Network.of(model).module)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"The model cannot be copied ({error}); pruning works on a copy of it.") from error
    make_plain(module)
    return module


def _hidden(flow: Flow, weights: UnitWeights, shared: set[str]) -> tuple[dict[str, UnitIds], dict[str, str]]:
    """Labels of the units of the hidden layers that can be pruned; why others cannot be."""
    hidden, whole = {}, {}
    held = [weights.groups.of(part[name]) for part in _parts(weights) for name in part if name in shared]
    layers = [layer for layer in flow.layers[:-1] if layer.kind != "input"]
    for layer in layers:
        labels = weights.groups.of(_units(layer, weights)) if layer.name in weights.at else None
        if labels is None and layer.kind in ATTENTION:
            whole[layer.name] = HEADS_ONLY
        elif labels is None:
            whole[layer.name] = "its units cannot be traced to their weights"
        elif weights.groups.is_output(labels).any():
            whole[layer.name] = "the model returns its units"
        elif any(np.isin(labels, units).any() for units in held):
            whole[layer.name] = "a weight that several modules share makes or reads its units"
        else:
            hidden[layer.name] = labels
    if layers and not any(layer.name in weights.ran for layer in layers):
        names = ", ".join(layer.name for layer in layers)
        raise InputError(
            f"None of the hidden layers of the flow ({names}) runs in this model. Pass the model that the "
            "flow was measured on."
        )
    return hidden, whole


def left_whole(reasons: Mapping[str, str]) -> Iterator[str]:
    """One sentence for all layers that are left whole for the same reason.

    Example:
        >>> list(left_whole({"a": "the model returns its units", "b": "the model returns its units"}))
        ["Layers 'a', 'b' are left whole: the model returns its units."]
    """
    for reason in dict.fromkeys(reasons.values()):
        names = [repr(name) for name, why in reasons.items() if why == reason]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        which = (
            f"Layer {names[0]} is" if len(names) == 1 else f"Layers {', '.join(names[:MOST_NAMES])}{more} are"
        )
        yield f"{which} left whole: {reason}."


def _parts(weights: UnitWeights) -> tuple[dict[str, UnitIds], ...]:
    """All that the modules of a network do with units."""
    return weights.rows, weights.columns, weights.per_channel


def _uncut(network: nn.Module, weights: UnitWeights, hidden: dict[str, UnitIds]) -> dict[str, str]:
    """For layers of which no unit can be cut out, which module needs all of them."""
    uncut = {}
    for name, labels in hidden.items():
        if weights.groups.has_fixed_width(labels).all():
            held = dict.fromkeys(
                where for where, units in weights.held if np.isin(weights.groups.of(units), labels).any()
            )
            kinds = [f"{where!r} ({type(network.get_submodule(where)).__name__})" for where in held if where]
            by = f"{kinds[0]} needs" if kinds else "an operation of the model needs"
            uncut[name] = f"{by} all of its units"
    return uncut


def _units(layer: Layer, weights: UnitWeights) -> UnitIds:
    """Units of a layer; a channel stands for all its positions where each of them was measured."""
    units, positions = weights.at[layer.name], weights.positions.get(layer.name, 1)
    if len(layer) == len(units):
        return units
    if len(layer) == len(units) * positions:
        return np.repeat(units, positions)
    raise InputError(
        f"The flow has a layer {layer.name!r} of {len(layer)} units and the model has {len(units)} there; "
        "pass the model that the flow was measured on."
    )


def all_labels(hidden: dict[str, UnitIds]) -> UnitIds:
    """Every hidden unit once, in the order of the layers."""
    together = np.concatenate(list(hidden.values())) if hidden else np.zeros(0, dtype=np.int64)
    return together[np.sort(np.unique(together, return_index=True)[1])]
