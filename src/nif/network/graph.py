"""The graph of a model: its steps in order of execution, and which reads the results of which."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.random import same_random_state
from nif.network.activations import is_own_activation, treats_numbers_apart
from nif.network.axes import Axes, axes_of
from nif.network.forward import Forward
from nif.network.operators import Effect, maps_to, operator_of
from nif.network.tracing import CALL_SEPARATOR, Tracer, traced_run
from nif.network.unit_maps import Call, UnitMap, identity, mixed, tensors_in, union

EXAMPLES = (11, 13, 17, 19)
"""Rows a model is traced with: the first of these that no axis beside that of the rows has."""

PYTHON_SCALARS = frozenset({"__bool__", "__int__", "__float__", "__index__", "item"})
"""Calls that make a Python number of a tensor, which can choose the path."""

NOTHING: frozenset[int] = frozenset()

ANY = mixed(0, None, 0)
"""The map where nothing is known of the units."""

COUNTS = frozenset({"argwhere", "masked_select", "nonzero", "unique"})
"""Calls whose results have as many rows as the data decide."""

PLACED = frozenset({
    "__setitem__", "setitem", "index_add", "index_copy", "index_put", "index_reduce", "masked_scatter",
    "scatter", "scatter_add", "scatter_reduce",
})  # fmt: skip
"""Calls that put some rows back among all."""

TO_NUMPY = frozenset({"numpy", "__array__", "tolist"})
FROM_NUMPY = frozenset({"tensor", "as_tensor", "asarray"})
"""Calls by which activations leave torch, and by which they may come back; `torch.from_numpy` is not seen."""


@dataclass(frozen=True)
class Step:
    """One call in a run of a model.

    Attributes:
        kind: Class of the module, or name of the function.
        shape: Of its result, on the few rows of the run.
        maps: For each step that wrote what this one read, which of its units come from which of theirs.
        name: Of a module or a non-linear function, as the user can ask for it; empty for other functions.
        axes: Which axis of the result is the sample and which the unit; None if no axis is the sample.
        nonlinear: Whether its result is measured unless the user chooses other layers.
        storage: Identifies the memory that holds the result.
        chosen: Whether its rows are some that the data chose.
    """

    kind: str
    shape: tuple[int, ...]
    maps: Mapping[int, UnitMap] = field(default_factory=dict)
    name: str = ""
    axes: Axes | None = None
    nonlinear: bool = False
    storage: int = 0
    chosen: bool = False

    def measured(self, path: UnitMap, axis: int | None) -> UnitMap:
        """A map to or from this step, if the units that it follows, on this axis, are those measured here."""
        unit = None if self.axes is None or self.axes.heads else self.axes.unit
        return path if unit == axis else mixed(path.axis_before, path.axis_after, path.before)


@dataclass(frozen=True)
class Graph:
    """All steps between the inputs and the output of a model.

    Attributes:
        steps: The inputs, then what was called, then the output.
        inputs: How many of the first steps are inputs.
        decided_in: Name of the step after which the data decided the path; None if the path is always one.
        writes_input: Whether the model changes its inputs in place.
        decided_by_masks: Whether no other inputs than masks decided, such as by ``mask.all()``.
    """

    steps: tuple[Step, ...]
    inputs: int
    decided_in: str | None
    writes_input: bool = False
    decided_by_masks: bool = False

    @property
    def output(self) -> int:
        """Index of the output."""
        return len(self.steps) - 1

    def leading_to_output(self) -> set[int]:
        """Steps from which a path leads to the output, itself included."""
        leading = {self.output}
        for index in range(self.output, -1, -1):
            if index in leading:
                leading.update(self.steps[index].maps)
        return leading

    def connections(self, measured: Sequence[int]) -> dict[tuple[int, int], UnitMap]:
        """Pairs of measured steps, by their place in `measured`, that a path connects past no other of them.

        With each, which of their units are connected.
        """
        pairs = {}
        for source, start in enumerate(measured):
            paths = _paths(self.steps, start, measured, self.steps[start].measured)
            for target, end in enumerate(measured):
                if end in paths:
                    path = paths[end]
                    known = path if path.unknown else self.steps[end].measured(path, path.axis_after)
                    pairs[source, target] = known
        return pairs


def _paths(
    steps: Sequence[Step],
    start: int,
    stops: Container[int] = (),
    first: Callable[[UnitMap, int], UnitMap] = lambda path, _: path,
) -> dict[int, UnitMap]:
    """The maps from one step to all later ones, past none of `stops`; `first` changes those that leave it."""
    paths: dict[int, UnitMap] = {}
    for index in range(start + 1, len(steps)):
        parts = []
        for feed, last in steps[index].maps.items():
            if feed == start:
                parts.append(first(last, last.axis_before))
            elif feed in paths and feed not in stops:
                parts.append(paths[feed].then(last))
        if parts:
            paths[index] = union(parts)
    return paths


def graph_of(call: Forward, inputs: Sequence[Tensor]) -> Graph:
    """Run a model on a few rows and follow what it does."""
    for count in EXAMPLES:
        graph = graph_on(count, call, inputs)
        if not any(step.shape[:2] == (count, count) for step in graph.steps):
            break
    return graph


def graph_on(count: int, call: Forward, inputs: Sequence[Tensor]) -> Graph:
    """What a run on this many rows shows."""
    trace = _Trace(call.model, count)
    rows = torch.arange(count) % len(inputs[0])
    examples = call.prepared([values[rows.to(values.device)] for values in inputs])
    for name, values in zip(call.names or ("input",), examples, strict=True):
        trace.read(name, values)
    masks = frozenset(place for place, name in enumerate(call.names) if "mask" in name)
    versions = [values._version for values in examples]
    with same_random_state(), traced_run(call.model, trace):
        output = call(examples)
    written = versions != [values._version for values in examples]
    trace.step("output", "output", (), output, nonlinear=False)
    if trace.steps[-1].kind != "output":
        raise InputError(
            "The output of the model does not depend on its input, or the way there is hidden, as in "
            "torch.func.vmap; there is no flow to measure."
        )
    for index, values in enumerate(examples):  # the first step that reads an input says where its units are
        trace.steps[index] = replace(trace.steps[index], axes=trace.axes_of(values))
    return Graph(
        tuple(trace.steps),
        len(examples),
        trace.decided_in,
        written,
        bool(trace.decided_by) and trace.decided_by <= masks,
    )


@dataclass(frozen=True)
class _Origin:
    """Which step has written a tensor, which of its results it is, and the state of its memory then."""

    step: int
    first: bool
    version: int


class _Trace(Tracer):
    """Writes down the steps of one run.

    What has been written is known by the tensor, while nothing has changed its memory in place, and by the
    memory it is in otherwise: views and in-place calls share it. All results stay alive until the end, so
    that no memory is used twice.
    """

    def __init__(self, model: nn.Module, rows: int) -> None:
        self.rows = rows
        self.steps: list[Step] = []
        self.decided_in: str | None = None
        self.decided_by = NOTHING
        """Inputs that the numbers depend on which can choose the path."""
        self._modules = dict(model.named_modules())
        self._writers = {_storage(values): NOTHING for values in [*model.parameters(), *model.buffers()]}
        self._origins: dict[int, _Origin] = {}
        self._versions: dict[int, int] = {}
        """Of each memory, at the end of the last call that used it."""
        self._axis: dict[int, int] = {}
        self._left = NOTHING
        self._chosen: set[int] = set()
        """Tensors of the rows that the data chose, such as those that are sent to an expert."""
        self._alive: list[Tensor] = []

    def read(self, name: str, values: Tensor) -> None:
        """An input of the model."""
        self._alive.append(values)
        self._add(Step("input", tuple(values.shape), name=name, storage=_storage(values)), [values])

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        read, written = tensors_in(given), tensors_in(returned)
        self._alive += written
        feeds = self._wrote(written) or self._wrote(read)
        if not feeds or not written:
            return
        first = written[0]
        some = id(first) in self._chosen
        axes = None if some else self.axes_of(first, heads=kind == "scaled_dot_product_attention")
        maps = (
            self._own_activation(name, read, first) or self._passed_on(written) or dict.fromkeys(feeds, ANY)
        )
        self._add(Step(kind, tuple(first.shape), maps, name, axes, nonlinear, _storage(first), some), written)

    def _passed_on(self, written: list[Tensor]) -> dict[int, UnitMap]:
        """The maps to a step from those that have written its results, the first of which are its units."""
        maps: dict[int, UnitMap] = {}
        for values in written:
            origin, axis, same = self._origin(values), self.axis_of(values), ANY
            if values is written[0] and origin is not None and origin.first and axis is not None:
                same = identity(axis, axis, values.shape[axis])
            for feed in self._wrote([values]):
                maps.setdefault(feed, same)
        return maps

    def _own_activation(self, name: str, given: list[Tensor], after: Tensor) -> dict[int, UnitMap]:
        """The map through a user's activation whose functions are not all known, if a trial finds one."""
        module = self._modules.get(name.partition(CALL_SEPARATOR)[0])
        if module is None or len(given) != 1 or not is_own_activation(module):
            return {}
        before, origin, end = given[0], self._origin(given[0]), self._origin(after)
        axis = self.axis_of(before)
        if origin is None or end is None or axis is None or before.shape != after.shape:
            return {}
        path = _paths(self.steps[: end.step + 1], origin.step).get(end.step)
        if path is None or not path.unknown or not treats_numbers_apart(module, before):
            return {}
        if id(before) in self._axis:
            self._axis[id(after)] = axis
        return {origin.step: identity(axis, axis, before.shape[axis])}

    def axes_of(self, values: Tensor, *, heads: bool = False) -> Axes | None:
        """Axes of a tensor, by the calls that led to it."""
        return axes_of(tuple(values.shape), self._axis.get(id(values)), self.rows, heads=heads)

    def axis_of(self, values: Tensor) -> int | None:
        axes = self.axes_of(values) if self._wrote([values]) else None
        return None if axes is None else axes.unit

    def called(self, call: Call) -> None:
        self._alive += call.written
        feeds = self._wrote(call.read)
        if call.name in TO_NUMPY:
            self._left |= feeds
        if call.name in FROM_NUMPY:
            feeds |= self._left
        if call.name in PYTHON_SCALARS and feeds:
            self.decided_by |= self._inputs_of(feeds)
            last = next((step.name for step in reversed(self.steps) if step.name), "input")
            self.decided_in = self.decided_in or last
        if self._chooses(call):
            self._chosen.update(map(id, call.written))
        if not feeds or operator_of(call.name).effect is Effect.CONSTANT:
            self._keep(call.written, None)
        else:
            steps = [self._step_of(call, result, feeds) for result in range(len(call.written))]
            for step, values in zip(steps, call.written, strict=True):
                self._add(step, [values])
        used = (*call.read, *call.written)
        self._versions.update({_storage(values): _version(values) for values in used})

    def _inputs_of(self, feeds: frozenset[int]) -> frozenset[int]:
        """The inputs that some steps depend on."""
        found, ahead = set(feeds), list(feeds)
        while ahead:
            new = self.steps[ahead.pop()].maps.keys() - found
            found |= new
            ahead += new
        return frozenset(index for index in found if self.steps[index].kind == "input")

    def _chooses(self, call: Call) -> bool:
        """Whether a call takes some of the rows, or goes on with them."""
        if call.name in PLACED:
            return False
        mask = any(values.dtype == torch.bool and self._wrote([values]) for values in call.read[1:])
        starts = call.name in COUNTS or (call.name == "getitem" and mask)
        starts |= call.name == "where" and len(call.args) + len(call.kwargs) == 1
        return starts or any(id(values) in self._chosen for values in call.read)

    def _step_of(self, call: Call, result: int, feeds: frozenset[int]) -> Step:
        """One result of a call, with the maps to it."""
        parts: dict[int, list[UnitMap]] = {feed: [] for feed in feeds}
        by_place = maps_to(call, result)
        self._know_axis(call, result, by_place)
        for place, values in enumerate(call.read):
            origin = self._origin(values)
            known = origin is not None and origin.first and place in by_place
            for feed in self._wrote([values]):
                parts[feed].append(by_place[place] if known else ANY)
        maps = {feed: union(several or [ANY]) for feed, several in parts.items()}
        return Step(call.name, tuple(call.written[result].shape), maps)

    def _know_axis(self, call: Call, result: int, maps: Mapping[int, UnitMap]) -> None:
        """Note the axis of the units in a result, and in what was read where only the operator says it."""
        if not maps:
            return
        operator, after = operator_of(call.name), call.written[result]
        known = [place for place in maps if id(call.read[place]) in self._axis] or list(maps)
        # Of attention the last are the values; those before weigh them.
        place = max(known) if operator.effect is Effect.MIX else min(known)
        unit_axis, before = operator.unit_axis, call.read[place]
        axis = maps[place].axis_after if id(before) in self._axis else None
        if unit_axis is not None and after.ndim > 1:
            axis = unit_axis % after.ndim
            if before.is_floating_point():  # what an embedding reads has none
                self._axis.setdefault(id(before), unit_axis % before.ndim)
        if axis is not None:
            self._axis[id(after)] = axis

    def _origin(self, values: Tensor) -> _Origin | None:
        """Where a tensor comes from, if nothing has changed its memory since."""
        origin = self._origins.get(id(values))
        same = origin is not None and origin.version == self._versions.get(_storage(values))
        return origin if same else None

    def _wrote(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        """The steps that have written some tensors."""
        steps = NOTHING
        for values in tensors:
            origin = self._origin(values)
            steps |= self._writers.get(_storage(values), self._left) if origin is None else {origin.step}
        return steps

    def _add(self, step: Step, written: Sequence[Tensor]) -> None:
        self._keep(written, len(self.steps))
        self.steps.append(step)

    def _keep(self, written: Sequence[Tensor], step: int | None) -> None:
        """Note the step that has written some tensors; None for constants."""
        writers = NOTHING if step is None else frozenset({step})
        for place, values in enumerate(written):
            memory = _storage(values)
            # A view of a part leaves what others wrote into the rest.
            others = NOTHING if _fills_its_memory(values) else self._writers.get(memory, self._left)
            self._writers[memory] = others | writers
            self._versions[memory] = _version(values)
            self._origins.pop(id(values), None)
            if step is not None:
                self._origins[id(values)] = _Origin(step, place == 0, _version(values))


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


def _version(values: Tensor) -> int:
    """How often the memory of a tensor has been changed in place."""
    try:
        return int(values._version)
    except RuntimeError:  # made in inference mode
        return 0
