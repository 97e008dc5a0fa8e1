"""The products of steps and slopes that the currents of weights are made of.

The current through a weight is ``w * d/dw <slope, f_w(step) - f_w(0)>``: the gradient of the operation by its
weight, with the step of what it reads in place of what it reads. A bias moves nothing and carries nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from nif.measures.currents.ends import Ends
from nif.measures.currents.grouped_sums import LARGE
from nif.measures.currents.operation import Value
from nif.measures.currents.products import scaled_slope
from nif.measures.currents.structure import Weighted

aten = torch.ops.aten


def weight_products(ends: Ends, weighted: Weighted, slope: Tensor, bounds: Sequence[int]) -> list[Tensor]:
    """For each group of backgrounds, the gradient of the operation by its weight at the step.

    Args:
        ends: The operation.
        weighted: Which of its factors is the weight.
        slope: Behind it.
        bounds: First pair of each group, and the number of pairs.
    """
    step = ends.moved(weighted.moving)
    slices = list(pairwise(bounds))
    if ends.operation.kind == "convolution":
        return [_by_kernel(ends, weighted, *_rows([step, slope], 0, bounds[-1], part)) for part in slices]
    slope = scaled_slope(ends, slope)
    if step.dim() == 3:
        return [_batched(step, slope, weighted.first, bounds[-1], part) for part in slices]
    axis = 0 if weighted.first else 1
    parts = [_rows([step, slope], axis, bounds[-1], part) for part in slices]
    if weighted.first:
        return [before.mT @ after for before, after in parts]
    return [after @ before.mT for before, after in parts]


@dataclass(eq=False)
class LateProducts:
    """Steps and slopes of a large weight, multiplied when all steps of a block are known, group by group.

    The products of ten groups take more memory than what they are made of, and more time step by step.
    """

    ends: Ends
    weighted: Weighted
    factors: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @staticmethod
    def suit(ends: Ends, weighted: Weighted, pairs: int) -> bool:
        """Whether the weight is a large matrix that multiplies rows from the right."""
        weight = ends.start.shape(weighted.weight)
        rows = ends.start.shape(weighted.moving)[0]
        product = ends.operation.kind in ("mm", "addmm") and weighted.first
        return product and weight.numel() > LARGE and rows % pairs == 0

    def add(self, ends: Ends, slope: Tensor) -> None:
        """Add a step."""
        self.factors.append((ends.moved(self.weighted.moving), scaled_slope(ends, slope)))

    def parts(self, bounds: Sequence[int]) -> Iterator[Tensor]:
        """As `weight_products` returns them."""
        for part in pairwise(bounds):
            rows = [_rows(factors, 0, bounds[-1], part) for factors in self.factors]
            before, after = (torch.cat(side) for side in zip(*rows, strict=True))
            yield before.mT @ after


def _rows(tensors: Sequence[Tensor], axis: int, pairs: int, part: tuple[int, int]) -> list[Tensor]:
    """The rows of some pairs; each pair has the same number of rows, one after the other."""
    lengths = [tensor.shape[axis] // pairs for tensor in tensors]
    return [
        tensor.narrow(axis, part[0] * length, (part[1] - part[0]) * length)
        for tensor, length in zip(tensors, lengths, strict=True)
    ]


def _by_kernel(ends: Ends, weighted: Weighted, step: Tensor, slope: Tensor) -> Tensor:
    kernel = ends.start.value(ends.operation.args[1])
    if not len(step):
        return torch.zeros_like(kernel)
    args = ends.operation.args[3:9]
    gradient: Tensor = aten.convolution_backward(slope, step, kernel, None, *args, [False, True, False])[1]
    return gradient


def _batched(step: Tensor, slope: Tensor, first: bool, pairs: int, part: tuple[int, int]) -> Tensor:
    """Products of a stack of matrices, whose leading axis is that of the pairs if it is as long."""
    if len(step) % pairs == 0:
        step, slope = _rows([step, slope], 0, pairs, part)
    elif part[0] > 0:  # a constant stack: all at once, with the first group
        return torch.zeros_like(step.mT @ slope if first else slope @ step.mT)
    return step.mT @ slope if first else slope @ step.mT


def by_channel(ends: Ends, weighted: Weighted, products: Tensor) -> Tensor:
    """The currents ``[source, target]`` of the channels or numbers of two sides of a weight.

    Args:
        ends: The operation; its weight is the same at both.
        weighted: Which of its factors is the weight.
        products: As `weight_products` returns them.
    """
    current = products * ends.start.value(Value(weighted.weight))
    if ends.operation.kind != "convolution":
        flat = current.sum(0) if current.dim() == 3 else current
        return flat if weighted.first else flat.mT
    transposed, groups = ends.operation.args[6], ends.operation.args[8]
    flat = current.flatten(2).sum(2)  # [target, source of a group], transposed [source, target of a group]
    if not transposed:
        flat = flat.reshape(groups, -1, flat.shape[1]).mT.flatten(0, 1)
    per_group = flat.shape[0] // groups
    whole = flat.new_zeros(flat.shape[0], groups * flat.shape[1])
    for group in range(groups):
        rows = slice(group * per_group, (group + 1) * per_group)
        whole[rows, group * flat.shape[1] : (group + 1) * flat.shape[1]] = flat[rows]
    return whole


def by_position(ends: Ends, weighted: Weighted, slope: Tensor, bounds: Sequence[int]) -> list[Tensor] | None:
    """The currents ``[feature, target]`` of every number of an input, of which a weight reads many positions.

    Returns:
        For each group of backgrounds; None where a number is read by one product only, or the weight is
        none of a convolution without groups or of a linear layer on tokens.
    """
    step, pairs = ends.moved(weighted.moving), bounds[-1]
    slices = list(pairwise(bounds))
    if ends.operation.kind == "convolution" and ends.operation.args[8] == 1:
        columns = [_through_channel(ends, step, slope, channel) for channel in range(slope.shape[1])]
        return [torch.stack([column[a:b].sum(0) for column in columns], dim=1) for a, b in slices]
    if step.dim() != 2 or not weighted.first or len(step) == pairs or len(step) % pairs:
        return None
    weight = ends.start.value(Value(weighted.weight))
    steps, slopes = (values.reshape(pairs, -1, values.shape[1]) for values in (step, slope))
    return [(torch.einsum("pti,pto->tio", steps[a:b], slopes[a:b]) * weight).flatten(0, 1) for a, b in slices]


def _through_channel(ends: Ends, step: Tensor, slope: Tensor, channel: int) -> Tensor:
    """The current of every number of the input into one channel, ``[pair, feature]``."""
    part = slice(channel, channel + 1)
    transposed = int(ends.operation.args[6])
    kernel = ends.start.value(ends.operation.args[1]).narrow(transposed, channel, 1)
    args = ends.operation.args[3:9]
    gradient = aten.convolution_backward(slope[:, part], step, kernel, None, *args, [True, False, False])[0]
    return (gradient * step).flatten(1)
