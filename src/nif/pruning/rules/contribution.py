"""Units whose loss moves the outputs of the network least, when their mean replaces them, or nothing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.network.unit_groups import UnitIds
from nif.network.weights import channel_rows, weighted
from nif.pruning.problem import PruningProblem
from nif.pruning.rules.rule import ranks
from nif.pruning.sensitivity import follow_slopes


def contribution(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    r"""Place in a greedy removal of all units, each the one after which the outputs have moved least.

    .. math:: \operatorname{cost}(R) = E \sum_c \Big( \sum_{i \in R} \sum_{\text{positions}}
        \frac{\partial o_c}{\partial x_i} (x_i - E x_i) \Big)^2

    with the units x_i where a layer reads them and the outputs o_c, summed over the layers. This is what
    ``compensate="mean"`` leaves, to first order in each layer, and exactly in the last. With
    ``compensate=None`` a unit is replaced by 0 and no mean is subtracted.
    """
    cost = _costs(problem, units).numpy()
    added, waiting, order = cost.diagonal().copy(), np.ones(len(units), dtype=bool), []
    for _ in units:
        cheapest = int(np.where(waiting, added, np.inf).argmin())
        waiting[cheapest] = False
        order.append(cheapest)
        added += 2 * cost[cheapest]
    return ranks(units, units[np.array(order, dtype=np.int64)])


def _costs(problem: PruningProblem, units: UnitIds) -> Float[Tensor, "unit unit"]:
    """Mean products of the changes of the outputs that every two units make, added up over layers."""
    total = torch.zeros(len(units), len(units), dtype=torch.float64)
    belongs = _belongs(problem, units)

    def add(name: str, x: Tensor, slope: Tensor) -> None:
        change = _changes(problem, name, x, slope) @ belongs[name]
        total.add_(change.T @ change)

    return total / follow_slopes(problem, belongs, 0, add)


def _changes(problem: PruningProblem, name: str, x: Tensor, slope: Tensor) -> Float[Tensor, "sample channel"]:
    """First-order change of one output when each channel is replaced, positions added up."""
    module = weighted(problem.model, name)
    values, slopes = channel_rows(module, x).detach().double(), channel_rows(module, slope).double()
    instead = values.mean(0) if problem.compensate else 0.0
    moved = (values - instead) * slopes
    return moved.reshape(len(x), -1, moved.shape[-1]).sum(1).cpu()


def _belongs(problem: PruningProblem, units: UnitIds) -> dict[str, Float[Tensor, "channel unit"]]:
    """For every layer that reads some of the units, which of its inputs is which unit."""
    groups, columns = problem.weights.groups, problem.weights.columns
    same = {name: groups.of(reads)[:, None] == units[None, :] for name, reads in columns.items()}
    return {name: torch.from_numpy(flags.astype(np.float64)) for name, flags in same.items() if flags.any()}
