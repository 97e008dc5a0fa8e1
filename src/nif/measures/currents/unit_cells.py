"""The units that the currents of a weight belong to: of rows and columns of the weight, or number by number.

Where the units of a layer are moved before a weight reads them, as by `torch.cat`, `flip` or `flatten`, a row
of the weight is one unit of an earlier layer, if all positions agree; else the position decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from nif.measures.currents.ends import Ends
from nif.measures.currents.labels import MIXED, Labels, agreed
from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.products import scaled_slope
from nif.measures.currents.structure import Weighted

PAIRS = 2
"""Pairs of the runs on which labels are followed."""

SHIFT = 4
"""Added to labels so that all are above 0."""

LARGEST_PRODUCT = 2**24
"""Numbers of the products of several positions, of one group of backgrounds, that are held at a time."""


@dataclass(frozen=True, eq=False)
class UnitCells:
    """The units on the two sides of a weight.

    Attributes:
        sources: Number, among the units of all layers, of each row of the currents; negative for none.
        targets: Unit of the layer ahead of each column; negative for none.
        rows: Row of the currents of each number that the weight reads, ``[position, number]``; None where
            all positions agree, so that rows and columns are those of the weight.
        columns: Column of each number of its result.
    """

    sources: Int[np.ndarray, " row"]
    targets: Int[np.ndarray, " column"]
    rows: Int[Tensor, "position source"] | None = None
    columns: Int[Tensor, "position target"] | None = None

    @classmethod
    def of(
        cls,
        operation: Operation,
        weighted: Weighted,
        kernel: Tensor,
        read: Labels,
        result: Labels,
        outer: int,
    ) -> UnitCells | None:
        """From labels of what the weight reads and of its result, on two pairs.

        Args:
            operation: With the weight.
            weighted: Which of its factors is the weight.
            kernel: The weight.
            read: Units of all layers, in the shape of the moving factor.
            result: Units of the layer ahead, in the shape of the result.
            outer: How often all pairs stand one after the other.

        Returns:
            None where a number comes from or leads to several units.
        """
        if (read == MIXED).any() or (result == MIXED).any():
            return None
        axis = _channel_axis(operation, weighted)
        sides = [agreed(labels.movedim(axis, 0).flatten(1)) for labels in (read, result)]
        if not any((side == MIXED).any() for side in sides):
            return cls(sides[0].numpy(), sides[1].numpy())
        if operation.kind == "convolution" and not _is_plain(operation):
            return cls._by_number(read, sides[1], outer)
        if operation.kind not in ("mm", "addmm", "convolution"):
            return None
        shifted = read.double() + SHIFT, result.double() + SHIFT  # 0 is what a convolution pads with
        parts = _positions(operation, weighted, kernel, shifted[0], shifted[1], PAIRS, outer)
        before, after = (part.long() - SHIFT for part in parts)
        if not (torch.equal(before[0], before[1]) and torch.equal(after[0], after[1])):
            return None  # the rows of a pair do not stand as they seem to
        numbers = [torch.unique(labels[labels >= 0]) for labels in (before[0], after[0])]
        places = [_places(labels[0], of) for labels, of in zip((before, after), numbers, strict=True)]
        return cls(numbers[0].numpy(), numbers[1].numpy(), *places)

    @classmethod
    def _by_number(cls, read: Labels, channels: Labels, outer: int) -> UnitCells | None:
        """For each number that a convolution reads and each channel of its result."""
        before = pair_major(read, PAIRS, outer, 0).unflatten(0, (PAIRS, -1)).flatten(1)
        if (channels == MIXED).any() or not torch.equal(before[0], before[1]):
            return None
        numbers = [torch.unique(labels[labels >= 0]) for labels in (before[0], channels)]
        rows, columns = _places(before[:1], numbers[0]), _places(channels[None], numbers[1])
        return cls(numbers[0].numpy(), numbers[1].numpy(), rows, columns)

    def products(
        self, ends: Ends, weighted: Weighted, slope: Tensor, bounds: Sequence[int], outer: int
    ) -> list[Float[Tensor, "row column"]]:
        """The currents between units, for each group of backgrounds; where positions decide.

        Args:
            ends: The operation.
            weighted: Which of its factors is the weight.
            slope: Behind it.
            bounds: First pair of each group, and the number of pairs.
            outer: How often all pairs stand one after the other.
        """
        assert self.rows is not None
        assert self.columns is not None
        sides = self.rows, self.columns
        operation, device = ends.operation, slope.device
        kernel, step = ends.start.value(Value(weighted.weight)), ends.moved(weighted.moving)
        slope = slope if operation.kind == "convolution" else scaled_slope(ends, slope)
        shape = len(self.sources) + 1, len(self.targets) + 1  # the last of each is for no unit
        flat = [kernel.real.new_zeros(shape[0] * shape[1]) for _ in bounds[1:]]

        def add(part: slice, currents: Iterable[Tensor]) -> None:
            rows, columns = (places[part].to(device) for places in sides)
            cells = (rows[:, :, None] * shape[1] + columns[:, None, :]).flatten()
            for values, current in zip(flat, currents, strict=True):
                values.index_add_(0, cells, current.flatten())

        if operation.kind == "convolution" and not _is_plain(operation):
            add(slice(None), _by_channel(operation, kernel, step, slope, bounds, outer))
        else:
            before, after = _positions(operation, weighted, kernel, step, slope, bounds[-1], outer)
            weight = kernel if weighted.first else kernel.mT
            weight = kernel.flatten(1).mT if operation.kind == "convolution" else weight
            size = max(1, LARGEST_PRODUCT // weight.numel())
            for first in range(0, before.shape[1], size):
                part = slice(first, first + size)
                steps, slopes = before[:, part].permute(1, 2, 0), after[:, part].transpose(0, 1)
                # one group at a time, as ten take ten times the memory
                products = (steps[:, :, a:b] @ slopes[:, a:b].conj() * weight for a, b in pairwise(bounds))
                add(part, (each.real for each in products))
        return [values.reshape(shape)[:-1, :-1] for values in flat]


def _by_channel(
    operation: Operation, kernel: Tensor, step: Tensor, slope: Tensor, bounds: Sequence[int], outer: int
) -> list[Float[Tensor, "number channel"]]:
    """The currents from every number that a convolution reads to each of its channels."""
    columns = [_through_channel(operation, kernel, step, slope, channel) for channel in range(slope.shape[1])]
    whole = pair_major(torch.stack(columns, -1), bounds[-1], outer, 0)
    by_pair = whole.unflatten(0, (bounds[-1], -1)).flatten(1, -2)
    return [by_pair[a:b].sum(0) for a, b in pairwise(bounds)]


def _through_channel(
    operation: Operation, kernel: Tensor, step: Tensor, slope: Tensor, channel: int
) -> Tensor:
    """The current of every number into one channel, in the shape of the step."""
    *args, transposed, padding, groups = operation.args[3:9]
    read, written = step.shape[1] // groups, slope.shape[1] // groups
    inside = slice(channel // written * read, (channel // written + 1) * read)
    weight = kernel[inside, channel % written][:, None] if transposed else kernel[channel][None]
    part, options = step[:, inside], (*args, transposed, padding, 1, [True, False, False])
    gradient = torch.ops.aten.convolution_backward(slope[:, [channel]], part, weight, None, *options)[0]
    current = torch.zeros_like(step)
    current[:, inside] = gradient * part
    return current


def _channel_axis(operation: Operation, weighted: Weighted) -> int:
    """The axis that the weight joins."""
    if operation.kind == "convolution":
        return 1
    return -1 if weighted.first else -2


def _places(labels: Labels, units: Int[Tensor, " unit"]) -> Int[Tensor, "..."]:
    """The place of each label among some; one beyond the last for what is none of these."""
    return torch.where(labels >= 0, torch.searchsorted(units, labels), len(units))


def _is_plain(operation: Operation) -> bool:
    """Whether what each position of a convolution reads can be cut out."""
    axes, transposed, groups = len(operation.args[3]), operation.args[6], operation.args[8]
    return axes <= 2 and not transposed and groups == 1


def _positions(
    operation: Operation,
    weighted: Weighted,
    kernel: Tensor,
    read: Tensor,
    result: Tensor,
    pairs: int,
    outer: int,
) -> list[Tensor]:
    """What the weight reads and writes as ``[pair, position, number]``; labels as well as numbers."""
    if operation.kind == "convolution":
        read, result = _patches(operation, kernel, read), result.flatten(2).mT.flatten(0, 1)
    elif not weighted.first:
        read, result = read.mT, result.mT
    return [pair_major(values, pairs, outer, 0).unflatten(0, (pairs, -1)) for values in (read, result)]


def pair_major(values: Tensor, pairs: int, outer: int, axis: int) -> Tensor:
    """Rows so that those of each pair stand together, where all pairs stand `outer` times in turn.

    Example:
        >>> pair_major(torch.tensor([1, 2, 10, 20]), pairs=2, outer=2, axis=0).tolist()
        [1, 10, 2, 20]
    """
    if outer == 1:
        return values
    return values.unflatten(axis, (outer, pairs, -1)).transpose(axis, axis + 1).flatten(axis, axis + 2)


def _patches(operation: Operation, kernel: Tensor, values: Tensor) -> Float[Tensor, "_ _"]:
    """What each position of a convolution reads, ``[row * position, channel * kernel]``; 0 outside."""
    stride, padding, dilation = (tuple(option) for option in operation.args[3:6])
    size = tuple(kernel.shape[2:])
    if len(size) == 1:  # of one axis: a picture of height 1
        values, size, padding = values.unsqueeze(2), (1, *size), (0, *padding)
        stride, dilation = (1, *stride), (1, *dilation)
    patches = functional.unfold(values, size, dilation, padding, stride)
    return patches.mT.flatten(0, 1)
