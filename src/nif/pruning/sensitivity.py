"""How strongly the outputs of a network follow what each of its layers computes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.network.forward import Inputs, batches
from nif.network.unit_groups import UnitIds
from nif.network.weights import calls, features, flat_weight, some_of, taps, targets, weighted
from nif.pruning.least_squares import Moments
from nif.pruning.problem import PruningProblem

SAMPLES = 1_000

DIRECTIONS = 16
"""Directions of the output whose gradients are followed where there are more outputs than that."""


@torch.enable_grad()
def readout(problem: PruningProblem) -> dict[str, Float[Tensor, "output output"]]:
    r"""For every Linear and convolution, the mean outer product of the gradients behind it.

    .. math:: M = E \sum_c \frac{\partial o_c}{\partial z} \frac{\partial o_c}{\partial z}^T

    z is what the layer gives and o the outputs that are scored, so that an error e of z moves the outputs by
    about :math:`e^T M e`, squared and summed: one scale for the errors of all layers. Positions of a
    convolution are added up. Many outputs are replaced by random combinations of them, with the same mean.
    """
    found: dict[str, Tensor] = {}
    inputs = some_of(problem.model, problem.inputs, SAMPLES)
    with calls(problem.model, problem.weights.columns) as noted:
        for piece in batches(problem.call, inputs):
            gives = problem.criterion.differentiable(problem.call, requiring_grad(piece))
            tensors = {name: [z for _, z in seen] for name, seen in noted.items()}
            for seen in noted.values():
                seen.clear()
            for direction in directions(gives.shape[1]).to(gives):
                _add(found, problem, gives @ direction, tensors)
    return {name: total / len(inputs[0]) for name, total in found.items()}


def requiring_grad(piece: Inputs) -> Inputs:
    """Inputs of which gradients are taken; whole numbers, such as those of words, have none."""
    return tuple(values.requires_grad_(values.is_floating_point()) for values in piece)


def _add(
    found: dict[str, Tensor], problem: PruningProblem, combined: Tensor, tensors: dict[str, list[Tensor]]
) -> None:
    everything = [z for each in tensors.values() for z in each]
    slopes = torch.autograd.grad(combined.sum(), everything, retain_graph=True, allow_unused=True)
    owners = [name for name, each in tensors.items() for _ in each]
    for name, slope in zip(owners, slopes, strict=True):
        if slope is not None:
            rows = targets(weighted(problem.model, name), slope).double()
            found[name] = found.get(name, rows.new_zeros(())) + rows.T @ rows


def directions(outputs: int) -> Float[Tensor, "direction output"]:
    """One row for each output, or random combinations of many of them."""
    if outputs <= DIRECTIONS:
        return torch.eye(outputs)
    drawn = torch.randn(DIRECTIONS, outputs, generator=torch.Generator().manual_seed(0))
    return drawn / DIRECTIONS**0.5


ROWS = 20_000
"""Rows, samples times positions, that a covariance rests on."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One layer that reads units.

    Attributes:
        covariance: Of its features, over samples and positions.
        weight: Its weights, with rows mixed so that a squared error of them is one of the network's outputs.
        unit: The unit of each feature.
    """

    covariance: Float[Tensor, "feature feature"]
    weight: Float[Tensor, "output feature"]
    unit: Int64[np.ndarray, " feature"]


def readings(problem: PruningProblem, units: UnitIds) -> list[Reading]:
    """Every layer that reads some of these units and that the outputs depend on."""
    scales, labels = readout(problem), problem.weights.groups
    read = {name: labels.of(reads) for name, reads in problem.weights.columns.items()}
    names = [name for name in read if name in scales and np.isin(read[name], units).any()]
    covariances = _covariances(problem, names)
    found = []
    for name in names:
        module = weighted(problem.model, name)
        weight = _root(scales[name]) @ flat_weight(module).detach().double().cpu()
        found.append(Reading(covariances[name], weight, np.repeat(read[name], taps(module))))
    return found


def _root(scale: Float[Tensor, "output output"]) -> Float[Tensor, "output output"]:
    """R with R^T R = scale."""
    values, vectors = torch.linalg.eigh(scale.cpu())
    return values.clamp_min(0).sqrt()[:, None] * vectors.T


@torch.no_grad()
def _covariances(problem: PruningProblem, names: list[str]) -> dict[str, Float[Tensor, "feature feature"]]:
    moments = {name: Moments() for name in names}
    inputs, drawn = some_of(problem.model, problem.inputs), torch.Generator().manual_seed(0)
    with calls(problem.model, names) as noted:
        for piece in batches(problem.call, inputs, size=256):
            problem.call.all_outputs(piece)
            most = math.ceil(ROWS * len(piece[0]) / len(inputs[0]))
            for name, seen in noted.items():
                channels = torch.arange(len(problem.weights.columns[name]))
                for given, _ in seen:
                    rows = features(weighted(problem.model, name), given, channels)
                    x = rows[torch.randperm(len(rows), generator=drawn)[:most]].double().cpu()
                    moments[name].add(x, x[:, :0])
                seen.clear()
    return {name: found.covariance() for name, found in moments.items()}
