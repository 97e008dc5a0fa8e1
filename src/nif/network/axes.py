"""Which axis of an activation is the sample, which the unit; all others are positions."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class Axes:
    """How to read an activation.

    Attributes:
        sample: The axis whose length is the number of rows.
        merged: Rows are `merged` times as many there, because positions were folded into them.
        unit: The axis of the units; None for one value a row.
        heads: Attention heads, on axis 1, are units together with the last axis.
        grid: Lengths of the other axes.
        units: Length of the axis of the units.
        blocks: Whether merged positions stand block by block, each with all rows, and not row by row.
    """

    sample: int
    merged: int
    unit: int | None
    heads: bool
    grid: tuple[int, ...]
    units: int
    blocks: bool = False

    def arranged(self, values: Shaped[Tensor, "..."], rows: int) -> Shaped[Tensor, "row unit ..."]:
        """The activation with the sample first, the unit second, then the positions.

        Example:
            >>> import torch
            >>> tokens = axes_of((7, 4, 3), None, rows=7)
            >>> tokens.arranged(torch.zeros(5, 4, 3), rows=5).shape
            torch.Size([5, 3, 4])
        """
        if self.heads:
            values = values.transpose(1, 2).flatten(2)
        values = values.movedim(self.sample, 0)
        unit = self.unit
        if unit is not None and unit < self.sample:
            unit += 1
        if self.merged > 1:
            if self.blocks:
                values = values.reshape(self.merged, rows, *values.shape[1:]).transpose(0, 1)
            else:
                values = values.reshape(rows, self.merged, *values.shape[1:])
            unit = None if unit is None else unit + 1
        return values.unsqueeze(1) if unit is None else values.movedim(unit, 1)


def axes_of(shape: tuple[int, ...], unit: int | None, rows: int, *, heads: bool = False) -> Axes | None:
    """Axes of an activation of this shape, on this many rows; None if no axis is the sample.

    Args:
        shape: Of the activation.
        unit: The axis of the units, where the calls that led to it say so. Otherwise it is axis 1 of two
            and of four or more axes, and the last of three.
        rows: Rows of data that were run.
        heads: The axes are those of attention by heads, ``[sample, head, token, dim]``.

    Example:
        >>> axes_of((7, 16, 5, 5), None, rows=7).grid
        (5, 5)
    """
    if heads and len(shape) == 4:
        batch, count, tokens, size = shape
        shape, unit = (batch, tokens, count * size), 2
    else:
        heads = False
    sample = next((axis for axis in (0, 1) if axis < len(shape) and shape[axis] == rows), None)
    merged = 1
    if sample is None and shape and shape[0] and shape[0] % rows == 0:
        sample, merged = 0, shape[0] // rows
    if sample is None:
        return None
    if len(shape) == 1:
        return Axes(0, merged, None, heads, (merged,) * (merged > 1), 1)
    unit = _unit(len(shape), unit, sample)
    others = [length for axis, length in enumerate(shape) if axis not in (sample, unit)]
    return Axes(sample, merged, unit, heads, (*(merged,) * (merged > 1), *others), shape[unit])


def _unit(dims: int, known: int | None, sample: int) -> int:
    if known is not None and known < dims and known != sample:
        return known
    if dims == 2:
        return 1 - sample
    return dims - 1 if dims == 3 or sample == 1 else 1


def inherited(before: Tensor, known: int, after: Tensor) -> int | None:
    """The axis of the units behind any function: it keeps its place where its length stays."""
    if known < after.ndim and after.shape[known] == before.shape[known]:
        return known
    if known == before.ndim - 1 and after.ndim and after.shape[-1] == before.shape[-1]:
        return after.ndim - 1
    return known if after.ndim == before.ndim else None
