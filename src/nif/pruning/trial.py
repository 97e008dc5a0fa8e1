"""Whether units can be cut out of a network, found out on a few rows before any work is done."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from nif.core.errors import InputError
from nif.network.unit_groups import UnitIds
from nif.pruning.compensation import nothing
from nif.pruning.criterion import changes, outputs
from nif.pruning.problem import PruningProblem
from nif.pruning.removal import cut, zero_units

ROWS = 4
"""Rows that both networks are run on."""

CLOSE = 1e-4
"""Difference of the two, relative to the largest output, that rounding can make."""

STATED = "the model states their number, as in a reshape to fixed sizes"


def keep_what_cannot_be_cut(problem: PruningProblem) -> None:
    """Note, in place, the layers of which the network does not work without a unit.

    One unit of each layer is cut out. Only if the network fails then, layers are tried one by one.
    """
    groups = problem.weights.groups
    some = {name: labels[~groups.has_fixed_width(labels)][:1] for name, labels in problem.hidden.items()}
    some = {name: labels for name, labels in some.items() if len(labels) and _others(problem, name, labels)}
    if not some or can_be_cut(problem, np.concatenate(list(some.values()))):
        return
    for name, labels in some.items():
        if not can_be_cut(problem, labels):
            groups.keep_width(problem.hidden[name])
            problem.uncut[name] = STATED


def _others(problem: PruningProblem, name: str, labels: UnitIds) -> bool:
    return len(np.setdiff1d(problem.hidden[name], labels)) > 0


@torch.no_grad()
def can_be_cut(problem: PruningProblem, units: UnitIds, *, zeroed: bool = True) -> bool:
    """Whether the network without some units computes what it does when nothing reads them.

    Args:
        problem: With the network and the places of its units.
        units: Labels of what is cut out.
        zeroed: Zero the weights that make the units too: heads, of which no other may change, without it.
    """
    unread = copy.deepcopy(problem.model)
    if zeroed:
        zero_units(unread, problem.weights, units)
    nothing(problem, unread, units)
    smaller: nn.Module = copy.deepcopy(unread)
    try:
        cut(smaller, problem.weights, units)
        return have_same_outputs(problem, unread, smaller)
    except (InputError, RuntimeError, IndexError, ValueError, TypeError, AttributeError):
        return False


def have_same_outputs(problem: PruningProblem, one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks return the same on a few rows, up to rounding."""
    rows = tuple(values[:ROWS] for values in problem.inputs)
    before, after = (outputs(problem.call.with_model(model), rows) for model in (one, other))
    sizes = [np.abs(values[np.isfinite(values)]).max(initial=1.0) for values in before.every]
    return all(change <= CLOSE * size for change, size in zip(changes(after, before), sizes, strict=True))
