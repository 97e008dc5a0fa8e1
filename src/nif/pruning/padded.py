"""A Linear of queries and keys that lost dimensions, where a module has one width for keys and values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PaddedLinear(nn.Linear):
    """What a Linear computes, with zeros in place of the dimensions that each head lost.

    Zeros add nothing to products of queries and keys, and modules of attention that have one width for
    queries, keys and values work as before. `nif.shrink` makes it from a Linear.

    Attributes:
        width: Numbers of one head, zeros included.
        parts: Rows of the weight for one head: of queries or of keys, or of queries, keys and values where
            one layer computes all three.

    Example:
        >>> layer = nn.Linear(3, 2)  # one number is left in each of two heads
        >>> pad(layer, 2, (1,))
        >>> layer.weight.data[:], layer.bias.data[:] = 1, torch.tensor([0.0, 10.0])
        >>> layer(torch.ones(1, 3)).tolist()
        [[3.0, 0.0, 13.0, 0.0]]
    """

    width: int
    parts: tuple[int, ...]

    def forward(self, input: Tensor) -> Tensor:
        """The numbers of all heads."""
        blocks = super().forward(input).split([self._heads * part for part in self.parts], -1)
        padded = [
            functional.pad(block.unflatten(-1, (self._heads, part)), (0, self.width - part)).flatten(-2)
            for block, part in zip(blocks, self.parts, strict=True)
        ]
        return torch.cat(padded, -1)

    def unpadded(self, returned: Tensor) -> Tensor:
        """What the layer returned, without the zeros."""
        blocks = returned.unflatten(-1, (len(self.parts), self._heads, self.width)).unbind(-3)
        stay = [block[..., :part].flatten(-2) for block, part in zip(blocks, self.parts, strict=True)]
        return torch.cat(stay, -1)

    @property
    def _heads(self) -> int:
        return self.out_features // sum(self.parts)

    def extra_repr(self) -> str:
        """As of a Linear, with the numbers of one head."""
        return f"{super().extra_repr()}, width={self.width}, parts={self.parts}"


def pad(layer: Any, width: int, parts: tuple[int, ...]) -> None:
    """Give a Linear zeros in place of the dimensions that its heads lost, in place."""
    layer.width, layer.parts = width, parts
    layer.__class__ = PaddedLinear
