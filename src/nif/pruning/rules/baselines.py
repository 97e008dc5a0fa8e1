"""Pruning rules of others, for comparison: magnitude, Taylor and random."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nif.network.forward import BATCH, batches
from nif.network.unit_groups import UnitIds
from nif.network.units import UnitWeights
from nif.network.weights import calls, channel_rows, weighted
from nif.pruning.problem import Subject
from nif.pruning.sensitivity import requiring_grad


def magnitude(subject: Subject, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """Norm of the weights that make a unit, as a share of the mean norm in its layer.

    References:
        Li et al. (2017), Pruning filters for efficient convnets, https://arxiv.org/abs/1608.08710
    """
    labels, total = subject.weights.groups, np.zeros(len(units))
    order = np.argsort(units)
    makers = {**subject.weights.rows, **_silencers(subject.weights)}
    for name, makes in makers.items():
        made = labels.of(makes)
        weight = subject.model.get_parameter(f"{name}.weight").detach().double()
        norms = weight.reshape(len(weight), -1).norm(dim=1).cpu().numpy()
        share = norms / max(norms.mean(), np.finfo(np.float64).tiny)
        known = np.isin(made, units)
        np.add.at(total, order[np.searchsorted(units[order], made[known])], share[known])
    return total


def _silencers(weights: UnitWeights) -> dict[str, UnitIds]:
    """Units that no Linear or convolution of all channels makes, by the module that gives them."""
    made = {label for units in weights.rows.values() for label in weights.groups.of(units).tolist()}
    return {
        name: units
        for name, units in weights.per_channel.items()
        if made.isdisjoint(weights.groups.of(units).tolist())
    }


def taylor(subject: Subject, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    r"""First-order change of the loss when a unit is set to 0, where the next layers read it.

    .. math:: E \left\lvert x_i \, \partial L / \partial x_i \right\rvert

    The loss is cross entropy where the data have classes, else half the squared outputs.

    References:
        Molchanov et al. (2017), https://arxiv.org/abs/1611.06440
    """
    labels, total = subject.weights.groups, np.zeros(len(units))
    order = np.argsort(units)
    for name, change in _changes(subject).items():
        read = labels.of(subject.weights.columns[name])
        known = np.isin(read, units)
        np.add.at(total, order[np.searchsorted(units[order], read[known])], change[known])
    return total


@torch.enable_grad()
def _changes(subject: Subject) -> dict[str, np.ndarray]:
    """Mean absolute first-order change of the loss for every input of every layer, positions added up."""
    found: dict[str, Tensor] = {}
    with calls(subject.model, subject.weights.columns) as noted:
        for start, piece in enumerate(batches(subject.call, subject.inputs)):
            given = {}
            gives = subject.score.scored(subject.call, requiring_grad(piece))
            loss = _loss(subject, gives, start * BATCH)
            for name, seen in noted.items():
                given[name] = [x for x, _ in seen if x.requires_grad]
                seen.clear()
            for name, tensors in given.items():
                module = weighted(subject.model, name)
                slopes = torch.autograd.grad(loss, tensors, retain_graph=True, materialize_grads=True)
                for x, slope in zip(tensors, slopes, strict=True):
                    change = channel_rows(module, x * slope).detach().double()
                    of_samples = change.reshape(len(gives), -1, change.shape[-1]).sum(1).abs().sum(0).cpu()
                    found[name] = found.get(name, torch.zeros(())) + of_samples
    return {name: (value / len(subject.inputs[0])).numpy() for name, value in found.items()}


def _loss(subject: Subject, gives: Tensor, start: int) -> Tensor:
    """Sum over the rows of one batch, which begins at row `start`."""
    score = subject.score
    if score.labels is None or gives.shape[1] < 2:
        return gives.square().sum() / 2
    labels = torch.from_numpy(score.labels[start : start + len(gives)]).to(gives.device)
    return functional.cross_entropy(gives, labels, reduction="sum")


def random(subject: Subject, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """A number drawn for each unit; every unit of the network is as likely to go as any other."""
    return np.random.default_rng(seed).random(len(units))
