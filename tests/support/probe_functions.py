"""Functions that write in place, mask or convolve, for probes of the rules of discrete gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS, IMAGE, TOKENS, LINE, VOLUME = (4, 6), (2, 4, 6, 6), (2, 5, 8), (2, 4, 9), (2, 2, 4, 4, 4)
"""Shapes of inputs."""


def constant(like: Tensor, *shape: int, seed: int = 0) -> Tensor:
    """Random numbers that do not move."""
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(numbers).to(like.dtype)


def kernel(function: Callable[..., Tensor], *shape: int, **options: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x, constant(x, *shape), **options)


def written(write: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """A function that writes into a copy of what it is given."""

    def run(x: Tensor) -> Tensor:
        copy = x * 1.0
        write(copy)
        return copy

    return run


def into_view(x: Tensor) -> Tensor:
    copy = x * 1.0
    first, second = copy.chunk(2, 1)
    first += second
    second.mul_(first)
    return copy


def into_transposed(x: Tensor) -> Tensor:
    base = (x * 1.0).t()
    base[1:4] *= 2
    base[0] += base[2]
    return base.sigmoid()


def into_gap(x: Tensor) -> Tensor:
    part = (x * 1.0)[:, ::2]
    part[:, 1] += 1
    part[:, 0].mul_(part[:, 1])
    return part * part


def into_zeros(x: Tensor) -> Tensor:
    result = x.new_zeros(x.shape)
    result[:, :3] = x[:, 3:].exp()
    result[:, 3:] = x[:, :3] * 2
    return result


def view_before_write(x: Tensor) -> Tensor:
    base = x * 1.0
    view = base.view(2, -1)
    base.relu_()
    return view * view


def alpha(x: Tensor) -> Tensor:
    return torch.add(x, x.sin(), alpha=0.3)


def mask_of_infinity(x: Tensor) -> Tensor:
    mask = torch.ones(x.shape[-1], x.shape[-1], dtype=torch.bool).triu(1)
    return (x.mT @ x).masked_fill(mask, -torch.inf).softmax(-1)


def attention_to_the_best(x: Tensor) -> Tensor:
    scores = x @ x.mT
    best = scores.topk(2).values[..., -1:]
    sparse = scores.masked_fill(scores < best, -torch.inf).softmax(-1)
    same = torch.where(scores < best, torch.tensor(-torch.inf, dtype=x.dtype), scores).log_softmax(-1).exp()
    return (sparse + same) @ x
