r"""Critics of vectors: bent sides, squared lengths as inputs, and a start at the Student copula.

.. math:: T(x, y) = \tilde x^\top A \tilde x + \tilde y^\top B \tilde y + \tilde x^\top C \tilde y
        + w_3^\top \sigma(W_2 \sigma(W_x [x, l_x] + W_y [y, l_y] + b_1) + b_2) + \kappa S(x, y)

The quadratic part sees each side after a linear map that changes from place to place,

.. math:: \tilde x = x + \sum_k g_k(x) V_k x,

where the gates :math:`g_k` are functions of the squared length :math:`l_x`, or of a projection. S is the log
density ratio of the Student copula fitted to the samples, over :math:`(\nu + d) / 2`. With :math:`V_k` and
:math:`w_3` at zero, a critic starts at the Gaussian copula or at the Student copula, whichever is better on
the validation samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nif.estimators.neural.bounds import Bound
from nif.estimators.neural.critics import Critics, gaussian_critics, rolled_rows
from nif.estimators.neural.training import Parts, Samples, shifts_of, shrunk
from nif.estimators.student_copula import StudentCopula, student_scores

KNOTS = (-1.6, -1.2, -0.8, -0.4, 0.0, 0.5, 1.1, 2.0, 3.2)
"""Standardised squared lengths between which the gates of the length are piecewise linear."""

DIRECTIONS = 8
"""Gates of a side along trained directions."""


@dataclass(frozen=True, eq=False)
class VectorCritics(Critics):
    """A bank of critics of vectors, whose sides have the columns of `with_features`."""

    student: Float[Tensor, " pair"]
    bend_x: Float[Tensor, "pair dim_x gates_of_dim_x"]
    bend_y: Float[Tensor, "pair dim_y gates_of_dim_y"]
    gate_x: Float[Tensor, "pair inputs_x gate"]
    gate_y: Float[Tensor, "pair inputs_y gate"]
    gate_bias_x: Float[Tensor, "pair 1 gate"]
    gate_bias_y: Float[Tensor, "pair 1 gate"]

    LINEAR: ClassVar[frozenset[str]] = Critics.LINEAR | {"student"}

    def scores(
        self,
        x: Float[Tensor, "pair sample columns_x"],
        y: Float[Tensor, "pair sample columns_y"],
        shifts: Int[Tensor, " shift"],
    ) -> tuple[Float[Tensor, "pair sample"], Float[Tensor, "pair shift sample"]]:
        """Scores of the samples, and of those with y taken `shift` rows further on."""
        rows = rolled_rows(x.shape[1], shifts)
        end_x, end_y = (dim + 1 for dim in self.cross.shape[1:])
        bent_x = _bent(x[..., :end_x], self.bend_x, self.gate_x, self.gate_bias_x)
        bent_y = _bent(y[..., :end_y], self.bend_y, self.gate_y, self.gate_bias_y)
        total = self._quadratic(bent_x, bent_y, rows) + self.bias[:, None, None]
        total = total + self._residual(x[..., :end_x], y[..., :end_y], rows)
        total = total + self.student[:, None, None] * _student_ratio(x[..., end_x:], y[..., end_y:], rows)
        return total[:, 0], total[:, 1:]


def _bent(side: Float[Tensor, "pair sample input"], bend: Tensor, gate: Tensor, bias: Tensor) -> Tensor:
    """Each sample plus a sum of linear maps of it, weighted by its gates."""
    x, length = side[..., :-1], side[..., -1:].contiguous()
    gates = torch.cat([_between_knots(length), torch.tanh(side @ gate + bias)], dim=-1)
    maps = (x @ bend).unflatten(-1, (gates.shape[-1], -1))
    return x + (gates[..., None] * maps).sum(dim=-2)


def _between_knots(length: Float[Tensor, "pair sample 1"]) -> Float[Tensor, "pair sample knot"]:
    """The weights of the two knots around each length: 1 in all, the nearer knot has the larger."""
    knots = torch.tensor(KNOTS, device=length.device, dtype=length.dtype)
    inside = length.clamp(KNOTS[0], KNOTS[-1])
    above = torch.searchsorted(knots, inside, right=True).clamp(1, len(KNOTS) - 1)
    weight = (inside - knots[above - 1]) / (knots[above] - knots[above - 1])
    empty = length.new_zeros(*length.shape[:-1], len(KNOTS))
    return empty.scatter(-1, above - 1, 1 - weight).scatter(-1, above, weight)


def _student_ratio(x: Tensor, y: Tensor, rows: Tensor) -> Float[Tensor, "pair row sample"]:
    """S, from the last columns of both sides: two terms that add, and the factors of a product."""
    together = (x[:, None, :, 2:] * y[:, rows, 2:]).sum(-1)
    lengths = x[:, None, :, 0] + y[:, rows, 0] + together
    return x[:, None, :, 1] + y[:, rows, 1] - torch.log1p(lengths.clamp_min(0))


def columns_of(dim_x: int, dim_y: int) -> int:
    """Columns of both sides with their features.

    Example:
        >>> columns_of(2, 1)
        11
    """
    return dim_x + dim_y + 2 * (3 + dim_y)


def bends_of(dim_x: int, dim_y: int) -> int:
    """Numbers in the maps that bend both sides.

    Example:
        >>> bends_of(2, 1)
        85
    """
    return (len(KNOTS) + DIRECTIONS) * (dim_x**2 + dim_y**2)


def vector_critics(
    parts: Parts, bound: Bound, hidden: int, generator: torch.Generator
) -> tuple[VectorCritics, Parts]:
    """Untrained critics of vectors, and the samples with the features that they need."""
    copulas = [
        StudentCopula.fit(np.concatenate([x, y], axis=1))
        for x, y in zip(*(side.cpu().double().numpy() for side in (parts[0].x, parts[0].y)), strict=True)
    ]
    dims = parts[0].x.shape[-1], parts[0].y.shape[-1]
    fit, validation, held_out = (with_features(part, copulas) for part in parts)
    start = _gaussian(fit, dims, hidden, generator)
    shifts = shifts_of(validation.x.shape[1], 20, generator).to(fit.x.device)
    factor = torch.tensor([(copula.freedom + sum(dims)) / 2 for copula in copulas]).to(fit.x)
    return _better(start, factor, bound, validation, shifts), (fit, validation, held_out)


def _gaussian(fit: Samples, dims: tuple[int, int], hidden: int, generator: torch.Generator) -> VectorCritics:
    """Critics at the Gaussian copula."""
    start = gaussian_critics(fit.x[..., : dims[0]], fit.y[..., : dims[1]], hidden, generator, more=1)
    pairs, gates = len(fit.x), len(KNOTS) + DIRECTIONS

    def uniform(inputs: int, spread: float) -> Tensor:
        numbers = torch.rand(inputs, DIRECTIONS, generator=generator) * 2 - 1
        return (spread * numbers).to(fit.x).repeat(pairs, 1, 1)

    more = [
        start.bias.clone(),
        *(fit.x.new_zeros(pairs, dim, gates * dim) for dim in dims),
        *(uniform(dim + 1, math.sqrt(3 / (dim + 1))) for dim in dims),
        *(uniform(1, 1.5) for _ in dims),
    ]
    return VectorCritics(*start.parameters, *more)


def _better(
    gaussian: VectorCritics, factor: Float[Tensor, " pair"], bound: Bound, samples: Samples, shifts: Tensor
) -> VectorCritics:
    """The better start of each pair."""
    zeros = [
        torch.zeros_like(tensor) for tensor in (gaussian.quadratic_x, gaussian.quadratic_y, gaussian.cross)
    ]
    names = "quadratic_x", "quadratic_y", "cross", "student"
    student = replace(gaussian, **dict(zip(names, (*zeros, factor), strict=True)))
    with torch.no_grad():
        values = [
            bound.value(*shrunk(start, bound, samples, shifts).scores(samples.x, samples.y, shifts))
            for start in (gaussian, student)
        ]
    chosen = values[1] > values[0]
    starts = zip(gaussian.parameters, student.parameters, strict=True)
    return VectorCritics(
        *[torch.where(chosen.view(-1, *[1] * (own.dim() - 1)), other, own) for own, other in starts]
    )


def with_features(samples: Samples, copulas: list[StudentCopula]) -> Samples:
    """Normal scores with further columns: the squared length, and what S is computed from."""
    sides = zip(samples.x, samples.y, copulas, strict=True)
    of_x, of_y = zip(*(_columns(x, y, copula) for x, y, copula in sides), strict=True)
    device = samples.x.device
    return Samples(torch.stack(of_x).to(device), torch.stack(of_y).to(device))


def _columns(
    x: Float[Tensor, "sample dim_x"], y: Float[Tensor, "sample dim_y"], copula: StudentCopula
) -> tuple[Tensor, Tensor]:
    freedom, dim_x = copula.freedom, x.shape[1]
    both, of_x, of_y = copula.precisions(dim_x)
    q_x, q_y = (student_scores(side.cpu().double().numpy(), freedom) for side in (x, y))
    full = freedom + dim_x + y.shape[1]

    def columns(
        side: Tensor, q: np.ndarray, block: np.ndarray, own: np.ndarray, factors: np.ndarray
    ) -> Tensor:
        dim = q.shape[1]
        in_both, alone = (((q @ matrix) * q).sum(axis=1) / freedom for matrix in (block, own))
        more = np.column_stack([in_both, (freedom + dim) / full * np.log1p(alone), factors])
        length = (side.square().sum(dim=1, keepdim=True) - dim) / math.sqrt(2 * dim)
        return torch.cat([side, length, torch.as_tensor(more).to(side)], dim=1)

    product = 2 / freedom * q_x @ both[:dim_x, dim_x:]
    return (
        columns(x, q_x, both[:dim_x, :dim_x], of_x, product),
        columns(y, q_y, both[dim_x:, dim_x:], of_y, q_y),
    )
