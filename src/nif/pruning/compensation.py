"""Compensate for removed units in the layers that read them.

Nothing is trained: each layer gets new weights once, in closed form, in the order in which the network runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import dropwhile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.network.forward import batches
from nif.network.unit_groups import UnitIds
from nif.network.weights import (
    Weighted,
    calls,
    channel_rows,
    columns_of,
    features,
    some_of,
    taps,
    weighted,
)
from nif.pruning.least_squares import Moments
from nif.pruning.problem import PruningProblem, shared_weights
from nif.pruning.removal import lost, zero_units

ROWS_PER_FEATURE = 60
"""Rows, for each feature, that a refit rests on where a convolution would give millions."""

FEWEST_ROWS = 20_000


Compensation = Callable[[PruningProblem, nn.Module, UnitIds], None]
"""``compensation(problem, pruned, removed)`` changes the weights of a network with zeroed units."""


def nothing(problem: PruningProblem, pruned: nn.Module, removed: UnitIds) -> None:
    """Only zero the columns that read removed units."""
    for name, gone in _readers(problem, removed).items():
        _drop_columns(weighted(pruned, name), gone)


def mean(problem: PruningProblem, pruned: nn.Module, removed: UnitIds) -> None:
    r"""Fold the mean of each removed unit into the bias of the layers that read it; exact for constant units.

    .. math:: b' = b + \sum_{i \text{ removed}} W_i \, E[x_i]

    Before a convolution with zero padding even a constant is not compensated for at the border.
    """
    gone = _readers(problem, removed)
    for name, average in _mean_inputs(problem, gone).items():
        module = weighted(pruned, name)
        weight = module.weight.double()[:, torch.from_numpy(gone[name])]
        _add_bias(module, weight.flatten(2).sum(-1) @ average if weight.ndim > 2 else weight @ average)
        _drop_columns(module, gone[name])


def linear(problem: PruningProblem, pruned: nn.Module, removed: UnitIds) -> None:
    r"""Refit every layer behind a removed unit to the outputs it had, from what it reads now.

    .. math:: \min_{V, c} \; E \lVert W x + b - V \tilde x - c \rVert^2 + \lambda \lVert V - W_K \rVert^2

    x is the input of the layer in the original network, :math:`\tilde x` that in the pruned one. Where only
    this layer lost units, :math:`V = W_K + W_R A` with A the least-squares prediction of the removed units
    from the kept ones; behind other refitted layers it also corrects their errors. The ridge, which the data
    choose, keeps V near the kept weights :math:`W_K` where they do not determine it.
    """
    gone, shared = _readers(problem, removed), shared_weights(problem.model)
    for name in dropwhile(lambda name: name not in gone, columns := problem.weights.columns):
        if name in shared:  # it stays shared
            continue
        places = gone.get(name, removed[:0])
        _drop_columns(weighted(pruned, name), places)
        _refit(problem, pruned, name, np.setdiff1d(np.arange(len(columns[name])), places))


COMPENSATIONS: dict[str | None, Compensation] = {"mean": mean, "linear": linear, None: nothing}


@torch.no_grad()
def compensate_removed(problem: PruningProblem, removed: UnitIds) -> nn.Module:
    """A copy of the network with the removed units zeroed and compensated for, its tensors still whole."""
    pruned = copy.deepcopy(problem.model)
    zero_units(pruned, problem.weights, removed)
    COMPENSATIONS[problem.compensate](problem, pruned, removed)
    return pruned


def _readers(problem: PruningProblem, removed: UnitIds) -> dict[str, UnitIds]:
    """The layers that read removed units, with the places where they read them."""
    places = {
        name: np.flatnonzero(lost(problem.weights, reads, removed))
        for name, reads in problem.weights.columns.items()
    }
    return {name: gone for name, gone in places.items() if len(gone)}


def _mean_inputs(
    problem: PruningProblem, channels: dict[str, UnitIds]
) -> dict[str, Float[Tensor, " channel"]]:
    """Mean input of each layer in the original network, over samples and positions."""
    sums: dict[str, Tensor] = {}
    rows: dict[str, int] = {}
    with calls(problem.model, channels) as noted:
        for piece in batches(problem.call, problem.inputs):
            problem.call.all_outputs(piece)
            for name, seen in noted.items():
                module, index = weighted(problem.model, name), torch.from_numpy(channels[name])
                for given, _ in seen:
                    flat = channel_rows(module, given)[:, index].double()
                    sums[name] = sums.get(name, torch.zeros(())) + flat.sum(0)
                    rows[name] = rows.get(name, 0) + len(flat)
                seen.clear()
    return {name: total / rows[name] for name, total in sums.items()}


def _refit(problem: PruningProblem, pruned: nn.Module, name: str, stays: UnitIds) -> None:
    """Fit the weights of one layer to its former outputs, from the channels that stay."""
    module = weighted(pruned, name)
    columns = columns_of(stays, taps(module))
    # A layer without a bias is given one only where it lost inputs: parameters never rise.
    centred = module.bias is not None or len(stays) < len(problem.weights.columns[name])
    change, shift = _moments(problem, pruned, name, stays).solve(centred=centred)
    weight = module.weight.flatten(1).double()
    weight[:, columns] += change.T.to(weight.device)
    module.weight.copy_(weight.reshape(module.weight.shape))
    if centred:
        _add_bias(module, shift)


def _moments(problem: PruningProblem, pruned: nn.Module, name: str, stays: UnitIds) -> Moments:
    """Of what a layer reads in the pruned network, and of the outputs that it lacks there."""
    module, channels = weighted(pruned, name), torch.from_numpy(stays)
    inputs = some_of(problem.model, problem.inputs)
    share = max(FEWEST_ROWS, ROWS_PER_FEATURE * len(stays) * taps(module)) / len(inputs[0])
    moments, drawn = Moments(), torch.Generator().manual_seed(0)
    with calls(problem.model, [name]) as before, calls(pruned, [name]) as after:
        for piece in batches(problem.call, inputs, size=256):
            problem.call.all_outputs(piece)
            problem.call.with_model(pruned).all_outputs(piece)
            for (_, wanted), (given, gives) in zip(before[name], after[name], strict=True):
                missing = channel_rows(module, wanted - gives)
                # Of a layer that reads removed units only, nothing but the mean is left.
                x = features(module, given, channels) if len(stays) else missing[:, :0]
                chosen = torch.randperm(len(x), generator=drawn)[: math.ceil(share * len(piece[0]))]
                moments.add(x[chosen].double(), missing[chosen].double())
            before[name].clear()
            after[name].clear()
    return moments


def _add_bias(module: Weighted, shift: Float[Tensor, " output"]) -> None:
    if module.bias is None:
        module.bias = nn.Parameter(module.weight.new_zeros(len(module.weight)))
    module.bias += shift.to(module.bias)


def _drop_columns(module: Weighted, gone: UnitIds) -> None:
    module.weight[:, torch.from_numpy(gone)] = 0
