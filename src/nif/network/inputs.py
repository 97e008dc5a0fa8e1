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
from nif.data.groups import Groups, groups
from nif.data.rows import Rows
from nif.network.layers import Plan
from nif.network.names import feature_units
from nif.network.reduction import Reduction
from nif.network.unit_maps import UnitMap

EXACT_IN_FLOAT32 = frozenset(
    {torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16}
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

    def joined(self, source: int, path: UnitMap) -> Bool[np.ndarray, "source target"] | None:
        """Which units of a layer feed which targets; inputs have a unit for each position of a channel."""
        channels = path.connected()
        if source >= self.plan.inputs or channels is None or self._by_position(source):
            return channels
        shape = self.found.every[source].shape
        index = np.arange(shape[path.axis_before]).reshape([-1] + [1] * (len(shape) - path.axis_before - 1))
        features = channels[np.broadcast_to(index, shape[1:]).ravel()]
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


def kept_as(dtype: torch.dtype) -> torch.dtype:
    """Half precision and whole numbers of up to 16 bits fit into float32; all other types become float64.

    Example:
        >>> kept_as(torch.bfloat16), kept_as(torch.uint8), kept_as(torch.int64)
        (torch.float32, torch.float32, torch.float64)
    """
    return torch.float32 if dtype in EXACT_IN_FLOAT32 else torch.float64
