"""Run a model without changing anything of it: mode, weights, buffers, random state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.random import same_random_state


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode without gradients; afterwards it is as before, errors included.

    Restored are the training flag of every module, every weight and buffer, and the random states.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> with preserved(net):
        ...     net[1].training
        False
        >>> net[1].training
        True
    """
    flags = [(module, module.training) for module in model.modules()]
    saved = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]
    try:
        # Under torch.inference_mode nothing says what was written in place, by which paths are followed.
        with same_random_state(), torch.inference_mode(False), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        _put_back(saved)


def check_supported(model: nn.Module) -> None:
    """Refuse a model that can not be followed, or whose weights do not exist yet."""
    scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        where = f"Module {scripted[0]!r} of the model" if scripted[0] else "The model"
        raise InputError(
            f"{where} is compiled by TorchScript, whose runs can not be followed; give the module that it "
            "was made from."
        )
    if "eval" in vars(model):  # torch.export puts its own there, which raises
        raise InputError(
            "The model is a program of torch.export, which has no eval mode; give the module that it was "
            "exported from."
        )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise InputError(
                f"Weight {name!r} of the model has no shape yet; run the model once on a batch, and train it."
            )
        if tensor.is_meta:
            raise InputError(
                f"Weight {name!r} of the model is on the meta device and has no values; load them."
            )


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the model's weights are and of what type; the processor and float32 when it has none."""
    for tensor in _tensors(model):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


@torch.no_grad()
def _put_back(saved: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, before in saved:
        if tensor.shape == before.shape and _same(tensor, before):
            continue  # an unchanged tensor keeps its version
        tensor.data = before if tensor.shape != before.shape else tensor.data
        tensor.copy_(before)


def _same(tensor: Tensor, before: Tensor) -> bool:
    """Compared as bytes would be: a NaN equals itself."""
    return torch.equal(tensor, before) or torch.equal(tensor.nan_to_num(), before.nan_to_num())
