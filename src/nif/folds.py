"""Cross-fitting: every sample is scored by a critic that was neither trained nor stopped on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from nif.training import Samples

VALIDATION = 0.25
"""Share of the training samples that decides when to stop."""


@dataclass(frozen=True, eq=False)
class Folds:
    """Row numbers of each fold: fitted, looked at to stop, scored. Up to folds - 1 rows are left out."""

    fit: Int[Tensor, "fold fitted"]
    validation: Int[Tensor, "fold looked"]
    scored: Int[Tensor, "fold held_out"]

    @classmethod
    def of(cls, samples: int, folds: int, generator: torch.Generator) -> Folds:
        size = samples // folds
        parts = torch.randperm(samples, generator=generator)[: size * folds].view(folds, size)
        others = torch.stack([torch.cat([parts[j] for j in range(folds) if j != k]) for k in range(folds)])
        looked = max(1, round(VALIDATION * others.shape[1]))
        return cls(fit=others[:, looked:], validation=others[:, :looked], scored=parts)

    @property
    def count(self) -> int:
        """How many folds there are."""
        return len(self.scored)

    def take(self, samples: Samples, index: Int[Tensor, "fold row"]) -> Samples:
        """The rows of every fold, folds along the pair axis."""
        index = index.to(samples.x.device)
        return Samples(samples.x[:, index].flatten(0, 1), samples.y[:, index].flatten(0, 1))
