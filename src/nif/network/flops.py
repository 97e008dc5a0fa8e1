"""How much a network computes for a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nif.network.forward import Forward, Inputs
from nif.network.tracing import unfused

OF_A_NUMBER = 400
"""Operations of matrix products in the time that currents take for a number that a run computes: about 4 ns,
where a processor has a hundred operations in each (two convolutional networks and a transformer)."""


def flops_of(call: Forward, inputs: Inputs) -> int:
    """Floating-point operations of the matrix products and convolutions of one run.

    Args:
        call: The network.
        inputs: Of one row, or of several, for the operations of all.

    Example:
        >>> from nif.network.network import Network
        >>> from nif.data.rows import read
        >>> network, x = Network.of(nn.Linear(3, 2)), torch.ones(4, 3)
        >>> flops_of(network.forward(read(x, network.signature)), (x[:1],))
        12
    """
    return _counted(call, inputs).flops


def cost_of(call: Forward, inputs: Inputs) -> int:
    """Operations of one run, and what currents take for the numbers that it computes, counted as operations.

    Where products are small, as in convolutions of few channels, the walk back waits for memory instead.

    Args:
        call: The network.
        inputs: Of one row, or of several, for all of them.

    Example:
        >>> import torch
        >>> from nif.network.network import Network
        >>> from nif.data.rows import read
        >>> network, x = Network.of(nn.Sequential(nn.Linear(3, 2), nn.ReLU())), torch.ones(4, 3)
        >>> cost_of(network.forward(read(x, network.signature)), (x[:1],)) == 12 + 4 * OF_A_NUMBER
        True
    """
    counter = _counted(call, inputs)
    return counter.flops + OF_A_NUMBER * counter.numbers


def _counted(call: Forward, inputs: Inputs) -> _Counter:
    # What a fused kernel does is not counted, and a parameter that a module is given has no gradient here.
    with _without_gradients(call.model), unfused(), _Counter() as counter:
        call.all_outputs(inputs)
    return counter


class _Counter(TorchDispatchMode):
    """Counts by the formulas of torch.

    `torch.utils.flop_counter.FlopCounterMode` would do, but it loads the compiler of torch, which takes two
    seconds, and has hooks on all modules, of which compiled ones warn.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function.overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        written = [
            returned.alias_info is None or returned.alias_info.is_write
            for returned in function._schema.returns
        ]
        results = result if isinstance(result, tuple) else (result,)
        self.numbers += sum(
            one.numel() for one, new in zip(results, written, strict=False) if new and isinstance(one, Tensor)
        )
        return result


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter requires a gradient."""
    requiring = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in requiring:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        with torch.inference_mode():  # weights that were made there can be changed there only
            for weight in requiring:
                weight.requires_grad_(True)
