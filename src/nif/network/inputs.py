"""Names, shapes and values of the input layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nif.core.errors import InputError
from nif.data.groups import Groups
from nif.data.rows import Rows
from nif.network.layers import Plan
from nif.network.names import feature_units
from nif.network.reduction import Reduction
from nif.network.unit_maps import UnitMap

EXACT_IN_FLOAT32 = frozenset(
    {torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16}
)


@dataclass(frozen=True, eq=False)
class InputLayers:
    """The input layers: features as the data have them, in groups, or position by position."""

    rows: Rows
    plan: Plan
    reduction: Reduction

    def names(self, given: Iterable[Any] | None) -> list[tuple[str, ...]]:
        """Names of the units of each input layer."""
        shapes = [self._unit_shape(index) for index in range(self.plan.inputs)]
        if given is not None:
            together = feature_units(given, (sum(int(np.prod(shape)) for shape in shapes),))
            ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
            return [tuple(part) for part in np.split(np.array(together, dtype=object), ends)]
        if self._groups is not None:
            return [self._groups.names]
        own = [feature_units(None, shape) for shape in shapes]
        if len(own) == 1:
            return own
        named = zip(self.rows.names, own, strict=True)
        return [tuple(f"{name}.{unit}" for unit in units) for name, units in named]

    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of the image that the units of each layer form; only inputs can have one."""
        if self._groups is not None:
            images = [self._groups.shape]
        else:
            images = [self._unit_shape(index) for index in range(self.plan.inputs)]
        hidden = len(self.plan.places) - len(images)
        return [shape if len(shape) > 1 else () for shape in images] + [()] * hidden

    def connected(self, source: int, path: UnitMap) -> Bool[np.ndarray, "source target"] | None:
        """The units of a layer that feed each target; an input has a unit for each position of a channel."""
        channels = path.connected()
        if source >= self.plan.inputs or channels is None or self._by_position(source):
            return channels
        shape = self.rows.inputs[source].shape
        index = np.arange(shape[path.axis_before]).reshape([-1] + [1] * (len(shape) - path.axis_before - 1))
        features = channels[np.broadcast_to(index, shape[1:]).ravel()]
        if self._groups is None:
            return features
        whole = np.zeros((len(self._groups.names), features.shape[1]), dtype=bool)
        np.logical_or.at(whole, self._groups.index, features)
        return whole

    def values(self) -> list[Float[np.ndarray, "sample _"]]:
        """Activations of each input layer."""
        return [self._values(index, values) for index, values in enumerate(self.rows.inputs)]

    def _values(self, index: int, values: Tensor) -> Float[np.ndarray, "sample unit"]:
        values = values.detach().to("cpu", kept_as(values.dtype))
        if self._by_position(index):
            return self.reduction(self.plan.places[index].axes.arranged(values, len(values))).numpy()
        flat = values.flatten(1)
        if self._groups is not None:
            flat = self._groups.numbers(flat)
        return self.reduction(flat).numpy()

    def _by_position(self, index: int) -> bool:
        return self.reduction.how == "positions" and self.rows.inputs[index].ndim > 2

    def _unit_shape(self, index: int) -> tuple[int, ...]:
        if self._groups is not None:
            return (len(self._groups.names),)
        if self._by_position(index):
            return (self.plan.places[index].axes.units,)
        return tuple(self.rows.inputs[index].shape[1:])

    @property
    def _groups(self) -> Groups | None:
        if self.rows.groups is not None and self._by_position(0):
            raise InputError("input_groups cannot be combined with reduce='positions'.")
        return self.rows.groups


def kept_as(dtype: torch.dtype) -> torch.dtype:
    """Half precision and whole numbers of up to 16 bits fit into float32; all other types become float64."""
    return torch.float32 if dtype in EXACT_IN_FLOAT32 else torch.float64
