"""Train a small classifier in one thread."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nif.core.adam import Adam
from nif.core.types import Advance, ignore
from nif.network.decision import Decision
from nif.network.forward import Forward

BATCH = 64


def classifier(sizes: Sequence[int], *, seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, initialised as torch does, from a separate generator.

    Args:
        sizes: Features, hidden units of each layer, classes.
        seed: Random seed of the initial weights.

    Example:
        >>> [name for name, _ in classifier((4, 10, 3), seed=0).named_children()]
        ['linear1', 'relu1', 'linear2']
    """
    generator = torch.Generator().manual_seed(seed)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for depth, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        modules[f"linear{depth}"] = _linear(inputs, outputs, generator)
        modules[f"relu{depth}"] = nn.ReLU()
    modules.popitem()  # the last layer returns logits
    return nn.Sequential(modules)


def train(
    model: nn.Module,
    x: Float[Tensor, "sample feature"],
    y: Int64[Tensor, " sample"],
    *,
    epochs: int,
    learning_rate: float = 0.01,
    seed: int,
    advance: Advance = ignore,
) -> None:
    """Minimise cross-entropy with Adam in batches of 64, the step size falling to 0 along a cosine.

    The model is trained in place and left in eval mode; `seed` is that of the order of the samples.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = Adam.of(list(model.parameters()))
    model.train()
    for epoch in range(epochs):
        rate = learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimiser.zero_grad()
            cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step(rate)
        advance(1.0)
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, x: Float[Tensor, "sample feature"], y: Int64[Tensor, " sample"]) -> float:
    """The fraction of samples that the network assigns to their class."""
    return Decision.of(Forward(model), (x,)).accuracy(model(x), y)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    with torch.random.fork_rng(devices=()):  # torch's own initial weights are drawn from the global generator
        layer = nn.Linear(inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
