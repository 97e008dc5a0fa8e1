"""The graph of a model: its steps in order of execution, and which reads what another has written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.core.random import same_random_state
from nif.network.axes import Axes, axes_of, unit_axis
from nif.network.forward import Forward
from nif.network.tracing import Tracer, tensors_in, traced_run
from nif.network.unit_maps import Way, both, either, same, units_of, way

EXAMPLES = (11, 13, 17, 19)
"""Rows a model is traced with: the first of these that no axis beside that of the rows has."""


PYTHON_SCALARS = frozenset({"__bool__", "__int__", "__float__", "__index__", "item"})
"""Calls that make a Python number of a tensor, which can choose the path."""


NOTHING: frozenset[int] = frozenset()


TO_NUMPY = frozenset({"numpy", "__array__", "tolist"})


FROM_NUMPY = frozenset({"tensor", "as_tensor", "asarray"})
"""Calls by which activations leave torch, and by which they may come back; `torch.from_numpy` is not seen."""


@dataclass(frozen=True)
class Step:
    """One call in a run of a model.

    Attributes:
        name: Of a module or a non-linear function, as the user can ask for it; empty for other functions.
        kind: Class of the module, or name of the function.
        feeds: Indices of the steps that wrote what this one read.
        shape: Of its result, on the few rows of the run.
        axes: Which axis of the result is the sample and which the unit; None if no axis is the sample.
        nonlinear: Whether its result is measured unless the user chooses other layers.
        storage: Identifies the memory that holds the result.
        ways: For each step it was fed by, which of its units come from which of theirs.
    """

    name: str
    kind: str
    feeds: frozenset[int]
    shape: tuple[int, ...]
    axes: Axes | None
    nonlinear: bool
    storage: int
    ways: Mapping[int, Way] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """All steps between the inputs and the output of a model.

    Attributes:
        steps: The inputs, then what was called, then the output.
        inputs: How many of the first steps are inputs.
        decided_in: Name of the step after which the data decided the path; None if the path is always one.
        writes_input: Whether the model changes its inputs in place.
    """

    steps: tuple[Step, ...]
    inputs: int
    decided_in: str | None
    writes_input: bool = False

    @property
    def output(self) -> int:
        """Index of the output."""
        return len(self.steps) - 1

    def leading_to_output(self) -> set[int]:
        """Steps from which a path leads to the output, itself included."""
        found = {self.output}
        for index in range(self.output, -1, -1):
            if index in found:
                found |= self.steps[index].feeds
        return found

    def connections(self, measured: Sequence[int]) -> dict[tuple[int, int], Way]:
        """Pairs of measured steps, by their place in `measured`, that a path joins past no other of them.

        With each, which of their units are joined.
        """
        place = {step: index for index, step in enumerate(measured)}
        nearest: list[dict[int, Way]] = []
        for step in self.steps:
            found: dict[int, list[Way]] = {}
            for feed in step.feeds:
                last = step.ways.get(feed)
                if feed in place:
                    found.setdefault(place[feed], []).append(last)
                else:
                    for near, before in nearest[feed].items():
                        found.setdefault(near, []).append(both(before, last))
            nearest.append({near: either(ways) for near, ways in found.items()})
        return dict(
            sorted(
                ((source, place[step]), found) for step in measured for source, found in nearest[step].items()
            )
        )


def graph_of(call: Forward, inputs: Sequence[Tensor]) -> Graph:
    """Run a model on a few rows and follow what it does.

    Raises:
        InputError: The model does not take the inputs, or its output does not depend on them.
    """
    for count in EXAMPLES:
        found = _graph_on(count, call, inputs)
        if not any(step.shape[:2] == (count, count) for step in found.steps):
            break
    return found


def _graph_on(count: int, call: Forward, inputs: Sequence[Tensor]) -> Graph:
    """What a run on this many rows shows."""
    trace = _Trace([*call.model.parameters(), *call.model.buffers()], count)
    rows = torch.arange(count) % len(inputs[0])
    examples = call.prepared([values[rows.to(values.device)] for values in inputs])
    for name, values in zip(call.names or ("input",), examples, strict=True):
        trace.read(name, values)
    versions = [values._version for values in examples]
    with same_random_state(), traced_run(call.model, trace):
        output = call(examples)
    written = versions != [values._version for values in examples]
    trace.step("output", "output", (), output, nonlinear=False)
    if trace.steps[-1].kind != "output":
        raise InputError("The output of the model does not depend on its input; there is no flow to measure.")
    steps = tuple(trace.with_input_axes(len(examples)))
    return Graph(steps, len(examples), trace.decided_in, written)


class _Trace(Tracer):
    """Writes down the steps of one run.

    What has been written is known by the memory it is in: views and in-place calls share it. All results
    stay alive until the end, so that no memory is used twice.
    """

    def __init__(self, weights: Iterable[Tensor], rows: int) -> None:
        self.rows = rows
        self.steps: list[Step] = []
        self.decided_in: str | None = None
        self._writers = {_storage(values): NOTHING for values in weights}
        self._axis: dict[int, int] = {}
        self._alive: list[Any] = []
        self._left = NOTHING

    def read(self, name: str, values: Tensor) -> None:
        """An input of the model."""
        self._add(
            Step(name, "input", frozenset(), tuple(values.shape), None, False, _storage(values)), [values]
        )

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        written = tensors_in(returned)
        feeds = self._wrote(written) or self._wrote(tensors_in(given))
        if not feeds or not written:
            return
        first = written[0]
        axis = self._axis.get(id(first))
        found = axes_of(tuple(first.shape), axis, self.rows, heads=kind == "scaled_dot_product_attention")
        ways = {} if self._units(first) is None else {feed: self._same(feed, first) for feed in feeds}
        step = Step(name, kind, feeds, tuple(first.shape), found, nonlinear, _storage(first), ways)
        self._add(step, written)

    def function(self, name: str, given: Any, returned: Any) -> None:
        read = tensors_in(given)
        written = tensors_in(returned) or (read[:1] if name == "__setitem__" else [])
        feeds = self._wrote(read)
        if name in TO_NUMPY:
            self._left |= feeds
        if name in FROM_NUMPY:
            feeds |= self._left
        if name in PYTHON_SCALARS and feeds and self.decided_in is None:
            self.decided_in = self._last_name()
        if not feeds:
            self._keep(written, NOTHING)
        if not written or not feeds:
            return
        self._know_axes(name, given, read, written)
        shape = tuple(written[0].shape) if len(written) == 1 else ()
        ways = self._ways(name, given, read, written)
        self._add(Step("", name, feeds, shape, None, False, 0, ways), written)

    def _know_axes(self, name: str, given: Any, read: list[Tensor], written: list[Tensor]) -> None:
        before = next((values for values in read if self._wrote([values])), written[0])
        for values in written:
            axis, of_input = unit_axis(name, given, before, self._axis.get(id(before)), values)
            if axis is not None:
                self._axis[id(values)] = axis
            if of_input is not None:
                self._axis.setdefault(id(before), of_input)

    def _units(self, values: Tensor) -> int | None:
        return units_of(values.shape, self._axis.get(id(values)), self.rows)

    def _same(self, feed: int, values: Tensor) -> Way:
        """The same values under another name; None if they are not those that the step has written."""
        units = self._units(values)
        return None if units is None or self.steps[feed].shape != tuple(values.shape) else same(units)

    def _ways(self, name: str, given: Any, read: list[Tensor], written: list[Tensor]) -> dict[int, Way]:
        """Which units come from which; nothing is said of a step where not all is known."""
        units = [self._units(values) for values in read]
        if len(written) != 1 or self._units(written[0]) is None or name == "__setitem__":
            return {}
        found: dict[int, list[Way]] = {}
        for place, values in enumerate(read):
            for feed in (writers := self._wrote([values])):
                known = len(writers) == 1 and None not in units[: place + 1]
                known = known and self.steps[feed].shape == tuple(values.shape)
                counts = [count or 0 for count in units]
                step = way(name, given, place, read, counts, written[0]) if known else None
                found.setdefault(feed, []).append(step)
        return {feed: either(ways) for feed, ways in found.items()}

    def _wrote(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        return NOTHING.union(*(self._writers.get(_storage(values), self._left) for values in tensors))

    def _add(self, step: Step, written: list[Tensor]) -> None:
        self._keep(written, frozenset({len(self.steps)}))
        self.steps.append(step)

    def _keep(self, written: Iterable[Tensor], writers: frozenset[int]) -> None:
        for values in written:
            self._alive.append(values)
            # A view of a part leaves what others wrote into the rest.
            others = NOTHING if _fills_its_memory(values) else self._wrote([values])
            self._writers[_storage(values)] = others | writers

    def _last_name(self) -> str:
        return next((step.name for step in reversed(self.steps) if step.name), "input")

    def with_input_axes(self, count: int) -> list[Step]:
        """The steps, with the axes of the inputs as the first step that reads each says."""
        inputs = [
            replace(step, axes=axes_of(step.shape, self._axis.get(id(values)), self.rows))
            for step, values in zip(self.steps[:count], self._alive[:count], strict=True)
        ]
        return [*inputs, *self.steps[count:]]


def _storage(values: Tensor) -> int:
    try:
        return int(values.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse tensors have no storage of their own
        return id(values)


def _fills_its_memory(values: Tensor) -> bool:
    try:
        return values.numel() * values.element_size() >= values.untyped_storage().nbytes()
    except (NotImplementedError, RuntimeError):
        return True
