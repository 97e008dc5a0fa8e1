"""Adam for small networks, by the functional form of PyTorch.

Every optimiser class of `torch.optim` loads PyTorch's compiler when it is made. This takes two seconds, more
than the training of a network of the demo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam


@dataclass(eq=False)
class Adam:
    """The same steps, to the bit, as those of `torch.optim.Adam`, with a learning rate for each step.

    Attributes:
        parameters: Tensors to train; those without a gradient are not moved by a step.
        betas: Decay of the means of gradients and of their squares.
        means: Mean gradient of each parameter.
        squares: Mean squared gradient of each parameter.
        steps: Steps that each parameter has taken.

    Example:
        >>> weight = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> optimiser = Adam.of([weight])
        >>> optimiser.zero_grad()
        >>> weight.square().sum().backward()
        >>> optimiser.step(0.1)
        >>> weight
        tensor([ 0.9000, -1.9000], requires_grad=True)

    References:
        Kingma & Ba (2015), https://arxiv.org/abs/1412.6980
    """

    parameters: Sequence[Tensor]
    betas: tuple[float, float]
    means: Sequence[Tensor]
    squares: Sequence[Tensor]
    steps: Sequence[Tensor]

    @classmethod
    def of(cls, parameters: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.999)) -> Adam:
        """Adam before its first step."""
        means, squares = ([torch.zeros_like(tensor) for tensor in parameters] for _ in range(2))
        return cls(parameters, betas, means, squares, [torch.tensor(0.0) for _ in parameters])

    def zero_grad(self) -> None:
        """Delete the gradients of the last step."""
        for tensor in self.parameters:
            tensor.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float | Sequence[float]) -> None:
        """Move the parameters, at one learning rate or at one for each."""
        count = len(self.parameters)
        rates = [learning_rate] * count if isinstance(learning_rate, float) else learning_rate
        at_rate: dict[float, list[tuple[Tensor, ...]]] = {}
        for rate, *state in zip(rates, self.parameters, self.means, self.squares, self.steps, strict=True):
            if state[0].grad is not None:
                at_rate.setdefault(rate, []).append(tuple(state))
        for rate, states in at_rate.items():
            tensors, means, squares, steps = (list(column) for column in zip(*states, strict=True))
            adam(
                tensors, [tensor.grad for tensor in tensors], means, squares, [], steps,
                amsgrad=False, beta1=self.betas[0], beta2=self.betas[1], lr=rate, weight_decay=0.0, eps=1e-8,
                maximize=False,
            )  # fmt: skip
