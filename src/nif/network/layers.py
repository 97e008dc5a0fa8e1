"""The choice of layers: which steps are recorded, under which names, and which feeds which."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from nif.core.errors import InputError, unknown
from nif.network.axes import Axes
from nif.network.between_weights import bends_between, between_weights
from nif.network.graph import Graph, Step
from nif.network.last_state import LastState
from nif.network.operators import operator_of
from nif.network.tracing import CALL_SEPARATOR
from nif.network.unit_maps import UnitMap, tensors_in

MOST_NAMES = 5
"""Unknown operators that a warning names."""


@dataclass(frozen=True)
class Place:
    """A step whose result is recorded, as the layer of this name; its shape is without the sample.

    Of a recurrent module of which only the last state is read, that is the result.
    """

    name: str
    kind: str
    axes: Axes
    shape: tuple[int, ...]
    state: LastState | None = None

    def result(self, returned: Any) -> Tensor:
        """The activation, from what the step returned."""
        return tensors_in(returned)[0] if self.state is None else self.state.of(returned)


@dataclass(frozen=True)
class Plan:
    """All places, in order of execution, inputs first and the output last.

    Attributes:
        places: One for each layer.
        inputs: How many of the first are inputs.
        connections: Pairs of places where the first feeds the second past no other, and which of their units
            are connected.
        largest: Values a row takes in the largest activation of the model.
        writes_input: Whether the model changes its inputs in place; it must then be given copies.
        left_out: Names of non-linearities that lead to the output and are not measured, as their rows are not
            those of the data.
    """

    places: tuple[Place, ...]
    inputs: int
    connections: dict[tuple[int, int], UnitMap]
    largest: int
    writes_input: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def hidden(self) -> tuple[Place, ...]:
        """The places between inputs and output."""
        return self.places[self.inputs : -1]


def plan_of(
    graph: Graph,
    layers: Sequence[str] | None = None,
    without: Collection[str] = (),
    states: Mapping[str, LastState | None] = MappingProxyType({}),
) -> Plan:
    """Choose the steps to record: all non-linearities, or those named, without those of some names.

    Args:
        graph: Of the model.
        layers: Names of the steps; all non-linearities if None.
        without: Names of those that are left out.
        states: Recurrent modules, which are layers too, and what is read of them; None for all steps.

    Raises:
        InputError: A name does not exist, did not run, or does not lead to the output.
    """
    if graph.decided_in is not None:
        warnings.warn(
            f"The model chooses its path by the data (after {graph.decided_in!r} a tensor became a Python "
            "number), so no graph holds for all data: layers are those that hooks saw in one run, in order "
            "of execution.",
            stacklevel=3,
        )
    chosen = _by_default(graph, states) if layers is None else _by_name(graph, layers)
    chosen = [step for step in chosen if graph.steps[step].name not in without]
    steps = [*range(graph.inputs), *chosen, graph.output]
    places = tuple(_place(graph, step, states.get(graph.steps[step].name)) for step in steps)
    connections = graph.connections(steps)
    _warn_of_unknown(connections.values())
    largest = max(math.prod(step.shape[1:]) for step in graph.steps if step.name)
    left_out = (*without, *_without_rows(graph)) if layers is None else tuple(without)
    if layers is None and not (chosen or left_out):
        _warn_of_none(graph)
    return Plan(places, graph.inputs, connections, largest, graph.writes_input, left_out)


def _warn_of_unknown(paths: Iterable[UnitMap]) -> None:
    """Name the operators because of which links may stand where no path is."""
    names = sorted({name for path in paths for name in path.unknown})
    if names:
        shown = ", ".join(repr(name) for name in names[:MOST_NAMES]) + ", …" * (len(names) > MOST_NAMES)
        warnings.warn(
            f"What {shown} does to units is not known: all units before and behind it are linked.",
            stacklevel=4,
        )


def _by_default(graph: Graph, states: Collection[str]) -> list[int]:
    inside = _inside(graph)
    steps = graph.steps
    chosen = [index for index in inside if steps[index].nonlinear or steps[index].name in states]
    return sorted([*chosen, *(index for index in between_weights(graph, chosen) if index in inside)])


def _inside(graph: Graph) -> list[int]:
    """The named steps between inputs and output whose rows are those of the data."""
    leading = graph.leading_to_output()
    return [
        index
        for index in range(graph.inputs, graph.output)
        if index in leading
        and (step := graph.steps[index]).name
        and step.axes is not None
        and not _is_output(graph, step)
    ]


def _warn_of_none(graph: Graph) -> None:
    """Name the steps that may be layers, where none was found and something bends between weights."""
    steps = [graph.steps[index] for index in _inside(graph)]
    names = [step.name for step in steps if not operator_of(step.kind).bends]
    if names and bends_between(graph):
        shown = ", ".join(map(repr, names[:MOST_NAMES])) + ", …" * (len(names) > MOST_NAMES)
        warnings.warn(
            "No layer between the inputs and the output is measured, as no known activation ran there. What "
            f"flows to the output is right; to see units on the way, pass layers= with some of: {shown}.",
            stacklevel=4,
        )


def _without_rows(graph: Graph) -> list[str]:
    """Names of the non-linearities on rows that the data chose; warns of them."""
    leading = graph.leading_to_output()
    names = [
        step.name
        for index, step in enumerate(graph.steps)
        if step.nonlinear and step.chosen and index in leading
    ]
    if names:
        shown = ", ".join(map(repr, names[:MOST_NAMES])) + ", …" * (len(names) > MOST_NAMES)
        warnings.warn(
            f"Not measured as layers: {shown}. Their rows are not those of the data, such as those of an "
            "expert to which only some are sent; what flows through them is part of the links past them.",
            stacklevel=5,
        )
    return names


def _by_name(graph: Graph, layers: Sequence[str]) -> list[int]:
    layers = [layers] if isinstance(layers, str) else [str(name) for name in layers]
    inside = range(graph.inputs, graph.output)
    known = {graph.steps[index].name: index for index in inside if graph.steps[index].name}
    chosen: set[int] = set()
    for name in layers:
        any_call = re.compile(rf"{re.escape(name)}({CALL_SEPARATOR}\d+)?")
        calls = [index for step, index in known.items() if any_call.fullmatch(step)]
        if not calls:
            raise unknown("layer", name, known)
        chosen.update(calls)
    leading = graph.leading_to_output()
    for index in chosen:
        step = graph.steps[index]
        if index not in leading:
            raise InputError(
                f"Layer {step.name!r} does not lead to the model's output; remove it from layers=."
            )
        if step.axes is None:
            raise InputError(
                f"Layer {step.name!r} has activations of shape {list(step.shape)}, in which no axis is the "
                "rows of the data; remove it from layers=."
            )
    return sorted(index for index in chosen if not _is_output(graph, graph.steps[index]))


def _is_output(graph: Graph, step: Step) -> bool:
    """Whether the result of a step is the model's output, perhaps in another shape."""
    last = graph.steps[graph.output]
    return step.storage == last.storage and math.prod(step.shape) == math.prod(last.shape)


def _place(graph: Graph, index: int, state: LastState | None) -> Place:
    step = graph.steps[index]
    name, kind = step.name, step.kind
    if index < graph.inputs and graph.inputs > 1:
        name = f"input.{name}"
    elif index < graph.inputs:
        name = "input"
    elif index == graph.output:
        # Of several modules around one another, the innermost has written it and comes first.
        kind = next((other.kind for other in graph.steps if other.name and _is_output(graph, other)), kind)
    if step.axes is None:
        raise InputError(
            f"The {name} of the model has shape {list(step.shape)} on {graph.steps[0].shape[0]} rows of "
            "data; expected one axis to be the rows."
        )
    shape = tuple(length for axis, length in enumerate(step.shape) if axis != step.axes.sample)
    return Place(name, kind, step.axes, shape if state is None else (state.units,), state)
