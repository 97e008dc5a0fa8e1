"""What is pruned: a copy of the network, its wiring, and the units of the flow in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from nif.contracts import InputError, Layer
from nif.estimators.checks import FEWEST_SAMPLES
from nif.flow import Flow
from nif.pruning.dependency_graph import trace_gradients
from nif.pruning.labels import Unit
from nif.pruning.parametrized import make_plain
from nif.pruning.wiring import Wiring, trace
from nif.recording import as_torch
from nif.recording.arguments import Arguments
from nif.recording.rows import rows
from nif.recording.untouched import runnable, untouched
from nif.recording.wrappers import unwrapped
from nif.scoring import Score, batches, score_on

EXAMPLES = 2
"""Rows that are run to find how the network is wired."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network, where its units are, and the data to judge by.

    Attributes:
        model: A copy of the user's network; never changed either, so that others can be compared with it.
        wiring: Which weights make and read each unit.
        flow: What was measured on the network.
        hidden: Labels of the units of each hidden layer of the flow, by the layer's name.
        inputs: Rows of data.
        score: Of any network on these rows.
        flags: Which modules of the user's network were in training mode.
        notes: Layers of the flow that can not be pruned, and why.
    """

    model: nn.Module
    wiring: Wiring
    flow: Flow
    hidden: dict[str, Unit]
    inputs: Tensor
    score: Score
    flags: dict[str, bool]
    notes: tuple[str, ...] = ()


def subject(model: Any, flow: Flow, data: Any) -> Subject:
    """Copy the network, find its wiring, and check that network, flow and data belong together.

    Raises:
        InputError: The model is of another type or can not be traced, the flow was measured on another
            network, or the data do not fit.
    """
    network = _copied(model)
    flags = {name: module.training for name, module in network.named_modules()}
    network.eval()
    found = rows(data)
    if len(found) < FEWEST_SAMPLES:
        raise InputError(
            f"The data have {len(found)} rows; pruning is judged on {FEWEST_SAMPLES} or more. Give more rows."
        )
    score = score_on(network, found.inputs, found.labels, getattr(model, "classes_", None))
    example = next(batches(network, found.inputs[:EXAMPLES]))
    with untouched(network):
        wiring = trace(network, example) or trace_gradients(network, example)
    hidden, notes = _hidden(flow, wiring)
    return Subject(network, wiring, flow, hidden, found.inputs, score, flags, notes)


def _copied(model: Any) -> nn.Module:
    network = as_torch(unwrapped(model))  # wrappers hide the names of the modules that the flow knows
    runnable(network)
    names = Arguments.of(network)
    if names.required > 1:
        raise InputError(
            f"The model takes {names.required} inputs ({', '.join(names.names[: names.required])}); pruning "
            "takes a model of one. Wrap it in a module that makes them of one tensor, and measure that."
        )
    try:
        copied = copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"The model can not be copied ({error}); pruning works on a copy of it.") from error
    make_plain(copied)
    return copied


def _hidden(flow: Flow, wiring: Wiring) -> tuple[dict[str, Unit], tuple[str, ...]]:
    """Labels of the hidden layers' units; what there is to say of layers whose units can not be followed."""
    found, notes = {}, []
    for layer in flow.layers[1:-1]:
        if layer.name in wiring.at:
            found[layer.name] = wiring.labels.of(_units(layer, wiring))
        else:
            notes.append(
                f"Layer {layer.name!r} is left whole: its units can not be followed to their weights."
            )
    if notes and not found:
        names = ", ".join(layer.name for layer in flow.layers[1:-1])
        raise InputError(
            f"None of the hidden layers of the flow ({names}) can be followed to weights of this model that "
            "make its units. Pass the model that the flow was measured on; if this is it, no layer of it can "
            "be pruned."
        )
    return found, tuple(notes)


def _units(layer: Layer, wiring: Wiring) -> Unit:
    """Units of a layer; a channel stands for all its positions where each of them was measured."""
    units, positions = wiring.at[layer.name], wiring.positions.get(layer.name, 1)
    if len(layer) == len(units):
        return units
    if len(layer) == len(units) * positions:
        return np.repeat(units, positions)
    raise InputError(
        f"The flow has a layer {layer.name!r} of {len(layer)} units and the model has {len(units)} there; "
        "pass the model that the flow was measured on."
    )


def all_labels(hidden: dict[str, Unit]) -> Unit:
    """Every hidden unit once, in the order of the layers."""
    together = np.concatenate(list(hidden.values())) if hidden else np.zeros(0, dtype=np.int64)
    return together[np.sort(np.unique(together, return_index=True)[1])]
