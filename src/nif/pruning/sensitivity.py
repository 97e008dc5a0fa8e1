"""How strongly the outputs of a network follow what each of its layers computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nif.network.forward import Inputs, batches
from nif.network.weights import calls, features, row_outputs, some_of, weighted
from nif.pruning.channels import by_channel, padded_channels, tap_products
from nif.pruning.least_squares import Moments
from nif.pruning.problem import PruningProblem

SAMPLES = 1_000

DIRECTIONS = 16
"""Directions of the output whose gradients are followed where there are more outputs than that."""


@torch.enable_grad()
def follow_slopes(
    problem: PruningProblem, names: Iterable[str], side: int, add: Callable[[str, Tensor, Tensor], None]
) -> int:
    """Call `add` with every tensor that a layer reads or returns, and a gradient of the outputs there.

    Args:
        problem: The network, and the rows of which up to 1,000 are run.
        names: Of the layers.
        side: 0 for what they read, 1 for what they return.
        add: Called with the name, the tensor and the gradient, for every output of the criterion or, of many,
            for random combinations of them.

    Returns:
        The number of rows.
    """
    inputs = some_of(problem.model, problem.inputs, SAMPLES)
    with calls(problem.model, names) as noted:
        for piece in batches(problem.call, inputs):
            with _GradientsKept():
                outputs = problem.criterion.differentiable(problem.call, requiring_grad(piece))
            owners = [(name, call[side]) for name, seen in noted.items() for call in seen]
            for seen in noted.values():
                seen.clear()
            tensors = [values for _, values in owners]
            for direction in _directions(outputs.shape[1]).to(outputs):
                combined = (outputs @ direction).sum()
                slopes = torch.autograd.grad(combined, tensors, retain_graph=True, allow_unused=True)
                for (name, values), slope in zip(owners, slopes, strict=True):
                    if slope is not None:  # it leads to these outputs
                        add(name, values, slope)
    return len(inputs[0])


class _GradientsKept(TorchFunctionMode):
    """Follows gradients through parts that a model keeps from training, such as a backbone in `no_grad`."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is Tensor.detach or function is torch.detach:
            return args[0].view_as(args[0])
        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **(kwargs or {}))


def readout(problem: PruningProblem) -> dict[str, Float[Tensor, "output output"]]:
    r"""For every Linear and convolution, the mean outer product of the gradients behind it.

    .. math:: M = E \sum_c \frac{\partial o_c}{\partial z} \frac{\partial o_c}{\partial z}^T

    z is what the layer returns and o the outputs of the criterion, so that an error e of z moves the outputs
    by about :math:`e^T M e`, squared and summed: one scale for the errors of all layers. Positions of a
    convolution are added up.
    """
    totals: dict[str, Tensor] = {}

    def add(name: str, _: Tensor, slope: Tensor) -> None:
        rows = row_outputs(weighted(problem.model, name), slope).double()
        totals[name] = totals.get(name, rows.new_zeros(())) + rows.T @ rows

    count = follow_slopes(problem, problem.weights.columns, 1, add)
    return {name: total / count for name, total in totals.items()}


def requiring_grad(piece: Inputs) -> Inputs:
    """Inputs of which gradients are taken; whole numbers, such as those of words, have none."""
    return tuple(values.requires_grad_(values.is_floating_point()) for values in piece)


def _directions(outputs: int) -> Float[Tensor, "direction output"]:
    """One row for each output, or random combinations of many of them."""
    if outputs <= DIRECTIONS:
        return torch.eye(outputs, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(DIRECTIONS, outputs, generator=generator, dtype=torch.float32)
    return drawn / DIRECTIONS**0.5


ROWS = 20_000
"""Rows, samples times positions, that a covariance rests on."""


@torch.no_grad()
def covariances(
    problem: PruningProblem, names: list[str]
) -> tuple[dict[str, Float[Tensor, "feature feature"]], dict[str, Float[Tensor, "tap tap"]]]:
    """Of the features of each layer, over samples and positions.

    Of convolutions with many features it is that of channels, and sums of products of taps come with it.
    """
    moments, products = {name: Moments() for name in names}, dict[str, Tensor]()
    inputs, drawn = some_of(problem.model, problem.inputs), torch.Generator().manual_seed(0)
    with calls(problem.model, names) as noted:
        for piece in batches(problem.call, inputs, size=256):
            problem.call.all_outputs(piece)
            most = math.ceil(ROWS * len(piece[0]) / len(inputs[0]))
            for name, seen in noted.items():
                channels = torch.arange(len(problem.weights.columns[name]))
                module = weighted(problem.model, name)
                coarse = by_channel(module, len(channels))
                for given, _ in seen:
                    rows = padded_channels(module, given) if coarse else features(module, given, channels)
                    if coarse:
                        products[name] = products.get(name, torch.zeros(())) + tap_products(module, given)
                    x = rows[torch.randperm(len(rows), generator=drawn)[:most]].double().cpu()
                    moments[name].add(x, x[:, :0])
                seen.clear()
    return {name: sums.covariance() for name, sums in moments.items()}, products
