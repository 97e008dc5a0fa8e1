"""How strongly the outputs of a network follow what each of its layers computes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nif.pruning.capture import calls, some_of, targets, weighted
from nif.pruning.subject import Subject
from nif.scoring import Inputs, batches

SAMPLES = 1_000

DIRECTIONS = 16
"""Directions of the output whose gradients are followed where there are more outputs than that."""


@torch.enable_grad()
def readout(subject: Subject) -> dict[str, Float[Tensor, "output output"]]:
    r"""For every Linear and convolution, the mean outer product of the gradients behind it.

    .. math:: M = E \sum_c \frac{\partial o_c}{\partial z} \frac{\partial o_c}{\partial z}^T

    z is what the layer gives and o the outputs that are scored, so that an error e of z moves the outputs by
    about :math:`e^T M e`, squared and summed: one scale for the errors of all layers. Positions of a
    convolution are added up. Many outputs are replaced by random combinations of them, with the same mean.
    """
    found: dict[str, Tensor] = {}
    inputs = some_of(subject.model, subject.inputs, SAMPLES)
    with calls(subject.model, subject.wiring.reads) as noted:
        for piece in batches(subject.call, inputs):
            gives = subject.score.scored(subject.call, followed(piece))
            tensors = {name: [z for _, z in seen] for name, seen in noted.items()}
            for seen in noted.values():
                seen.clear()
            for direction in directions(gives.shape[1]).to(gives):
                _add(found, subject, gives @ direction, tensors)
    return {name: total / len(inputs[0]) for name, total in found.items()}


def followed(piece: Inputs) -> Inputs:
    """Inputs of which gradients are taken; whole numbers, such as those of words, have none."""
    return tuple(values.requires_grad_(values.is_floating_point()) for values in piece)


def _add(
    found: dict[str, Tensor], subject: Subject, combined: Tensor, tensors: dict[str, list[Tensor]]
) -> None:
    everything = [z for each in tensors.values() for z in each]
    slopes = torch.autograd.grad(combined.sum(), everything, retain_graph=True, allow_unused=True)
    owners = [name for name, each in tensors.items() for _ in each]
    for name, slope in zip(owners, slopes, strict=True):
        if slope is not None:
            rows = targets(weighted(subject.model, name), slope).double()
            found[name] = found.get(name, rows.new_zeros(())) + rows.T @ rows


def directions(outputs: int) -> Float[Tensor, "direction output"]:
    """One row for each output, or random combinations of many of them."""
    if outputs <= DIRECTIONS:
        return torch.eye(outputs)
    drawn = torch.randn(DIRECTIONS, outputs, generator=torch.Generator().manual_seed(0))
    return drawn / DIRECTIONS**0.5
