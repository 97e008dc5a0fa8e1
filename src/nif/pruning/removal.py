"""Take units out of a network: by zeroing their weights, and by cutting the tensors smaller."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.network.unit_groups import UnitIds
from nif.network.units import UnitWeights
from nif.pruning.attention import padded_parts, state_heads
from nif.pruning.padded import pad
from nif.pruning.problem import PruningProblem

Kept = dict[str, tuple[UnitIds, ...]]
"""For each tensor of the state dict that became smaller: the indices kept along its first axes."""


def lost(weights: UnitWeights, units: UnitIds, removed: UnitIds) -> Bool[np.ndarray, " unit"]:
    """Which places of an axis hold a unit that is removed."""
    return np.isin(weights.groups.of(units), weights.groups.of(removed))


@torch.no_grad()
def zero_units(model: nn.Module, weights: UnitWeights, removed: UnitIds) -> None:
    """Zero, in place, the weights and biases that make the removed units.

    Layers that read them still read the value of their non-linearity at 0, until `compensation` zeroes their
    columns.
    """
    for name, units in (*weights.rows.items(), *weights.per_channel.items()):
        gone = torch.from_numpy(np.flatnonzero(lost(weights, units, removed)))
        if len(gone):
            module = model.get_submodule(name)
            for tensor in (module.weight, getattr(module, "bias", None)):
                if isinstance(tensor, Tensor):
                    tensor[gone.to(tensor.device)] = 0


def unshare_weights(model: nn.Module) -> None:
    """Separate tensors for layers that share a weight: what one loses the others keep."""
    seen: set[Tensor] = set()
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight in seen:
                _replace(module, name, weight.detach().clone())
            seen.add(weight)


def share_again(model: nn.Module, other: nn.Module) -> None:
    """Make one tensor of those that share their numbers in another model and are still equal in this one."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, weight in other.named_parameters(remove_duplicate=False):
        names[id(weight)].append(name)
    here = dict(model.named_parameters(remove_duplicate=False))
    for shared in names.values():
        kept: list[nn.Parameter] = []
        for name in shared:
            owner, _, attribute = name.rpartition(".")
            if name not in here:  # it is part of another, or apart
                continue
            module, weight = model.get_submodule(owner), here[name]
            same = next((one for one in kept if torch.equal(one, weight)), None)
            if same is None:
                kept.append(weight)
            else:
                setattr(module, attribute, same)


def cut(model: nn.Module, weights: UnitWeights, removed: UnitIds) -> Kept:
    """Make every tensor of a model smaller, in place, by the removed units; the indices kept of each.

    The columns of these units are zero already; units of fixed width stay.
    """
    removed, kept = removed[~weights.groups.has_fixed_width(removed)], Kept()
    for name, tensor in model.state_dict().items():
        axes = [np.flatnonzero(~lost(weights, units, removed)) for units in _axes(weights, name)]
        if (table := name.rpartition(".")[0]) in weights.tables:
            columns = np.flatnonzero(~lost(weights, weights.tables[table], removed))
            axes = [np.arange(len(tensor)), columns]
        if any(len(stays) < size for stays, size in zip(axes, tensor.shape, strict=False)):
            kept[name] = tuple(axes[: tensor.ndim])
    shrink_to(model, kept)
    return kept


def _axes(weights: UnitWeights, tensor: str) -> tuple[UnitIds, ...]:
    """Units along the first axes of a tensor: those it computes and reads, or those it has numbers for."""
    name, _, kind = tensor.rpartition(".")
    if name in weights.per_channel:
        return (weights.per_channel[name],)
    if name in weights.rows:
        return (weights.rows[name], weights.columns[name]) if kind == "weight" else (weights.rows[name],)
    return ()


@torch.no_grad()
def shrink_to(model: nn.Module, kept: Kept) -> None:
    """Keep only the given indices of each tensor, in place, and set the sizes that modules state.

    Where a module has one width for keys and values, zeros take the place of the rows that its heads lost.
    """
    padded = padded_parts(model, {name: axes[0] for name, axes in kept.items()})
    for name, axes in kept.items():
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        tensor = getattr(module, attribute)
        smaller = tensor.detach()
        for axis, index in enumerate(axes):
            smaller = smaller.index_select(axis, torch.from_numpy(index).to(smaller.device))
        _replace(module, attribute, smaller.clone())
    for owner in dict.fromkeys(name.rpartition(".")[0] for name in kept):
        _state_sizes(model.get_submodule(owner))
    for name, (width, parts) in padded.items():
        pad(model.get_submodule(name), width, parts)
    state_heads(model, {name.rpartition(".")[0] for name in kept})


def _replace(module: nn.Module, attribute: str, values: Tensor) -> None:
    old = getattr(module, attribute)
    if isinstance(old, nn.Parameter):
        setattr(module, attribute, nn.Parameter(values, requires_grad=old.requires_grad))
    else:
        setattr(module, attribute, values)


def _state_sizes(module: Any) -> None:
    """Make the attributes of a module agree with its tensors."""
    if isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, (nn.Conv1d, nn.Conv2d)):
        module.out_channels, module.in_channels = module.weight.shape[:2]
        if module.groups > 1:  # depthwise: one filter a channel
            module.in_channels = module.groups = module.out_channels
    else:  # BatchNorm, which may have no weight or no running mean
        known = module.weight if module.weight is not None else module.running_mean
        module.num_features = len(known)


ZEROED = "they were zeroed and not cut out"


@dataclass(frozen=True, eq=False)
class Cut:
    """A network made smaller.

    Attributes:
        model: The smaller network, or the zeroed one where it cannot be made smaller.
        zeroed: Labels of the units that are only zeroed in it.
        kept: What was kept of each tensor that is smaller.
        notes: Why units were zeroed.
    """

    model: nn.Module
    zeroed: UnitIds
    kept: Kept
    notes: tuple[str, ...] = ()


def cut_out(problem: PruningProblem, zeroed: nn.Module, removed: UnitIds) -> Cut:
    """Cut units out of a network, where the smaller one gives the same outputs."""
    smaller = copy.deepcopy(zeroed)
    try:
        kept = cut(smaller, problem.weights, removed)
        same = problem.criterion.equal_outputs(problem.outputs(smaller), problem.outputs(zeroed))
    except (InputError, RuntimeError, IndexError, ValueError) as error:
        return Cut(zeroed, removed, {}, (f"Nothing can be cut out of this network ({error}): {ZEROED}.",))
    if not same:
        note = f"Cutting units out changes the outputs of this network: {ZEROED}."
        return Cut(zeroed, removed, {}, (note,))
    pinned = removed[problem.weights.groups.has_fixed_width(removed)]
    note = f"{len(pinned)} units are read where nothing can be made smaller: {ZEROED}."
    return Cut(smaller, pinned, kept, (note,) if len(pinned) else ())
