"""Run a trained model on data, and keep what its layers answer."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nif.contracts import Advance, InputError, Layer, Recording
from nif.estimators.checks import FEWEST_SAMPLES
from nif.progress import progress as progress_bar
from nif.recording.arguments import Arguments, Caller
from nif.recording.graph import graph_of
from nif.recording.groups import Groups, groups
from nif.recording.naming import class_units, feature_units, first_given, numbered
from nif.recording.plan import Place, Plan, plan_of
from nif.recording.reduction import Reduction
from nif.recording.rows import BATCH, Rows, rows
from nif.recording.sklearn_models import as_torch, sklearn_names
from nif.recording.untouched import runnable, untouched
from nif.recording.watching import AGAIN, Watcher, tensors_in, watched
from nif.recording.ways import joined
from nif.recording.wrappers import unwrapped

MOST_SAMPLES = 100_000
"""Rows that are recorded of data that have more, unless the user says otherwise."""

EXACT_IN_FLOAT32 = frozenset(
    {torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16}
)

LARGEST_ACTIVATION = 2**25
"""Values that the largest activation of one batch may have; batches are small enough for that."""


def record(
    model: Any,
    data: Any,
    *,
    layers: Sequence[str] | None = None,
    feature_names: Iterable[Any] | None = None,
    class_names: Iterable[Any] | None = None,
    device: Any = None,
    output: int | str | None = None,
    reduce: str = "mean",
    input_groups: Any = None,
    max_samples: int | None = MOST_SAMPLES,
    seed: int = 0,
    progress: bool = True,
    fewest: int = FEWEST_SAMPLES,
) -> Recording:
    """Record the activations of a trained network, layer by layer, and how the layers connect.

    The layers are the inputs, the result of every non-linearity, be it a module or a function, and the
    output. They are found by following a run of the model on a few rows. The model is run in eval mode,
    without gradients, batch by batch, and left as it was found. Activations are kept as float32 where the
    model computes in no more; those of the inputs share the memory of the data where they can.

    Args:
        model: A `torch.nn.Module`, compiled, parallel or not, a skorch net, or scikit-learn's MLPClassifier
            or MLPRegressor.
        data: Inputs; 50 rows or more. See `nif.recording.rows.rows`.
        layers: Names of the modules to record instead; `nif.recording.layers` shows those of a model.
        feature_names: One name for each input, or group of inputs.
        class_names: One name for each output.
        device: Where to run a copy of the model; where the model is if None.
        output: Which output to record, of a model that returns several: its position, key or field.
        reduce: What a unit with positions, a channel of a convolution or a feature of tokens, gives for a row
            of data: their ``"mean"`` or ``"max"``, or with ``"positions"`` one sample for each, at the places
            of the layer with fewest; samples of one row are then not independent.
        input_groups: Inputs taken together; see `nif.recording.groups.groups`.
        max_samples: Rows to record of data that have more, drawn at random; None for all.
        seed: Seeds that draw.
        progress: Show a bar with the time left, in a terminal, after two seconds.
        fewest: Rows below which the data are refused; what is measured needs the 50 of the default.

    Raises:
        InputError: The model can not be run on the data, or recorded; names the module and the reason.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> found = record(net, torch.rand(50, 2))
        >>> [layer.name for layer in found.layers], found.connections
        (['input', '1', 'output'], ((0, 1), (1, 2)))
    """
    network = _network(model, device)
    found = rows(data, arguments=Arguments.of(network), max_samples=max_samples, seed=seed, progress=progress)
    _enough(found, fewest)
    of_model = sklearn_names(model)
    with untouched(network):
        call = Caller(network, found.names, output)
        plan = plan_of(graph_of(call, found.every), layers)
        reduction = Reduction.of(reduce, plan.places)
        inputs = _Inputs(found, plan, reduction, input_groups)
        names = [*inputs.names(first_given(feature_names, found.feature_names, of_model[0]))]
        kept = _Kept(plan, reduction, len(found))
        with progress_bar("recording", total=float(len(found)), shown=progress) as advance:
            _run(call, found, plan, kept, advance)
    names += [numbered(place.name, place.axes.units) for place in plan.hidden]
    names.append(class_units(first_given(class_names, of_model[1]), plan.places[-1].axes.units))
    return Recording(
        layers=tuple(
            Layer(place.name, place.kind, units, shape)
            for place, units, shape in zip(plan.places, names, inputs.shapes(), strict=True)
        ),
        activations=(*inputs.values(), *kept.arrays),
        connections=tuple(plan.connections),
        joined=tuple(inputs.joined(source, joined(found)) for (source, _), found in plan.connections.items()),
        labels=None if found.labels is None else np.repeat(found.labels, reduction.samples_a_row, axis=0),
    )


def _network(model: Any, device: Any) -> nn.Module:
    """The network to run: the user's own, or a copy of it on another device."""
    network = as_torch(unwrapped(model))
    runnable(network)
    if device is None:
        return network
    try:
        return copy.deepcopy(network).to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"The model can not be put on device {device!r}: {reason}. Try device='cpu'."
        ) from error


def _enough(found: Rows, fewest: int) -> None:
    if len(found) < fewest:
        raise InputError(
            f"The data have {len(found)} rows; mutual information needs at least {fewest}. Give more rows."
        )


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The input layers: features as the data hold them, in groups, or position by position."""

    found: Rows
    plan: Plan
    reduction: Reduction
    input_groups: Any

    def names(self, given: Iterable[Any] | None) -> list[tuple[str, ...]]:
        """Names of the units of each input layer."""
        shapes = [self._unit_shape(index) for index in range(self.plan.inputs)]
        if given is not None:
            together = feature_units(given, (sum(int(np.prod(shape)) for shape in shapes),))
            ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
            return [tuple(part) for part in np.split(np.array(together, dtype=object), ends)]
        if (grouped := self._groups()) is not None:
            return [grouped.names]
        own = [feature_units(None, shape) for shape in shapes]
        if len(own) == 1:
            return own
        named = zip(self.found.names, own, strict=True)
        return [tuple(f"{name}.{unit}" for unit in units) for name, units in named]

    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of the picture that each layer's units are; only inputs can be one."""
        if (grouped := self._groups()) is not None:
            pictures = [grouped.shape]
        else:
            pictures = [self._unit_shape(index) for index in range(self.plan.inputs)]
        hidden = len(self.plan.places) - len(pictures)
        return [shape if len(shape) > 1 else () for shape in pictures] + [()] * hidden

    def joined(
        self, source: int, channels: Bool[np.ndarray, "channel target"] | None
    ) -> Bool[np.ndarray, "source target"] | None:
        """Which units of a layer feed which targets, where it is known of its channels."""
        if source >= self.plan.inputs or channels is None or self._by_position(source):
            return channels
        shape = self.found.every[source].shape
        features = np.repeat(channels, shape[2:].numel(), axis=0)
        if (grouped := self._groups()) is None:
            return features
        whole = np.zeros((len(grouped.names), features.shape[1]), dtype=bool)
        np.logical_or.at(whole, grouped.index, features)
        return whole

    def values(self) -> list[Float[np.ndarray, "sample _"]]:
        """Activations of each input layer."""
        return [self._values(index, given) for index, given in enumerate(self.found.every)]

    def _values(self, index: int, given: Tensor) -> Float[np.ndarray, "sample unit"]:
        given = given.detach().to("cpu", kept_as(given.dtype))
        if self._by_position(index):
            return self.reduction(self.plan.places[index].axes.arranged(given, len(given))).numpy()
        flat = given.flatten(1)
        if (grouped := self._groups()) is not None:
            flat = grouped.means(flat)
        return self.reduction(flat).numpy()

    def _by_position(self, index: int) -> bool:
        return self.reduction.how == "positions" and self.found.every[index].ndim > 2

    def _unit_shape(self, index: int) -> tuple[int, ...]:
        if (grouped := self._groups()) is not None:
            return (len(grouped.names),)
        if self._by_position(index):
            return (self.plan.places[index].axes.units,)
        return tuple(self.found.every[index].shape[1:])

    def _groups(self) -> Groups | None:
        if self.input_groups is None:
            return None
        if self.plan.inputs > 1 or self._by_position(0):
            raise InputError("input_groups does not go with several inputs, nor with reduce='positions'.")
        return groups(self.input_groups, tuple(self.found.inputs.shape[1:]))


class _Kept(Watcher):
    """Keeps the activations of the planned places while the model runs."""

    def __init__(self, plan: Plan, reduction: Reduction, count: int) -> None:
        places = plan.places[plan.inputs :]
        self._sizes = [(count * reduction.samples_a_row, place.axes.units) for place in places]
        self._rooms: list[np.ndarray | None] = [None] * len(places)
        self._places = {place.step: index for index, place in enumerate(places)}
        self._all = places
        self._reduction = reduction
        self._missing: set[str] = set()
        self._first = self._rows = 0

    @property
    def arrays(self) -> list[Float[np.ndarray, "sample _"]]:
        """The activations of each place, in the precision of the model but no less than float32."""
        return [room for room in self._rooms if room is not None]

    def begin(self, first: int, count: int) -> None:
        """The next batch has these rows."""
        self._first, self._rows = first, count
        self._missing = set(self._places)

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        if name in self._missing:
            self._missing.remove(name)
            index = self._places[name]
            self._keep(index, self._all[index], tensors_in(returned)[0])

    def end(self) -> None:
        """All places must have been passed."""
        if self._missing:
            raise InputError(
                f"Layer {min(self._missing)!r} ran on some rows of the data and not on others; choose layers "
                "that always run, with layers=."
            )

    def _keep(self, index: int, place: Place, values: Tensor) -> None:
        values = place.axes.arranged(values.detach(), self._rows)
        found = self._reduction(values.to(kept_as(values.dtype)))
        room, first = self._room(index, found.dtype), self._first * self._reduction.samples_a_row
        if len(found) != self._rows * self._reduction.samples_a_row:
            raise InputError(
                f"Layer {place.name!r} has {len(found)} rows of activations for {self._rows} rows of data; "
                "leave it out, with layers=."
            )
        if found.shape[1] != room.shape[1]:
            raise InputError(
                f"Layer {place.name!r} has {room.shape[1]} units, on other rows {found.shape[1]}."
            )
        # One pass without a mask as large as the data: a sum is finite if all its terms are.
        if not (math.isfinite(found.sum().item()) or torch.isfinite(found).all()):
            raise InputError(
                f"Layer {place.name!r} has NaN or infinite activations; check the model's weights and the "
                "scale of the data."
            )
        # At once: the next call may write where these values are.
        room[first : first + len(found)] = found.cpu().numpy()

    def _room(self, index: int, dtype: torch.dtype) -> Float[np.ndarray, "sample unit"]:
        """Where the activations of a place go; made when the first come, and so of their type."""
        room = self._rooms[index]
        if room is None:
            kind = np.float32 if dtype == torch.float32 else np.float64
            room = self._rooms[index] = np.empty(self._sizes[index], dtype=kind)
        return room


def kept_as(dtype: torch.dtype) -> torch.dtype:
    """Half precision and whole numbers of up to 16 bits fit into float32; all other types become float64.

    Example:
        >>> kept_as(torch.bfloat16), kept_as(torch.uint8), kept_as(torch.int64)
        (torch.float32, torch.float32, torch.float64)
    """
    return torch.float32 if dtype in EXACT_IN_FLOAT32 else torch.float64


def _run(call: Caller, found: Rows, plan: Plan, kept: _Kept, advance: Advance) -> None:
    size = max(1, min(BATCH, LARGEST_ACTIVATION // max(1, plan.largest)))
    names = {place.step.partition(AGAIN)[0] for place in plan.hidden}
    modules = {name for name, _ in call.model.named_modules()}
    with watched(call.model, kept, only=names if names <= modules else None):
        for first in range(0, len(found), size):
            batch = call.prepared([values[first : first + size] for values in found.every])
            if plan.writes_input:
                batch = [values.clone() for values in batch]
            kept.begin(first, len(batch[0]))
            kept.step("output", "output", (), call(batch), nonlinear=False)
            kept.end()
            advance(float(len(batch[0])))
