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

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.core.types import FEWEST_SAMPLES, Advance, Layer
from nif.data.rows import BATCH, Rows, rows
from nif.data.signature import Signature
from nif.network.adapters import as_torch, sklearn_names, unwrapped
from nif.network.forward import Forward
from nif.network.graph import graph_of
from nif.network.inputs import _Inputs, kept_as
from nif.network.layers import Place, Plan, plan_of
from nif.network.names import class_units, first_given, numbered
from nif.network.preserve import check_supported, preserved
from nif.network.reduction import Reduction
from nif.network.tracing import CALL_SEPARATOR, Tracer, traced_run
from nif.network.unit_maps import tensors_in

MOST_SAMPLES = 100_000
"""Rows that are recorded of data that have more, unless the user says otherwise."""


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
        data: Inputs; 50 rows or more. See `nif.data.rows.rows`.
        layers: Names of the modules to record instead; `nif.network.layers.layers` shows those of a model.
        feature_names: One name for each input, or group of inputs.
        class_names: One name for each output.
        device: Where to run a copy of the model; where the model is if None.
        output: Which output to record, of a model that returns several: its position, key or field.
        reduce: What a unit with positions, a channel of a convolution or a feature of tokens, gives for a row
            of data: their ``"mean"`` or ``"max"``, or with ``"positions"`` one sample for each, at the places
            of the layer with fewest; samples of one row are then not independent.
        input_groups: Inputs taken together; see `nif.data.groups.groups`.
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
    found = rows(data, arguments=Signature.of(network), max_samples=max_samples, seed=seed, progress=progress)
    _enough(found, fewest)
    of_model = sklearn_names(model)
    with preserved(network):
        call = Forward(network, found.names, output)
        plan = plan_of(graph_of(call, found.every), layers)
        reduction = Reduction.of(reduce, plan.places)
        inputs = _Inputs(found, plan, reduction, input_groups)
        names = [*inputs.names(first_given(feature_names, found.feature_names, of_model[0]))]
        kept = _ActivationBuffers(plan, reduction, len(found))
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
        joined=tuple(inputs.joined(source, path) for (source, _), path in plan.connections.items()),
        labels=None if found.labels is None else np.repeat(found.labels, reduction.samples_a_row, axis=0),
    )


def _network(model: Any, device: Any) -> nn.Module:
    """The network to run: the user's own, or a copy of it on another device."""
    network = as_torch(unwrapped(model))
    check_supported(network)
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


class _ActivationBuffers(Tracer):
    """Keeps the activations of the planned places while the model runs."""

    def __init__(self, plan: Plan, reduction: Reduction, count: int) -> None:
        places = plan.places[plan.inputs :]
        self._sizes = [(count * reduction.samples_a_row, place.axes.units) for place in places]
        self._buffers: list[np.ndarray | None] = [None] * len(places)
        self._places = {place.step: index for index, place in enumerate(places)}
        self._all = places
        self._reduction = reduction
        self._missing: set[str] = set()
        self._first = self._rows = 0

    @property
    def arrays(self) -> list[Float[np.ndarray, "sample _"]]:
        """The activations of each place, in the precision of the model but no less than float32."""
        return [room for room in self._buffers if room is not None]

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
        room, first = self._buffer(index, found.dtype), self._first * self._reduction.samples_a_row
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

    def _buffer(self, index: int, dtype: torch.dtype) -> Float[np.ndarray, "sample unit"]:
        """Where the activations of a place go; made when the first come, and so of their type."""
        room = self._buffers[index]
        if room is None:
            kind = np.float32 if dtype == torch.float32 else np.float64
            room = self._buffers[index] = np.empty(self._sizes[index], dtype=kind)
        return room


def _run(call: Forward, found: Rows, plan: Plan, kept: _ActivationBuffers, advance: Advance) -> None:
    size = max(1, min(BATCH, LARGEST_ACTIVATION // max(1, plan.largest)))
    names = {place.step.partition(CALL_SEPARATOR)[0] for place in plan.hidden}
    modules = {name for name, _ in call.model.named_modules()}
    with traced_run(call.model, kept, only=names if names <= modules else None):
        for first in range(0, len(found), size):
            batch = call.prepared([values[first : first + size] for values in found.every])
            if plan.writes_input:
                batch = [values.clone() for values in batch]
            kept.begin(first, len(batch[0]))
            kept.step("output", "output", (), call(batch), nonlinear=False)
            kept.end()
            advance(float(len(batch[0])))


@dataclass(frozen=True, eq=False)
class Recording:
    """The activations of a trained network on data, layer by layer.

    Attributes:
        layers: Input, hidden layers, output, in order of execution.
        activations: One array for each layer.
        connections: ``(source, target)`` indices of the layers that feed one another directly.
        labels: The labels that came with the data, when it yielded ``(x, y)``.
        joined: For each connection, which units a path joins; None where all are. Empty: all in every one.
    """

    layers: tuple[Layer, ...]
    activations: tuple[Float[np.ndarray, "sample _"], ...]
    connections: tuple[tuple[int, int], ...]
    labels: np.ndarray | None = None
    joined: tuple[Bool[np.ndarray, "source target"] | None, ...] = ()

    def joined_between(self, source: int, target: int) -> Bool[np.ndarray, "source target"] | None:
        """Which units of two connected layers a path joins; None where all are."""
        return self.joined[self.connections.index((source, target))] if self.joined else None

    @property
    def not_joined(self) -> int:
        """Pairs of units of connected layers that no path joins."""
        return sum(int((~flags).sum()) for flags in self.joined if flags is not None)

    @property
    def samples(self) -> int:
        """Rows of data that were recorded."""
        return len(self.activations[0])

    def constant(self) -> tuple[Bool[np.ndarray, " _"], ...]:
        """Which units of each layer had one value on all the data."""
        return tuple(np.ptp(values, axis=0) == 0 for values in self.activations)
