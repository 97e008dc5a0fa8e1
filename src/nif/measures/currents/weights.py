"""The products of steps and slopes that the currents of weights are made of.

The current through a weight is ``w * d/dw <slope, f_w(step) - f_w(0)>``: the gradient of the operation by its
weight, with the step of what it reads in place of what it reads. A bias moves nothing and carries nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

import torch
from torch import Tensor

from nif.measures.currents.blocks import Block
from nif.measures.currents.ends import Ends
from nif.measures.currents.grouped_sums import LARGE, GroupedSum, Tile
from nif.measures.currents.operation import Operation, Value
from nif.measures.currents.products import scaled_slope
from nif.measures.currents.structure import Weighted
from nif.measures.currents.unit_cells import pair_major

aten = torch.ops.aten

TILE = 2**9, 2**10
"""Rows and columns of a large weight whose currents are summed at a time: they stay in the cache, and no side
is so short that products take longer to arrange their factors than to multiply them."""


def weight_products(
    ends: Ends, weighted: Weighted, slope: Tensor, bounds: Sequence[int], outer: int = 1
) -> list[Tensor | None]:
    """For each group of backgrounds, the gradient of the operation by its weight at the step.

    None of a group without pairs, unless a stack is the same for all.

    Args:
        ends: The operation.
        weighted: Which of its factors is the weight.
        slope: Behind it.
        bounds: First pair of each group, and the number of pairs.
        outer: How often all pairs stand one after the other in what it reads.
    """
    axis = 1 if ends.operation.kind in ("mm", "addmm") and not weighted.first else 0
    step, slope = (pair_major(v, bounds[-1], outer, axis) for v in (ends.moved(weighted.moving), slope))
    slices = list(pairwise(bounds))
    if ends.operation.kind == "convolution":
        return [
            _by_kernel(ends, *_rows([step, slope], 0, bounds[-1], part)) if part[0] < part[1] else None
            for part in slices
        ]
    slope = scaled_slope(ends, slope)
    if step.dim() == 3:
        return [_batched(step, slope, weighted.first, bounds[-1], part) for part in slices]
    parts = [_rows([step, slope], axis, bounds[-1], part) if part[0] < part[1] else None for part in slices]
    if weighted.first:
        return [None if part is None else part[0].mH @ part[1] for part in parts]
    return [None if part is None else part[1] @ part[0].mH for part in parts]


def read_by_row(ends: Ends, weighted: Weighted, pairs: int) -> bool:
    """Whether each pair has as many rows in what a weight reads, so that its groups are slices of them."""
    shape = ends.start.shape(weighted.moving)
    if len(shape) == 3 and ends.operation.kind != "convolution":
        return True  # a stack, see `_batched`
    axis = 1 if ends.operation.kind != "convolution" and not weighted.first else 0
    return shape[axis] % pairs == 0


@dataclass(eq=False)
class LateProducts:
    """Steps and slopes of a large weight, multiplied when all steps of a block are known, group by group.

    The products of ten groups take more memory than what they are made of, and more time step by step.

    Attributes:
        weight: The matrix; the tapes that hold it are not kept.
        moving: Number of the value that it multiplies.
        factors: Of each step, what that value moves by and the slope behind the product.
    """

    weight: Tensor
    moving: int
    factors: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, ends: Ends, weighted: Weighted) -> LateProducts:
        """Of no step yet."""
        return cls(ends.start.value(Value(weighted.weight)), weighted.moving)

    @staticmethod
    def suit(ends: Ends, weighted: Weighted, pairs: int) -> bool:
        """Whether the weight is a large matrix that multiplies rows from the right."""
        weight = ends.start.shape(weighted.weight)
        rows = ends.start.shape(weighted.moving)[0]
        product = ends.operation.kind in ("mm", "addmm") and weighted.first
        return product and weight.numel() > LARGE and rows % pairs == 0

    def add(self, ends: Ends, slope: Tensor) -> None:
        """Add a step."""
        self.factors.append((ends.moved(self.moving), scaled_slope(ends, slope)))

    def add_to(self, sums: GroupedSum, block: Block) -> None:
        """Add the currents of the numbers of the weight, a tile at a time."""
        weight = self.weight.contiguous()
        factors, bounds = [], block.bounds.tolist()
        for part in pairwise(bounds):
            steps = [_rows(of_step, 0, bounds[-1], part) for of_step in self.factors]
            before, after = (torch.cat(side) for side in zip(*steps, strict=True))
            factors.append((before, after) if len(before) else None)
        self.factors.clear()
        for rows, columns in _tiles(weight.shape):
            here, at = weight[rows, columns], (rows, columns)
            for group, of_group in block.by_group(factors):
                parts = (
                    pair and _current(pair[0][:, rows].mH @ pair[1][:, columns], here) for pair in of_group
                )
                sums.add(group, parts, at, tuple(weight.shape))


def _tiles(shape: Sequence[int]) -> Iterator[Tile]:
    """Of a matrix of this shape, which they cover once."""
    rows, columns = (
        [slice(first, first + size) for first in range(0, length, size)]
        for length, size in zip(shape, TILE, strict=True)
    )
    yield from product(rows, columns)


def _rows(tensors: Sequence[Tensor], axis: int, pairs: int, part: tuple[int, int]) -> list[Tensor]:
    """The rows of some pairs; each pair has the same number of rows, one after the other."""
    lengths = [tensor.shape[axis] // pairs for tensor in tensors]
    return [
        tensor.narrow(axis, part[0] * length, (part[1] - part[0]) * length)
        for tensor, length in zip(tensors, lengths, strict=True)
    ]


def _by_kernel(ends: Ends, step: Tensor, slope: Tensor) -> Tensor:
    kernel = ends.start.value(ends.operation.args[1])
    args = ends.operation.args[3:9]
    gradient: Tensor = aten.convolution_backward(slope, step, kernel, None, *args, [False, True, False])[1]
    return gradient


def _batched(step: Tensor, slope: Tensor, first: bool, pairs: int, part: tuple[int, int]) -> Tensor:
    """Products of a stack of matrices, whose leading axis is that of the pairs if it is as long."""
    if len(step) % pairs == 0:
        step, slope = _rows([step, slope], 0, pairs, part)
    elif not part[0] <= 0 < part[1]:  # a constant stack: all at once, with the first group
        return torch.zeros_like(step.mH @ slope if first else slope @ step.mH)
    return step.mH @ slope if first else slope @ step.mH


def by_channel(operation: Operation, weight: Tensor, first: bool, products: Tensor) -> Tensor:
    """The currents ``[source, target]`` of the numbers, or channels, on two sides of a weight, or of a stack.

    Args:
        operation: That has the weight.
        weight: The same at both ends of a step.
        first: Whether the value that moves is the first factor.
        products: As `weight_products` returns them.
    """
    current = _current(products, weight)
    if operation.kind != "convolution":
        return current if first else current.mT
    transposed, groups = operation.args[6], operation.args[8]
    flat = current.flatten(2).sum(2)  # [target, source of a group], transposed [source, target of a group]
    if not transposed:
        flat = flat.reshape(groups, -1, flat.shape[1]).mT.flatten(0, 1)
    per_group = flat.shape[0] // groups
    whole = flat.new_zeros(flat.shape[0], groups * flat.shape[1])
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        whole[rows, group * flat.shape[1] : (group + 1) * flat.shape[1]] = flat[rows]
    return whole


def _current(products: Tensor, weight: Tensor) -> Tensor:
    """Of each number of a weight; of a complex one, of its real and its imaginary part together."""
    return (products.conj() * weight).real if weight.is_complex() else products * weight
