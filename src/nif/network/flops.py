"""How much a network computes for a row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nif.network.forward import Forward, Inputs
from nif.network.tracing import unfused


def flops_of(call: Forward, inputs: Inputs) -> int:
    """Floating-point operations of the matrix products and convolutions of one run.

    Args:
        call: The network.
        inputs: Of one row, or of several, for the operations of all.

    Example:
        >>> import torch
        >>> from nif.network.network import Network
        >>> from nif.data.rows import read
        >>> network, x = Network.of(nn.Linear(3, 2)), torch.ones(4, 3)
        >>> flops_of(network.forward(read(x, network.signature)), (x[:1],))
        12
    """
    # What a fused kernel does is not counted, and a parameter that a module is given has no gradient here.
    with _without_gradients(call.model), unfused(), FlopCounterMode(display=False) as counter:
        call.all_outputs(inputs)
    return int(counter.get_total_flops())


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Inside, no parameter requires a gradient."""
    requiring = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in requiring:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in requiring:
            weight.requires_grad_(True)
