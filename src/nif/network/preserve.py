"""Run a model and preserve its mode, weights and buffers, and the random state."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Iterator
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.core.random import same_random_state
from nif.core.settings import MULTIPLICATION
from nif.network.operators import RECURRENT

_LOCKS: WeakKeyDictionary[nn.Module, tuple[int, threading.RLock]] = WeakKeyDictionary()
"""Of every module: models may share some. They are taken in the order of their numbers."""

_OF_LOCKS, _NUMBERS = threading.Lock(), itertools.count()


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode without gradients; afterwards it is as before, errors included.

    Restored are the training flag of every module, every weight and buffer, and the random states. Threads
    that run the same model, or models with a common part, wait for each other.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> with preserved(net):
        ...     net[1].training
        False
        >>> net[1].training
        True
    """
    with _OF_LOCKS:
        locks = [_LOCKS.setdefault(part, (next(_NUMBERS), threading.RLock())) for part in model.modules()]
    with contextlib.ExitStack() as held:
        for _, lock in sorted(locks, key=itemgetter(0)):
            held.enter_context(lock)
        with _preserved(model):
            yield


@contextlib.contextmanager
def _preserved(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    saved = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]
    try:
        # Under torch.inference_mode tensors have no version, by which writes in place are noticed.
        device, _ = device_and_dtype(model)
        with (
            same_random_state(),
            torch.inference_mode(False),
            torch.no_grad(),
            eager(),
            no_autocast(device),
            MULTIPLICATION.needed(),
        ):
            model.eval()
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        _restore(saved)


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Inside, what runs on a device keeps its precision."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Compiled modules run as they were written: in compiled code there is nothing to follow."""
    stance = getattr(torch.compiler, "set_stance", None)
    # What has compiled nothing yet need not be loaded, which takes two seconds.
    if stance is None or "torch._dynamo" not in sys.modules:
        yield
        return
    with stance("force_eager"):
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch in one thread inside, and restore its number of threads.

    For small networks a second thread costs more time than it saves, and on a busy machine many times more.

    Example:
        >>> before = torch.get_num_threads()
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    with torch_threads(1):
        yield


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Run torch in so many threads inside, and restore their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_quantised(module: nn.Module) -> bool:
    """Of torch.ao; modules that are prepared for it compute as others do."""
    return type(module).__module__.startswith("torch.ao.nn.quantized")


def check_supported(model: nn.Module) -> None:
    """Refuse a model that cannot be traced, or whose weights do not exist yet."""
    scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        where = f"Module {scripted[0]!r} of the model" if scripted[0] else "The model"
        raise InputError(
            f"{where} is a TorchScript module, which cannot be traced. Pass the original nn.Module."
        )
    quantised = [name for name, module in model.named_modules() if _is_quantised(module)]
    if quantised:
        raise InputError(
            f"Module {quantised[0]!r} of the model computes with quantised weights, which cannot be traced. "
            "Pass the module that it was converted from."
        )
    if torch.get_default_device().type == "meta":
        raise InputError(
            "The default device of torch is 'meta', on which tensors have no values; call "
            "torch.set_default_device(None) before measuring."
        )
    if "eval" in vars(model):  # torch.export sets its own, which raises
        raise InputError(
            "The model is a program of torch.export, which has no eval mode. Pass the module that it was "
            "exported from."
        )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise InputError(
                f"Parameter {name!r} is uninitialised (lazy module). Run the model once on a batch before "
                "measuring."
            )
        if tensor.is_meta:
            raise InputError(
                f"Parameter {name!r} of the model is on the meta device and has no values. Load its weights."
            )


def recurrent(model: nn.Module) -> list[str]:
    """Names of the recurrent parts of a model, whose units have another value at every step.

    Example:
        >>> recurrent(nn.ModuleDict({"reader": nn.GRU(2, 3), "head": nn.Linear(3, 1)}))
        ['reader']
    """
    return [name for name, module in model.named_modules() if isinstance(module, RECURRENT)]


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and type of the model's weights; CPU and float32 if it has none."""
    for tensor in _tensors(model):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


@torch.no_grad()
def _restore(saved: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, before in saved:
        if tensor.shape == before.shape and _same(tensor, before):
            continue  # an unchanged tensor keeps its version
        tensor.data = before if tensor.shape != before.shape else tensor.data
        tensor.copy_(before)


def _same(tensor: Tensor, before: Tensor) -> bool:
    """Equal in every value; a NaN equals itself."""
    return torch.equal(tensor, before) or torch.equal(tensor.nan_to_num(), before.nan_to_num())
