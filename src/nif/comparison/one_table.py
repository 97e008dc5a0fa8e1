"""A network as a function of one table that holds all its features, which is what attributions ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.contracts import InputError
from nif.estimators.checks import columns
from nif.recording.arguments import EMBEDDINGS, Arguments, Caller
from nif.recording.rows import Rows, rows


class OneTable(nn.Module):
    """Takes the features of all inputs side by side, and gives the output that is meant.

    Example:
        >>> joined = OneTable(Caller(nn.Bilinear(2, 3, 1), ("input1", "input2")), [(2,), (3,)])
        >>> joined(torch.zeros(4, 5)).shape
        torch.Size([4, 1])
    """

    def __init__(self, call: Caller, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        self.network, self.shapes = call.model, shapes
        self.names, self.output = call.names, call.output

    def forward(self, table: Float[Tensor, "sample feature"]) -> Tensor:
        """The output for rows of the table."""
        parts = table.split([prod(shape) for shape in self.shapes], dim=1)
        inputs = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return Caller(self.network, self.names, self.output)(inputs)


def one_table(
    network: nn.Module, x: Any, output: int | str | None
) -> tuple[OneTable, Float[np.ndarray, "sample feature"]]:
    """The network as a function of one table, and the table.

    Args:
        network: It is not changed.
        x: One table as it is, or several inputs as for `nif.measure`.
        output: Which output is meant.

    Raises:
        InputError: The network takes several inputs and x is one, or it takes whole numbers.
    """
    if any(isinstance(module, EMBEDDINGS) for module in network.modules()):
        raise InputError(
            "The model has an embedding, which takes whole numbers: they have no gradient and no mean, by "
            "which features are compared. Compare the network behind its embedding, on what that gives."
        )
    arguments = Arguments.of(network)
    if arguments.required == 1 and not isinstance(x, (tuple, Mapping, Rows)):
        table = columns(x, "x")
        return OneTable(Caller(network, (), output), [table.shape[1:]]), table
    found = rows(x, arguments=arguments)
    if len(found.every) < arguments.required:
        wanted = ", ".join(arguments.names[: arguments.required])
        raise InputError(
            f"The model takes {arguments.required} inputs ({wanted}) and x is one; give x as a tuple or "
            "mapping of them, as nif.measure takes it."
        )
    shapes = [tuple(values.shape[1:]) for values in found.every]
    together = torch.cat([values.flatten(1).double().cpu() for values in found.every], dim=1)
    return OneTable(Caller(network, found.names, output), shapes), together.numpy()
