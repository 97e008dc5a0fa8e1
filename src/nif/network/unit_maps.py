"""Which units of a tensor come from which units of the tensors that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool
from scipy import sparse
from torch import Tensor

from nif.network.operators import FUNCTIONS

Way: TypeAlias = "sparse.csr_array | None"
"""A matrix of 0 and 1, units before x units after; None where every unit may come from every one."""


MIXING = frozenset({"glu", "multi_head_attention_forward", "scaled_dot_product_attention"})
"""Non-linear functions in which units meet."""


EACH_BY_ITSELF = (FUNCTIONS - MIXING) | frozenset({
    "abs", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "bfloat16", "clone", "contiguous", "cpu", "detach", "double", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "exp", "expm1", "feature_alpha_dropout", "float", "half", "instance_norm",
    "interpolate", "log", "log1p", "lp_pool1d", "lp_pool2d", "max_pool1d", "max_pool2d", "max_pool3d", "neg",
    "pad", "pow", "reciprocal", "rsqrt", "sign", "sqrt", "square", "to", "type", "upsample",
})  # fmt: skip
"""Functions that treat every number, or every channel, by itself."""


PAIRED = frozenset({
    "__radd__", "__rmul__", "__rsub__", "__rtruediv__", "add", "div", "maximum", "minimum", "mul", "rsub",
    "sub", "true_divide", "where",
})  # fmt: skip
"""Functions in which units of several tensors meet at the same place."""


JOINING = frozenset({"cat", "concat", "concatenate"})


def units_of(shape: Sequence[int], axis: int | None, rows: int) -> int | None:
    """Units of a tensor whose first axis is the sample and whose second is the unit; None of any other.

    Example:
        >>> units_of((11, 16, 5, 5), None, rows=11), units_of((11, 7, 16), None, rows=11)
        (16, None)
    """
    if len(shape) < 2 or shape[0] != rows or axis not in (None, 1) or (len(shape) == 3 and axis is None):
        return None
    return int(shape[1])


@lru_cache(maxsize=64)
def same(units: int) -> sparse.csr_array:
    """Every unit comes from the one at its place."""
    return sparse.csr_array(sparse.eye_array(units, dtype=np.int8))


def way(
    name: str, given: Any, place: int, read: Sequence[Tensor], units: Sequence[int], after: Tensor
) -> Way:
    """Where the units of a result come from, in one of the tensors that a function has read.

    Args:
        name: Of the function.
        given: Its arguments.
        place: Of the tensor among those it has read.
        read: All of them.
        units: How many units each of them has.
        after: The result; its first axis is the sample, its second the unit.

    Example:
        >>> import torch
        >>> image = torch.zeros(11, 2, 3, 1)
        >>> way("flatten", ((image, 1), {}), 0, [image], [2], image.flatten(1)).toarray().tolist()
        [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    """
    before, count, made = read[place], units[place], after.shape[1]
    if name in {"flatten", "view", "reshape"}:
        return _flattened(before, count, after)
    if name.startswith("conv") and "transpose" not in name:
        return _grouped(count, made, _groups(given)) if place == 0 else None
    if name in JOINING:
        return _part(sum(units[:place]), count, made) if _axis(given, before.ndim) == 1 else None
    alone = name in EACH_BY_ITSELF and place == 0
    paired = name in PAIRED and before.ndim == after.ndim
    pooled = name in {"mean", "sum", "amax"} and over_positions(given, before.ndim)
    return same(count) if count == made and (alone or paired or pooled) else None


def _flattened(before: Tensor, count: int, after: Tensor) -> Way:
    """A channel is followed into its features: those of one channel stand together."""
    positions = before.shape[2:].numel()
    if after.ndim == before.ndim and after.shape[1] == count:
        return same(count)
    if after.ndim != 2 or after.shape[1] != count * positions:
        return None
    return sparse.csr_array(np.repeat(np.eye(count, dtype=np.int8), positions, axis=1))


def _grouped(count: int, made: int, groups: int) -> Way:
    if groups == 1:
        return None
    inside = np.ones((count // groups, made // groups), dtype=np.int8)
    return sparse.csr_array(sparse.kron(sparse.eye_array(groups, dtype=np.int8), inside))


def _part(first: int, count: int, made: int) -> Way:
    if first + count > made:
        return None
    return sparse.csr_array(sparse.eye_array(count, made, k=first, dtype=np.int8))


def _groups(given: Any) -> int:
    args, kwargs = given
    return int((kwargs or {}).get("groups", args[6] if len(args) > 6 else 1))


def _axis(given: Any, dims: int) -> int | None:
    args, kwargs = given
    found = (kwargs or {}).get("dim", args[1] if len(args) > 1 else 0)
    return found % dims if isinstance(found, int) else None


def over_positions(given: Any, dims: int) -> bool:
    """Whether the arguments of a mean or a sum name axes behind that of the units, and no other."""
    args, kwargs = given
    found = (kwargs or {}).get("dim", args[1] if len(args) > 1 else None)
    axes = (found,) if isinstance(found, int) else found
    return isinstance(axes, (tuple, list)) and all(axis % dims > 1 for axis in axes)


def both(first: Way, second: Way) -> Way:
    """One after the other."""
    if first is None or second is None:
        return None
    return sparse.csr_array((first @ second).astype(bool).astype(np.int8))


def either(ways: Sequence[Way]) -> Way:
    """All of them together."""
    found = [each for each in ways if each is not None]
    if len(found) < len(ways):
        return None
    if len(found) == 1:
        return found[0]
    return sparse.csr_array(sum(found[1:], start=found[0]).astype(bool).astype(np.int8))


def joined(found: Way) -> Bool[np.ndarray, "source target"] | None:
    """As an array of flags; None where every unit is joined to every other."""
    if found is None or found.nnz == found.shape[0] * found.shape[1]:
        return None
    return found.toarray().astype(bool)
