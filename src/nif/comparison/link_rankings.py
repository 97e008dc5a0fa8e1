"""Ways to rank the links of a network, by the name of their row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.comparison.link_problem import LinkProblem
from nif.core.errors import InputError

Strengths = dict[str, Float[np.ndarray, "target source"]]
"""A number for each link of each linear module, in the shape of its weight: larger for a stronger link."""

EAP_ROWS, EAP_OTHERS, EAP_STEPS = 512, 8, 16
"""Rows that are explained, other rows of each, and steps between them."""


def currents(problem: LinkProblem) -> Strengths:
    """The absolute value of the mean current of each link."""
    flow = problem.currents()
    return {name: np.abs(flow.weights(f"{name}.weight").nats) for name in problem.linears}


def eap_ig(problem: LinkProblem) -> Strengths:
    r"""Edge attribution patching with integrated gradients, in absolute value.

    .. math:: \Big| \operatorname{E}_{x, z} \; w_{kl} \, (h_k(x) - h_k(z))
        \int_0^1 \frac{\partial D(x, z + t (x - z))}{\partial a_l} \, dt \Big|

    The whole change of the source k from another row z to the row x, times the weight, times the mean
    gradient with respect to the target l before its activation function, on the straight way of the inputs; D
    is the divergence from the decision at x. Up to 512 rows are explained from 8 others each, in 16 steps.
    Its sums are those of the divergence in linear networks only.

    References:
        Hanna, Pezzelle & Belinkov (2024), "Have faith in faithfulness", https://arxiv.org/abs/2403.17806
    """
    return patching(problem, *pairs(problem), [(step + 0.5) / EAP_STEPS for step in range(EAP_STEPS)])


def pairs(problem: LinkProblem) -> tuple[Tensor, Tensor]:
    """Rows that edge attribution patching explains, and another row of each."""
    generator = torch.Generator().manual_seed(problem.seed)
    rows = torch.randperm(len(problem.x), generator=generator)[:EAP_ROWS].repeat(EAP_OTHERS)
    others = torch.randint(len(problem.x), (len(rows),), generator=generator)
    return problem.x[rows], problem.x[others]


def patching(problem: LinkProblem, x: Tensor, z: Tensor, stops: Sequence[float]) -> Strengths:
    """The absolute value of: change of the source from z to x, times the weight, times a mean gradient.

    Args:
        problem: The network.
        x: Rows that are explained.
        z: Another row of each.
        stops: Where on the straight way from z to x the gradient is taken: 0 at z, 1 at x.
    """
    with torch.no_grad():
        outputs = problem.outputs(x)
    ends = problem.sources(x), problem.sources(z)
    found = {name: torch.zeros_like(module.weight) for name, module in problem.linears.items()}
    for stop in stops:
        targets, there = problem.targets(z + stop * (x - z))
        slopes = torch.autograd.grad(problem.divergence(outputs, there).sum(), list(targets.values()))
        for name, slope in zip(targets, slopes, strict=True):
            moved = (ends[0][name] - ends[1][name]).flatten(0, -2)
            found[name] += problem.linears[name].weight * (slope.flatten(0, -2).T @ moved) / len(stops)
    return {name: values.abs().numpy() for name, values in found.items()}


def weight_times_deviation(problem: LinkProblem) -> Strengths:
    """The size of a weight times the standard deviation of its source."""
    return {
        name: (problem.linears[name].weight.abs() * values.flatten(0, -2).std(0)).numpy()
        for name, values in problem.sources(problem.x).items()
    }


def association(problem: LinkProblem) -> Strengths:
    """Mutual information of the two units, less redundancy, of the flow given.

    Raises:
        InputError: No link of the flow stands for the weights of a linear module.
    """
    known, flow = problem.currents(), problem.flow
    assert known.currents is not None
    layers = [layer.name for layer in flow.layers]
    links = {(layers[each.source], layers[each.target]): each for each in flow.links}
    weights = {name: weight for weight in known.currents.weights for name in weight.names}
    found = {}
    for name in problem.linears:
        weight = weights[f"{name}.weight"]
        between = None if weight.links is None else known.links[weight.links]
        ends = between and (known.layers[between.source].name, known.layers[between.target].name)
        if ends not in links:
            raise InputError(
                f"No link of the flow of association stands for the weights of {name!r} alone; leave out "
                "'association' from methods."
            )
        nats = links[ends].dense("nats")
        found[name] = nats.T if weight.transposed else nats
    return found


def at_random(problem: LinkProblem) -> Strengths:
    """Random numbers."""
    generator = np.random.default_rng(problem.seed)
    return {name: generator.random(module.weight.shape) for name, module in problem.linears.items()}


LINK_RANKINGS: dict[str, Callable[[LinkProblem], Strengths]] = {
    "currents": currents,
    "EAP-IG": eap_ig,
    "weight x deviation": weight_times_deviation,
    "association": association,
    "random ranking": at_random,
}
"""A new ranking is a function of a `LinkProblem`, and one entry here."""
