"""Compensate for removed units in the layers that read them.

Nothing is trained: each layer gets new weights once, in closed form, in the order in which the network runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import dropwhile
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nif.core.types import Advance, ignore
from nif.network.forward import Inputs, batches
from nif.network.unit_groups import UnitIds
from nif.network.weights import (
    Weighted,
    calls,
    channel_rows,
    columns_of,
    features,
    row_outputs,
    some_of,
    taps,
    weighted,
)
from nif.pruning.channels import by_channel, mixed, padded_channels
from nif.pruning.least_squares import Moments
from nif.pruning.problem import PruningProblem, shared_weights
from nif.pruning.removal import lost, zero_units

ROWS_PER_FEATURE = 60
"""Rows, for each feature, that a refit rests on where a convolution would give millions."""

FEWEST_ROWS = 20_000

FEWEST_SAMPLES = 100
"""Rows of data on which channels are compared, however many positions each has."""

SIZE = 256
"""Rows of a batch."""

MOST_BYTES = 500_000_000
"""What may be noted of the original network, so that it need not run again in every trial."""


Compensation = Callable[[PruningProblem, nn.Module, UnitIds, Advance], None]
"""``compensation(problem, pruned, removed, advance)`` changes the weights of a network with zeroed units."""


def nothing(problem: PruningProblem, pruned: nn.Module, removed: UnitIds, advance: Advance = ignore) -> None:
    """Only zero the columns that read removed units."""
    for name, gone in _readers(problem, removed).items():
        _drop_columns(weighted(pruned, name), gone)


def mean(problem: PruningProblem, pruned: nn.Module, removed: UnitIds, advance: Advance = ignore) -> None:
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


def linear(problem: PruningProblem, pruned: nn.Module, removed: UnitIds, advance: Advance = ignore) -> None:
    r"""Refit every layer behind a removed unit to the outputs it had, from what it reads now.

    .. math:: \min_{V, c} \; E \lVert W x + b - V \tilde x - c \rVert^2 + \lambda \lVert V - W_K \rVert^2

    x is the input of the layer in the original network, :math:`\tilde x` that in the pruned one. Where only
    this layer lost units, :math:`V = W_K + W_R A` with A the least-squares prediction of the removed units
    from the kept ones; behind other refitted layers it also corrects their errors. The ridge, which the data
    choose, keeps V near the kept weights :math:`W_K` where they do not determine it. In a convolution of many
    features, A predicts channels (see `nif.pruning.channels.by_channel`).
    """
    gone, shared = _readers(problem, removed), shared_weights(problem.model)
    for name in dropwhile(lambda name: name not in gone, columns := problem.weights.columns):
        if name in shared:  # it stays shared
            continue
        places, module = gone.get(name, removed[:0]), weighted(pruned, name)
        stays = np.setdiff1d(np.arange(len(columns[name])), places)
        whole = module.weight.clone()
        _drop_columns(module, places)
        if len(stays) and by_channel(module, len(columns[name])):
            _remix(problem, pruned, name, stays, whole)
        else:
            _refit(problem, pruned, name, stays)
        advance(1)


COMPENSATIONS: dict[str | None, Compensation] = {"mean": mean, "linear": linear, None: nothing}


@torch.no_grad()
def compensate_removed(problem: PruningProblem, removed: UnitIds, advance: Advance = ignore) -> nn.Module:
    """A copy of the network with the removed units zeroed and compensated for, its tensors still whole.

    `advance` is called once for each layer that is refitted.
    """
    pruned = copy.deepcopy(problem.model)
    zero_units(pruned, problem.weights, removed)
    COMPENSATIONS[problem.compensate](problem, pruned, removed, advance)
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
    module, moments = weighted(pruned, name), Moments()
    columns, channels = columns_of(stays, taps(module)), torch.from_numpy(stays)
    for (_, wanted), (given, gives), drawn in _both(problem, pruned, name, len(columns)):
        missing = row_outputs(module, wanted - gives)
        # Of a layer that reads removed units only, nothing but the mean is left.
        x = features(module, given, channels) if len(stays) else missing[:, :0]
        chosen = drawn(len(x))
        moments.add(x[chosen].double(), missing[chosen].double())
    change, shift = moments.solve(centred=(centred := _has_shift(problem, module, name, stays)))
    weight = module.weight.flatten(1).double()
    weight[:, columns] += change.T.to(weight.device)
    module.weight.copy_(weight.reshape(module.weight.shape))
    if centred:
        _add_bias(module, shift)


def _remix(problem: PruningProblem, pruned: nn.Module, name: str, stays: UnitIds, whole: Tensor) -> None:
    """Predict every channel that a convolution read from those that stay, and read the predictions."""
    module, moments = weighted(pruned, name), Moments()
    channels = torch.from_numpy(stays)
    for (wanted, _), (given, _), drawn in _both(problem, pruned, name, len(stays)):
        now, missing = padded_channels(module, given), padded_channels(module, wanted)
        chosen = drawn(len(now))
        x, missing = now[chosen][:, channels].double(), missing[chosen].double()
        missing[:, channels] -= x
        moments.add(x, missing)
    change, shift = moments.solve(centred=(centred := _has_shift(problem, module, name, stays)))
    weight, bias = mixed(module, whole, change, shift)
    module.weight[:, channels] += weight.to(module.weight)
    if centred:
        _add_bias(module, bias)


def _has_shift(problem: PruningProblem, module: Weighted, name: str, stays: UnitIds) -> bool:
    """Whether a constant is fitted: only a layer that lost inputs is given a bias; parameters never rise."""
    return module.bias is not None or len(stays) < len(problem.weights.columns[name])


def _both(
    problem: PruningProblem, pruned: nn.Module, name: str, count: int
) -> Iterator[tuple[Any, Any, Callable[[int], Tensor]]]:
    """What a layer reads and returns in both networks, and how rows are drawn for a fit of `count` features.

    That of the original network is noted for the next trial.
    """
    inputs = some_of(problem.model, problem.inputs)
    share = max(FEWEST_ROWS, ROWS_PER_FEATURE * count) / len(inputs[0])
    generator = torch.Generator().manual_seed(0)
    known, noted = problem.noted.get(name), list[Any]()
    room = MOST_BYTES - sum(map(_bytes, problem.noted.values()))
    pieces = _batches(problem, name, inputs)
    with calls(problem.model, [] if known else [name]) as before, calls(pruned, [name]) as after:
        for place, piece in enumerate(pieces):

            def drawn(rows: int, most: int = math.ceil(share * len(piece[0]))) -> Tensor:
                return torch.randperm(rows, generator=generator)[:most]

            if not known:
                problem.call.all_outputs(piece)
                was = list(before[name])
                before[name].clear()
                room -= _bytes(was)
                noted = [*noted, was] if room > 0 else []
            problem.call.with_model(pruned).all_outputs(piece)
            for pair in zip(known[place] if known else was, after[name], strict=True):
                yield *pair, drawn
            after[name].clear()
    if noted and room > 0:
        problem.noted[name] = noted


def _batches(problem: PruningProblem, name: str, inputs: Inputs) -> Iterator[Inputs]:
    """All rows; of a convolution whose channels are compared, as many as their positions make enough."""
    channels = len(problem.weights.columns[name])
    if by_channel(weighted(problem.model, name), channels):
        count = max(FEWEST_SAMPLES, math.ceil(2 * ROWS_PER_FEATURE * channels / _positions(problem, name)))
        chosen = torch.randperm(len(inputs[0]), generator=torch.Generator().manual_seed(1))[:count]
        inputs = tuple(values[chosen.to(values.device)] for values in inputs)
    return batches(problem.call, inputs, size=SIZE)


def _positions(problem: PruningProblem, name: str) -> int:
    """How many numbers a convolution reads of each channel of a row."""
    with calls(problem.model, [name]) as noted:
        problem.call.all_outputs(tuple(values[:1] for values in problem.inputs))
        return max(1, sum(given[0, 0].numel() for given, _ in noted[name]))


def _bytes(noted: Any) -> int:
    """Of all tensors in nested lists."""
    return int(noted.nbytes) if isinstance(noted, Tensor) else sum(map(_bytes, noted))


def _add_bias(module: Weighted, shift: Float[Tensor, " output"]) -> None:
    if module.bias is None:
        module.bias = nn.Parameter(module.weight.new_zeros(len(module.weight)))
    module.bias += shift.to(module.bias)


def _drop_columns(module: Weighted, gone: UnitIds) -> None:
    module.weight[:, torch.from_numpy(gone)] = 0
