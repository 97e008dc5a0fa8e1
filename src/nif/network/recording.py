"""Record the activations of a trained model on data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nif.core.errors import InputError
from nif.core.progress import progress as progress_bar
from nif.core.types import FEWEST_SAMPLES, Advance, ignore
from nif.data.rows import BATCH, Rows, read
from nif.network.forward import Forward
from nif.network.inputs import kept_as
from nif.network.layers import Place, Plan
from nif.network.network import Architecture, Network
from nif.network.preserve import preserved
from nif.network.reduction import Reduction
from nif.network.tracing import CALL_SEPARATOR, Tracer, traced_run

MOST_SAMPLES = 100_000
"""Rows that are recorded of data that have more, unless the user chooses another number."""

LARGEST_ACTIVATION = 2**25
"""Values that the largest activation of one batch may have; batches are small enough for that."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording(Architecture):
    """The activations of a trained network on data, layer by layer.

    Attributes:
        activations: One array for each layer.
        labels: One for each sample, if the data have labels.
    """

    activations: tuple[Float[np.ndarray, "sample _"], ...]
    labels: np.ndarray | None = None

    @classmethod
    def of(
        cls, network: Network, rows: Rows, *, advance: Advance = ignore, fewest: int = FEWEST_SAMPLES
    ) -> Recording:
        """Run a network on rows, batch by batch, in eval mode and without gradients; it is left as it was.

        Activations are kept as float32 if the model computes in no higher precision. Those of the inputs
        share the memory of the data if they can.

        Raises:
            InputError: Too few rows, or activations that are infinite or do not belong to rows.
        """
        plan, architecture, inputs = network.plan(rows), network.architecture(rows), network.inputs(rows)
        if len(rows) < fewest and not (len(rows) == 1 and inputs.reduction.samples_a_row >= fewest):
            raise InputError(
                f"The data have {len(rows)} rows; mutual information needs at least {fewest}. Pass more rows."
            )
        buffers = _ActivationBuffers(plan, inputs.reduction, len(rows))
        with preserved(network.module):
            _run(network.forward(rows), rows, plan, buffers, advance)
        labels = rows.labels
        return cls(
            architecture.layers,
            architecture.connections,
            architecture.connected,
            activations=(*inputs.values(), *buffers.arrays),
            labels=None if labels is None else np.repeat(labels, inputs.reduction.samples_a_row, axis=0),
        )

    @property
    def samples(self) -> int:
        """Number of samples: rows of data, or their positions."""
        return len(self.activations[0])

    def constant(self) -> tuple[Bool[np.ndarray, " _"], ...]:
        """Whether each unit of each layer has one value on all the data."""
        return tuple(np.ptp(values, axis=0) == 0 for values in self.activations)


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

    The options are those of `nif.measure`; data of fewer than `fewest` rows are refused.

    Raises:
        InputError: The model fails on the data, or cannot be recorded; names the module and the reason.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> recording = record(net, torch.rand(50, 2))
        >>> [layer.name for layer in recording.layers], recording.connections
        (['input', '1', 'output'], ((0, 1), (1, 2)))
    """
    network = Network.of(
        model, layers=layers, output=output, reduce=reduce, device=device, class_names=class_names
    )
    rows = read(
        data,
        network.signature,
        max_samples=max_samples,
        seed=seed,
        feature_names=feature_names,
        input_groups=input_groups,
        progress=progress,
    )
    with progress_bar("recording", total=float(len(rows)), shown=progress) as advance:
        return Recording.of(network, rows, advance=advance, fewest=fewest)


class _ActivationBuffers(Tracer):
    """Keeps the activations of the planned places while the model runs."""

    def __init__(self, plan: Plan, reduction: Reduction, count: int) -> None:
        self._places = {place.name: place for place in plan.places[plan.inputs :]}
        self._buffers: dict[str, np.ndarray] = {}
        self._reduction = reduction
        self._samples = count * reduction.samples_a_row
        self._missing: set[str] = set()
        self._first = self._rows = 0

    @property
    def arrays(self) -> list[Float[np.ndarray, "sample _"]]:
        """The activations of each place, in the precision of the model but no less than float32."""
        return [self._buffers[name] for name in self._places]

    def begin(self, first: int, count: int) -> None:
        """The next batch has these rows."""
        self._first, self._rows = first, count
        self._missing = set(self._places)

    def step(self, name: str, kind: str, given: Any, returned: Any, *, nonlinear: bool) -> None:
        if name in self._missing:
            self._missing.remove(name)
            self._keep(self._places[name], self._places[name].result(returned))

    def end(self) -> None:
        """All places must have been passed."""
        if self._missing:
            raise InputError(
                f"Layer {min(self._missing)!r} ran on some rows of the data and not on others; choose layers "
                "that always run, with layers=."
            )

    def _keep(self, place: Place, values: Tensor) -> None:
        values = place.axes.arranged(values.detach(), self._rows)
        units = self._reduction(values.to(kept_as(values.dtype)))
        buffer, first = self._buffer(place, units.dtype), self._first * self._reduction.samples_a_row
        if len(units) != self._rows * self._reduction.samples_a_row:
            raise InputError(
                f"Layer {place.name!r} returned {len(units)} rows for {self._rows} rows of data; exclude "
                "it with layers=."
            )
        if units.shape[1] != buffer.shape[1]:
            raise InputError(
                f"Layer {place.name!r} has {buffer.shape[1]} units on some rows and {units.shape[1]} on "
                "others; exclude it with layers=."
            )
        # One pass without a mask as large as the data: a sum is finite if all its terms are.
        if not (math.isfinite(units.sum().item()) or torch.isfinite(units).all()):
            raise InputError(
                f"Layer {place.name!r} has NaN or infinite activations; check the model's weights and the "
                "scale of the data."
            )
        # At once: the next call may write where these values are.
        buffer[first : first + len(units)] = units.cpu().numpy()

    def _buffer(self, place: Place, dtype: torch.dtype) -> Float[np.ndarray, "sample unit"]:
        """The array of a place; allocated with the first values, in their type."""
        if place.name not in self._buffers:
            kind = np.float32 if dtype == torch.float32 else np.float64
            self._buffers[place.name] = np.empty((self._samples, place.axes.units), dtype=kind)
        return self._buffers[place.name]


def _run(call: Forward, rows: Rows, plan: Plan, buffers: _ActivationBuffers, advance: Advance) -> None:
    size = max(1, min(BATCH, LARGEST_ACTIVATION // max(1, plan.largest)))
    names = {place.name.partition(CALL_SEPARATOR)[0] for place in plan.hidden}
    modules = {name for name, _ in call.model.named_modules()}
    with traced_run(call.model, buffers, only=names if names <= modules else None):
        for first in range(0, len(rows), size):
            batch = call.prepared([values[first : first + size] for values in rows.inputs])
            if plan.writes_input:
                batch = [values.clone() for values in batch]
            buffers.begin(first, len(batch[0]))
            buffers.step("output", "output", (), call(batch), nonlinear=False)
            buffers.end()
            advance(float(len(batch[0])))
