"""Formulas of many steps, number by number, a part of the numbers at a time: what lies between stays in the
cache, where whole tensors would go through the memory at each step."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

PART, WHOLE = 2**17, 2**19
"""Numbers of a part, for two threads, and up to which tensors stay in the cache as they are."""


def by_parts(formula: Callable[..., object], *tensors: Tensor) -> Tensor:
    """What an elementwise formula gives for tensors of the same shape, with the same bits.

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
