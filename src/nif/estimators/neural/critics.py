r"""A bank of critics: one small network T(x, y) for each pair, all trained together.

Every parameter carries one leading `pair` axis, so that a bank is evaluated by a few batched matrix products,
without a loop over pairs. A critic is

.. math:: T(x, y) = x^\top A x + y^\top B y + x^\top C y
        + w_3^\top \sigma(W_2 \sigma(W_x x + W_y y + b_1) + b_2)

with ReLU. The quadratic part starts at the log density ratio of a Gaussian with the covariance of the data,
and w_3 at zero, so that training starts from the Gaussian copula and adds the rest. An additive
constant would change no bound's gradient except NWJ's, and is `bias`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

RIDGE = 1e-5
"""Fraction of the mean variance added to the diagonal; the error is below .02 nats at a truth of 4."""


@dataclass(frozen=True, eq=False)
class Critics:
    """The parameters of a bank of critics; every tensor has the `pair` axis first."""

    quadratic_x: Float[Tensor, "pair dim_x dim_x"]
    quadratic_y: Float[Tensor, "pair dim_y dim_y"]
    cross: Float[Tensor, "pair dim_x dim_y"]
    bias: Float[Tensor, " pair"]
    weight_x: Float[Tensor, "pair inputs_x hidden"]
    weight_y: Float[Tensor, "pair inputs_y hidden"]
    bias_1: Float[Tensor, "pair 1 hidden"]
    weight_2: Float[Tensor, "pair hidden hidden"]
    bias_2: Float[Tensor, "pair 1 hidden"]
    weight_3: Float[Tensor, "pair hidden 1"]

    LINEAR: ClassVar[frozenset[str]] = frozenset({"quadratic_x", "quadratic_y", "cross", "bias", "weight_3"})
    """The parameters that scores are linear in."""

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]

    def trainable(self) -> Critics:
        """A copy whose tensors collect gradients."""
        return type(self)(*[tensor.detach().clone().requires_grad_() for tensor in self.parameters])

    def detached(self) -> Critics:
        """A copy that later training does not change."""
        return type(self)(*[tensor.detach().clone() for tensor in self.parameters])

    def select(self, pairs: Int[Tensor, " kept"]) -> Critics:
        """The critics of selected pairs."""
        return type(self)(*[tensor.detach()[pairs] for tensor in self.parameters])

    def scaled(self, scale: Float[Tensor, " pair"]) -> Critics:
        """The critics with all scores of a pair multiplied by a number."""

        def times(name: str, tensor: Tensor) -> Tensor:
            factor = scale.view(-1, *[1] * (tensor.dim() - 1))
            return tensor.detach() * factor if name in self.LINEAR else tensor

        return type(self)(*[times(field.name, getattr(self, field.name)) for field in fields(self)])

    def scores(
        self,
        x: Float[Tensor, "pair sample dim_x"],
        y: Float[Tensor, "pair sample dim_y"],
        shifts: Int[Tensor, " shift"],
    ) -> tuple[Float[Tensor, "pair sample"], Float[Tensor, "pair shift sample"]]:
        """Scores of the samples, and of those with y taken `shift` rows further on.

        The projections of x and y are computed once and shared by all shifts.
        """
        rows = rolled_rows(x.shape[1], shifts)
        total = self._residual(x, y, rows) + self._quadratic(x, y, rows) + self.bias[:, None, None]
        return total[:, 0], total[:, 1:]

    def _residual(self, x: Tensor, y: Tensor, rows: Tensor) -> Float[Tensor, "pair row sample"]:
        hidden_x, hidden_y = x @ self.weight_x + self.bias_1, y @ self.weight_y
        hidden = torch.relu(hidden_x[:, None] + hidden_y[:, rows]).flatten(1, 2)
        hidden = torch.relu(torch.baddbmm(self.bias_2, hidden, self.weight_2))
        return (hidden @ self.weight_3).view(len(x), len(rows), -1)

    def _quadratic(self, x: Tensor, y: Tensor, rows: Tensor) -> Float[Tensor, "pair row sample"]:
        alone_x = (x @ self.quadratic_x * x).sum(-1)
        alone_y = (y @ self.quadratic_y * y).sum(-1)
        together = ((x @ self.cross)[:, None] * y[:, rows]).sum(-1)
        return alone_x[:, None] + alone_y[:, rows] + together


def rolled_rows(samples: int, shifts: Int[Tensor, " shift"]) -> Int[Tensor, "row sample"]:
    """Row numbers of y for the unshifted samples (row 0) and for each shift."""
    start = torch.cat([shifts.new_zeros(1), shifts])
    return (start[:, None] + torch.arange(samples, device=shifts.device)) % samples


def gaussian_critics(
    x: Float[Tensor, "pair sample dim_x"],
    y: Float[Tensor, "pair sample dim_y"],
    hidden: int,
    generator: torch.Generator,
    more: int = 0,
) -> Critics:
    r"""Critics that start as the log density ratio of a Gaussian fitted to the samples.

    .. math:: \log \frac{p(x, y)}{p(x) p(y)} = \text{const} - \tfrac12 z^\top
        \left[\Sigma^{-1} - \operatorname{blockdiag}(\Sigma_x, \Sigma_y)^{-1}\right] z, \quad z = (x, y)

    A small ridge keeps nearly singular layers finite. Training starts by scaling the critic to the optimum on
    the validation samples, so that noise does not count as information. On each side the hidden layers have
    `more` inputs than the samples have columns.
    """
    pairs, _, dim_x = x.shape
    dim_y = y.shape[-1]
    covariance = _covariance(torch.cat([x, y], dim=-1).double())
    precision = torch.linalg.inv(covariance)
    alone_x = torch.linalg.inv(covariance[:, :dim_x, :dim_x])
    alone_y = torch.linalg.inv(covariance[:, dim_x:, dim_x:])

    from_x, from_y, bias_1, weight_2 = _hidden_weights(dim_x + more, dim_y + more, hidden, generator)

    def for_all_pairs(weights: Tensor) -> Tensor:
        return weights.to(x).repeat(pairs, 1, 1)

    return Critics(
        quadratic_x=((alone_x - precision[:, :dim_x, :dim_x]) / 2).to(x),
        quadratic_y=((alone_y - precision[:, dim_x:, dim_x:]) / 2).to(x),
        cross=-precision[:, :dim_x, dim_x:].to(x),
        bias=x.new_zeros(pairs),
        weight_x=for_all_pairs(from_x),
        weight_y=for_all_pairs(from_y),
        bias_1=for_all_pairs(bias_1),
        weight_2=for_all_pairs(weight_2),
        bias_2=x.new_zeros(pairs, 1, hidden),
        weight_3=x.new_zeros(pairs, hidden, 1),
    )


def _hidden_weights(dim_x: int, dim_y: int, hidden: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Weights of x and of y, bias, and second weights, the same for every pair.

    Those of the first layer are points of a scrambled Sobol sequence: the kinks of few units are then spread
    evenly over the plane, and no seed leaves a gap at an edge of the density.
    """
    seed = int(torch.randint(2**31, (1,), generator=generator))
    points = torch.quasirandom.SobolEngine(dim_x + dim_y + 1, scramble=True, seed=seed).draw(hidden).T
    spread = 2 * math.sqrt(3 / (dim_x + dim_y))
    from_x, from_y, bias = (2 * points - 1).split([dim_x, dim_y, 1])
    second = (torch.rand(hidden, hidden, generator=generator) * 2 - 1) * math.sqrt(6 / hidden)
    return spread * from_x, spread * from_y, math.sqrt(3) * bias, second


def _covariance(z: Float[Tensor, "pair sample dim"]) -> Float[Tensor, "pair dim dim"]:
    """Covariance of each pair with a small ridge."""
    centred = z - z.mean(dim=1, keepdim=True)
    covariance = centred.mT @ centred / z.shape[1]
    scale = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    return covariance + (RIDGE * scale + 1e-9) * torch.eye(z.shape[-1], device=z.device, dtype=z.dtype)
