"""Models of half precision, computed in float32: the user's model is left as it was.

Differences of numbers of eight bits have no digits left, so currents are computed in float32 at least.
Weights are converted in a copy of the model. Casts inside its ``forward``, by autocast or by name, are
ignored while it runs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nif.core.errors import InputError
from nif.network.forward import Forward

HALF = (torch.float16, torch.bfloat16)


def single(values: Tensor) -> Tensor:
    """Values of half precision in float32; others as they are.

    Example:
        >>> single(torch.ones(2, dtype=torch.float16)).dtype, single(torch.ones(2).double()).dtype
        (torch.float32, torch.float64)
    """
    return values.float() if values.dtype in HALF else values


def in_full_precision(module: nn.Module) -> nn.Module:
    """The module itself, or a copy in float32 of one that has weights of half precision.

    Raises:
        InputError: It has, and cannot be copied.
    """
    if not any(values.dtype in HALF for values in [*module.parameters(), *module.buffers()]):
        return module
    try:
        return copy.deepcopy(module)._apply(single)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"The model has half precision, in which currents cannot be computed, and cannot be copied: "
            f"{str(error).splitlines()[0]}. Pass model.float()."
        ) from error


@contextmanager
def without_casts(call: Forward, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Inside, a model that casts to half precision on these inputs does not.

    Example:
        >>> class Cast(nn.Module):
        ...     def forward(self, x):
        ...         return x.to(torch.bfloat16) * 2
        >>> call, x = Forward(Cast()), torch.tensor([1.001])
        >>> with without_casts(call, [x]):
        ...     call([x])
        tensor([2.0020])
    """
    casts = _Casts()
    torch.clear_autocast_cache()  # of weights in half precision, and afterwards of those in float32
    try:
        with casts:
            call.all_outputs([values[:2].clone() for values in inputs])
        with casts if casts.any else nullcontext():
            yield
    finally:
        torch.clear_autocast_cache()


class _Casts(TorchDispatchMode):
    """Replaces half precision by float32 wherever an operation is asked for it, and notes that it was."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch need not load its compiler, see `nif.measures.currents.tape`

    def __init__(self) -> None:
        super().__init__()
        self.any = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        for name, value in kwargs.items():
            if value in HALF:
                kwargs[name], self.any = torch.float32, True
        args = tuple(torch.float32 if isinstance(one, torch.dtype) and one in HALF else one for one in args)
        return function(*args, **kwargs)
