"""The sample of a measurement: explained rows, their backgrounds, and the groups for the errors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nif.measures.currents.backgrounds import Backgrounds, explained_rows, similar_backgrounds
from nif.measures.currents.information import (
    Decided,
    exact_information,
    information,
    mean_log_likelihood,
    own_log_likelihood,
)
from nif.measures.currents.path_integral import GROUPS
from nif.network.forward import BATCH

LARGEST_MISS = 0.01
"""Part of the closed form that the total may differ by before backgrounds are added."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Explained rows, their backgrounds, and the groups that are left out for the errors."""

    rows: np.ndarray
    weights: np.ndarray
    backgrounds: Backgrounds
    groups: np.ndarray
    exact: float

    @classmethod
    def of(
        cls, decided: Decided, outputs: Tensor, most_rows: int, most: int, generator: np.random.Generator
    ) -> Sample:
        """Draw them; where the total misses the closed form, with more backgrounds than `most`."""
        known = _roughly_known(decided, outputs, generator)
        rows, weights = explained_rows(known, most_rows, generator)
        groups = generator.permutation(len(outputs)) % GROUPS
        index = torch.from_numpy(rows).to(outputs.device)
        exact = float(weights @ exact_information(decided, index, outputs).double().numpy(force=True))
        count = most
        while True:
            backgrounds = similar_backgrounds(decided, outputs, rows, count, generator)
            total = _total(decided, outputs, rows, weights, backgrounds)
            if (
                abs(total - exact) <= LARGEST_MISS * abs(exact)
                or count >= len(outputs) - 1
                or abs(exact) < 1e-6  # of a constant decision only rounding is left
            ):
                break
            count *= 2
        if count > most:
            warnings.warn(
                f"{most} backgrounds miss the total of {exact:.3g} nats; "
                f"{min(count, len(outputs) - 1)} are used.",
                stacklevel=2,
            )
        return cls(rows, weights, backgrounds, groups, exact)

    def pilot(self, rows: int, backgrounds: int) -> Sample:
        """A part of it, on which the number of steps is chosen."""
        chosen = np.linspace(0, len(self.rows) - 1, min(rows, len(self.rows))).astype(np.int64)
        count = self.backgrounds.index.shape[1]
        some = np.linspace(0, count - 1, min(backgrounds, count)).astype(np.int64)
        log_weights = self.backgrounds.log_weights[np.ix_(chosen, some)]
        part = Backgrounds(self.backgrounds.index[np.ix_(chosen, some)], log_weights, self.backgrounds.own)
        weights = self.weights[chosen] / self.weights[chosen].sum()
        return Sample(self.rows[chosen], weights, part, self.groups, self.exact)


ROUGH_POOL = 1000
"""Rows against which the information of all rows is computed to draw those to explain."""


def _roughly_known(
    decided: Decided, outputs: Tensor, generator: np.random.Generator
) -> Float[np.ndarray, " pool"]:
    some = np.sort(generator.permutation(len(outputs))[:ROUGH_POOL])
    pool = outputs[torch.from_numpy(some).to(outputs.device)]
    parts = []
    for first in range(0, len(outputs), BATCH):
        part = outputs[first : first + BATCH]
        outcomes = decided.outcomes(part, torch.arange(first, first + len(part)))
        rise = own_log_likelihood(outcomes, part) - mean_log_likelihood(decided, part, pool)
        parts.append(torch.where(outcomes.weight > 0, outcomes.weight * rise, 0.0).sum(1))
    return torch.cat(parts).double().numpy(force=True)


def _total(
    decided: Decided, outputs: Tensor, rows: np.ndarray, weights: np.ndarray, backgrounds: Backgrounds
) -> float:
    """The total of the currents from these backgrounds: the rise of v from its beginning to its end."""
    index = torch.from_numpy(rows).to(outputs.device)
    outcomes = decided.outcomes(outputs[index], index)
    own = own_log_likelihood(outcomes, outputs[index])
    there = outputs[torch.from_numpy(backgrounds.index).to(outputs.device)]
    log_weights = torch.from_numpy(backgrounds.log_weights).to(outputs)
    start = information(outcomes, there, log_weights, own + float(np.log(backgrounds.own)))
    rise = torch.where(outcomes.weight > 0, outcomes.weight * (own - start), 0.0).sum(1)
    return float(weights @ rise.double().numpy(force=True))
