"""Inputs and outputs of the layers of a network, batch by batch, as rows of a linear map."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nif.network.forward import Inputs
from nif.network.tracing import unfused
from nif.network.unit_groups import UnitIds

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d
"""Modules whose weight turns units into others."""

MOST_SAMPLES, MOST_SAMPLES_WITH_POSITIONS = 10_000, 2_000

Calls = dict[str, list[tuple[Tensor, Tensor]]]
"""The input and output of every call of a module, by its name."""


def weighted(model: nn.Module, name: str) -> Weighted:
    """The Linear or convolution of this name."""
    module = model.get_submodule(name)
    assert isinstance(module, Weighted)
    return module


@contextmanager
def calls(model: nn.Module, names: Iterable[str]) -> Iterator[Calls]:
    """Inside, what each named module reads and returns is noted; clear it between batches.

    A call of `torch.nn.functional.linear` with the weight of a module counts as one of the module.
    """
    noted: Calls = {name: [] for name in names}
    running: set[str] = set()

    def enter(name: str, *_: Any) -> None:
        running.add(name)

    def leave(name: str, _: nn.Module, given: Any, returned: Tensor) -> Tensor:
        running.discard(name)
        noted[name].append((given[0], returned))
        return returned.clone()  # an activation in place must not write into what is noted

    with ExitStack() as hooks, unfused(), _FunctionalCalls(model, noted, running):
        for name in noted:
            module = model.get_submodule(name)
            hooks.enter_context(module.register_forward_pre_hook(partial(enter, name)))
            hooks.enter_context(module.register_forward_hook(partial(leave, name)))
        yield noted


class _FunctionalCalls(TorchFunctionMode):
    """Notes calls of the functional form outside of the module that holds the weight."""

    def __init__(self, model: nn.Module, noted: Calls, running: Collection[str]) -> None:
        super().__init__()
        modules = {name: model.get_submodule(name) for name in noted}
        self._owners = {
            id(part.weight): name for name, part in modules.items() if isinstance(part, nn.Linear)
        }
        self._noted, self._running = noted, running

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = function(*args, **(kwargs or {}))
        if function is functional.linear and not self._running:
            named = {**dict(zip(("input", "weight"), args, strict=False)), **(kwargs or {})}
            if (name := self._owners.get(id(named["weight"]))) is not None:
                self._noted[name].append((named["input"], returned))
                return returned.clone()
        return returned


def padded(module: nn.Conv1d | nn.Conv2d, image: Tensor) -> Tensor:
    """Channels with the padding of a convolution around them."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    # Twice and reversed, it is also right for padding="same".
    return functional.pad(image, module._reversed_padding_repeated_twice, mode=mode)


def features(module: Weighted, given: Tensor, channels: Tensor) -> Float[Tensor, "row feature"]:
    """The numbers that one row of the weight multiplies, for every place where the module is applied.

    For a Linear these are its inputs; for a convolution the patches of the given channels, channel by
    channel, as in the flattened weight.
    """
    if isinstance(module, nn.Linear):
        return given[..., channels].reshape(-1, len(channels))
    image = padded(module, given[:, channels])
    size: tuple[int, ...] = module.kernel_size
    stride: tuple[int, ...] = module.stride
    dilation: tuple[int, ...] = module.dilation
    if image.ndim == 3:  # one-dimensional: an image of height 1
        image, size, stride, dilation = image[:, :, None], (1, *size), (1, *stride), (1, *dilation)
    patches = functional.unfold(image, size, dilation=dilation, stride=stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def channel_rows(module: Weighted, values: Tensor) -> Float[Tensor, "row channel"]:
    """What a module reads or returns, one row for every sample and position, in the order of `features`."""
    channels_last = values if isinstance(module, nn.Linear) else values.flatten(2).transpose(1, 2)
    return channels_last.reshape(-1, channels_last.shape[-1])


def row_outputs(module: Weighted, returned: Tensor) -> Float[Tensor, "row output"]:
    """What the rows of the weight of a module returned, as `channel_rows`, without zeros that it adds."""
    unpadded = getattr(module, "unpadded", None)
    return channel_rows(module, returned if unpadded is None else unpadded(returned))


def some_of(model: nn.Module, inputs: Inputs, most: int = MOST_SAMPLES) -> Inputs:
    """All rows, or as many, chosen once and for all, as sums over them need.

    Where a convolution is applied at many positions, every row counts many times.
    """
    positions = any(isinstance(module, (nn.Conv1d, nn.Conv2d)) for module in model.modules())
    enough = MOST_SAMPLES_WITH_POSITIONS if positions else MOST_SAMPLES
    count = len(inputs[0])
    if count <= enough:
        return tuple(values[:most] for values in inputs)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[: min(enough, most)]
    return tuple(values[chosen.to(values.device)] for values in inputs)


def taps(module: Weighted) -> int:
    """Features that one channel gives: 1 for a Linear, the size of the kernel for a convolution."""
    return int(module.weight[0, 0].numel())


def columns_of(channels: UnitIds, taps_each: int) -> Tensor:
    """The columns of the flat weight that belong to these channels."""
    start = torch.from_numpy(channels)[:, None] * taps_each
    return (start + torch.arange(taps_each)).reshape(-1)
