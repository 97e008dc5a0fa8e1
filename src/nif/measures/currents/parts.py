"""Less traffic of memory: formulas and products a part at a time, joins without a copy of one tensor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PART, WHOLE = 2**17, 2**19
"""Numbers of a part, for two threads, and up to which tensors stay in the cache as they are."""

FEWEST_ROWS = 64
"""Of a part of a product."""


def by_parts(formula: Callable[..., object], *tensors: Tensor) -> Tensor:
    """What an elementwise formula of many steps gives for tensors of the same shape, with the same bits.

    What lies between the steps stays in the cache, where whole tensors would go through the memory at each.

    Args:
        formula: Is given where to write, and the tensors or a part of them.
        tensors: All at once where they are small, or not contiguous.

    Example:
        >>> by_parts(lambda out, a, b: torch.sub(a, b, out=out).abs_(), torch.zeros(2), torch.ones(2))
        tensor([1., 1.])
    """
    dtype = functools.reduce(torch.promote_types, (values.dtype for values in tensors))
    result = tensors[0].new_empty(tensors[0].shape, dtype=dtype)
    if result.numel() <= WHOLE or not all(values.is_contiguous() for values in tensors):
        formula(result, *tensors)
        return result
    for part in zip(*(values.view(-1).split(PART) for values in (result, *tensors)), strict=True):
        formula(*part)
    return result


def rows_times(rows: Tensor, matrix: Tensor) -> Tensor:
    """The product of two matrices, a part of the rows at a time where the second is small.

    MKL takes up to twice as long for each row where rows and products together do not fit in the cache.

    Example:
        >>> rows_times(torch.ones(3000, 2), torch.tensor([[1.0], [2.0]])).unique()
        tensor([3.])
    """
    numbers = len(rows) * sum(matrix.shape)
    if numbers <= WHOLE or matrix.numel() > WHOLE or rows.device.type != "cpu":
        return rows @ matrix
    result = rows.new_empty(len(rows), matrix.shape[1])
    parts = -(-len(rows) // max(FEWEST_ROWS, PART * torch.get_num_threads() // sum(matrix.shape)))
    try:
        for out, part in zip(result.chunk(parts), rows.chunk(parts), strict=True):
            torch.mm(part, matrix, out=out)
    except RuntimeError:  # torch.vmap cannot write into given memory
        return rows @ matrix
    return result


def joined(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Tensors one behind the other; a single one as it is, and no copy of it.

    Example:
        >>> one = torch.zeros(2)
        >>> joined([one]) is one, joined([one, one]).shape
        (True, torch.Size([4]))
    """
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), axis)
