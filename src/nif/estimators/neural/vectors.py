r"""Critics of vectors: squared lengths as inputs, and a start at the Student copula.

.. math:: T(x, y) = T_{\text{bank}}([x, |x|^2], [y, |y|^2]) + \kappa S(x, y)

S is the log density ratio of the Student copula fitted to the samples, over :math:`(\nu + d) / 2`. A critic
starts at the Gaussian copula or at the Student copula, whichever is better on the validation samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nif.estimators.neural.bounds import Bound
from nif.estimators.neural.critics import Critics, gaussian_critics, rolled_rows
from nif.estimators.neural.training import Parts, Samples, shifts_of, shrunk
from nif.estimators.student_copula import StudentCopula, student_scores



@dataclass(frozen=True, eq=False)
class VectorCritics(Critics):
    """A bank of critics of sides with the columns of `with_features`; `student` is the factor of S."""

    student: Float[Tensor, " pair"]

    LINEAR: ClassVar[frozenset[str]] = Critics.LINEAR | {"student"}

    def scores(
        self,
        x: Float[Tensor, "pair sample columns_x"],
        y: Float[Tensor, "pair sample columns_y"],
        shifts: Int[Tensor, " shift"],
    ) -> tuple[Float[Tensor, "pair sample"], Float[Tensor, "pair shift sample"]]:
        """Scores of the samples, and of those with y taken `shift` rows further on."""
        rows = rolled_rows(x.shape[1], shifts)
        dim_x, dim_y = self.cross.shape[1:]
        total = self._residual(x[..., : dim_x + 1], y[..., : dim_y + 1], rows)
        total = total + self._quadratic(x[..., :dim_x], y[..., :dim_y], rows) + self.bias[:, None, None]
        ratio = _student_ratio(x[..., dim_x + 1 :], y[..., dim_y + 1 :], rows)
        total = total + self.student[:, None, None] * ratio
        return total[:, 0], total[:, 1:]


def _student_ratio(x: Tensor, y: Tensor, rows: Tensor) -> Float[Tensor, "pair row sample"]:
    """S, from the last columns of both sides: two terms that add, and the factors of a product."""
    together = (x[:, None, :, 2:] * y[:, rows, 2:]).sum(-1)
    lengths = x[:, None, :, 0] + y[:, rows, 0] + together
    return x[:, None, :, 1] + y[:, rows, 1] - torch.log1p(lengths.clamp_min(0))


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


def _gaussian(
    fit: Samples, dims: tuple[int, int], hidden: int, generator: torch.Generator
) -> VectorCritics:
    """Critics at the Gaussian copula."""
    x, y = fit.x[..., : dims[0]], fit.y[..., : dims[1]]
    start = gaussian_critics(x, y, hidden, generator, more=1)
    return VectorCritics(*start.parameters, student=start.bias.clone())


def _better(
    gaussian: VectorCritics, factor: Float[Tensor, " pair"], bound: Bound, samples: Samples, shifts: Tensor
) -> VectorCritics:
    """The better start of each pair."""
    zeros = [torch.zeros_like(tensor) for tensor in gaussian.parameters[:3]]
    student = VectorCritics(*zeros, *gaussian.parameters[3:-1], student=factor)
    with torch.no_grad():
        values = [
            bound.value(*shrunk(start, bound, samples, shifts).scores(samples.x, samples.y, shifts))
            for start in (gaussian, student)
        ]
    chosen = values[1] > values[0]
    pairs = zip(gaussian.parameters, student.parameters, strict=True)
    return VectorCritics(
        *[torch.where(chosen.view(-1, *[1] * (own.dim() - 1)), other, own) for own, other in pairs]
    )


def with_features(samples: Samples, copulas: list[StudentCopula]) -> Samples:
    """Normal scores with further columns: the squared length, and what S is computed from."""
    sides = zip(samples.x, samples.y, copulas, strict=True)
    of_x, of_y = zip(*(_columns(x, y, copula) for x, y, copula in sides), strict=True)
    device = samples.x.device
    return Samples(torch.stack(of_x).to(device), torch.stack(of_y).to(device))


def _columns(x: Float[Tensor, "sample dim_x"], y: Float[Tensor, "sample dim_y"], copula: StudentCopula) -> tuple[Tensor, Tensor]:
    freedom, dim_x = copula.freedom, x.shape[1]
    both, of_x, of_y = copula.precisions(dim_x)
    q_x, q_y = (student_scores(side.cpu().double().numpy(), freedom) for side in (x, y))
    full = freedom + dim_x + y.shape[1]

    def columns(side: Tensor, q: np.ndarray, block: np.ndarray, own: np.ndarray, factors: np.ndarray) -> Tensor:
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
