"""From activations with positions, such as the pixels of a channel, to one row of units a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nif.core.errors import InputError
from nif.network.layers import Place

CHOICES = ("mean", "max", "positions")


@dataclass(frozen=True)
class Reduction:
    """The value of a unit with positions.

    Attributes:
        how: ``"mean"`` or ``"max"`` over them, or ``"positions"``: each is a sample of its own.
        grid: With ``"positions"``, the grid of the layer with fewest positions; the others are read at the
            same places, every second, third, … of theirs.
    """

    how: str = "mean"
    grid: tuple[int, ...] = ()

    @classmethod
    def of(cls, how: str, places: Sequence[Place]) -> Reduction:
        """Check the choice, and find the grid that all layers share."""
        if how not in CHOICES:
            raise InputError(
                f"reduce is {how!r}; expected {', '.join(map(repr, CHOICES[:-1]))} or 'positions'."
            )
        if how != "positions":
            return cls(how)
        spread = [place for place in places if math.prod(place.axes.grid) > 1]
        if not spread:
            return cls(how)
        coarsest = min(spread, key=lambda place: math.prod(place.axes.grid))
        for place in spread:
            _aligned(place, coarsest)
        return cls(how, coarsest.axes.grid)

    @property
    def samples_a_row(self) -> int:
        """Number of samples of one row of data."""
        return math.prod(self.grid)

    def __call__(self, values: Float[Tensor, "row unit ..."]) -> Float[Tensor, "sample unit"]:
        """One row of units for each sample.

        Example:
            >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
            >>> Reduction("max")(image), Reduction("positions", (2, 2))(image).T
            (tensor([[3.]]), tensor([[0., 1., 2., 3.]]))
        """
        if values.ndim == 2 or values.shape[2:].numel() == 1:
            flat = values.flatten(1)
            return flat if self.samples_a_row == 1 else flat.repeat_interleave(self.samples_a_row, dim=0)
        if self.how == "mean":
            return values.flatten(2).mean(dim=2)
        if self.how == "max":
            return values.flatten(2).amax(dim=2)
        for axis, length in enumerate(self.grid, start=2):
            kept = torch.arange(length, device=values.device) * (values.shape[axis] // length)
            values = values.index_select(axis, kept)
        return values.flatten(2).transpose(1, 2).flatten(0, 1)


def _aligned(place: Place, coarsest: Place) -> None:
    fine, coarse = place.axes.grid, coarsest.axes.grid
    if len(fine) != len(coarse) or any(many % few for many, few in zip(fine, coarse, strict=True)):
        shown = [f"{layer.name!r} ({'x'.join(map(str, layer.axes.grid))})" for layer in (place, coarsest)]
        raise InputError(
            f"Positions of layers {shown[0]} and {shown[1]} do not align: neither is a multiple of the "
            "other. Use reduce='mean', or other layers."
        )
