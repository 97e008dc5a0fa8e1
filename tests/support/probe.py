"""A call of an operator of torch on random tensors, and the distributions of these tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGE, TABLE, TOKENS = (5, 4, 6, 6), (5, 6), (5, 4, 6)

Draw = Callable[[torch.Size, torch.Generator], Tensor]


def normal(shape: Any, generator: torch.Generator) -> Tensor:
    return 2 * torch.randn(shape, generator=generator)


def unit(shape: Any, generator: torch.Generator) -> Tensor:
    return 0.05 + 0.9 * torch.rand(shape, generator=generator)


def above_one(shape: Any, generator: torch.Generator) -> Tensor:
    return 1.2 + 3 * torch.rand(shape, generator=generator)


def whole(shape: Any, generator: torch.Generator) -> Tensor:
    return torch.randint(1, 9, tuple(shape), generator=generator)


def small(shape: Any, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 5, tuple(shape), generator=generator)


def flags(shape: Any, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < 0.5


def special(shape: Any, generator: torch.Generator) -> Tensor:
    values = torch.tensor([0.5, torch.inf, -torch.inf, torch.nan])
    return values[torch.randint(0, 4, tuple(shape), generator=generator)]


def complex_numbers(shape: Any, generator: torch.Generator) -> Tensor:
    real = torch.randn(shape, generator=generator)
    return torch.complex(real, torch.randint(0, 2, tuple(shape), generator=generator).float())


@dataclass(frozen=True)
class Probe:
    """A call of an operator.

    Attributes:
        run: Calls it, on the tensors that are drawn.
        shapes: Of these tensors.
        draw: Draws each.
        random: Draws numbers itself, so that fewer units have other ones.
        sizes: Names the number of units, so that it does not run on fewer.
    """

    run: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]] = (TOKENS,)
    draw: Draw = normal
    random: bool = False
    sizes: bool = False

    def drawn(self, seed: int) -> list[Tensor]:
        """The tensors, other ones for each seed."""
        generator = torch.Generator().manual_seed(seed)
        return [self.draw(torch.Size(shape), generator) for shape in self.shapes]


def function_of(name: str) -> Callable[..., Any]:
    """The function of that name, wherever torch has it."""
    homes = (F, torch, torch.special, torch.Tensor, torch._C._nn)
    if name.startswith("linalg_"):
        return getattr(torch.linalg, name.removeprefix("linalg_"))
    for home in homes:
        if callable(found := getattr(home, name, None)):
            return found
    raise KeyError(f"torch has no {name}")


def call_of(name: str, *args: Any, **options: Any) -> Callable[[Tensor], Any]:
    """The function with these other arguments."""
    function = function_of(name)
    return lambda x: function(x, *args, **options)
