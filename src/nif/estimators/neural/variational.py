"""Cross-fitted variational estimates: what MINE, NWJ, InfoNCE and SMILE have in common.

The samples are cut into folds. The critic of a fold is trained on the other folds, stopped on a part of them
that its training does not see, and scored on the fold itself, which it never saw. The bound found there is
too low by what learning from few samples costs a critic; `cross_fitting` gives that back and counts it as an
error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import pearson3
from torch import Tensor

from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.estimators.entropy import constant_pairs, fill
from nif.estimators.estimate import Estimate
from nif.estimators.neural.bounds import MINE, Bound, PerPair, independence_p_value
from nif.estimators.neural.compiled.bank import can_fuse, train_and_score
from nif.estimators.neural.critics import Critics, gaussian_critics
from nif.estimators.neural.cross_fitting import FoldResults, Folds, combined
from nif.estimators.neural.training import Samples, Schedule, Trained, shifts_of, train
from nif.estimators.ranks import normal_scores

WORKING_SET = 2**27
"""Numbers that the hidden layers of one block of pairs may fill: half a gigabyte."""

FEW_SAMPLES = 2000
"""Below this many samples a critic learns from three quarters of them, not from half: four folds."""


@dataclass(frozen=True)
class Variational:
    """Options shared by the estimators that train a critic.

    Args:
        hidden: Units in each of the critic's two hidden layers.
        folds: Parts of the data that take turns at being scored; None is 4 below 2,000 samples, else 2.
        steps: Budget of gradient steps for a critic.
        batch: Joint samples in a step.
        shifts: Product samples for each joint sample in a step.
        learning_rate: Of Adam, at the start.
        eval_shifts: Product samples for each joint sample in the reported value.
        scores: Rank-transform every column to normal scores first (mutual information does not change).
        device: Where critics are trained.
    """

    hidden: int = 64
    folds: int | None = None
    steps: int = 600
    batch: int = 256
    shifts: int = 4
    learning_rate: float = 5e-3
    eval_shifts: int = 20
    scores: bool = True
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise InputError(f"folds is {self.folds}; cross-fitting needs at least 2.")

    @property
    def bound(self) -> Bound:
        """The bound that is trained and reported."""
        raise NotImplementedError

    def __repr__(self) -> str:
        chosen = [
            f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(chosen)})"

    def estimate(
        self,
        x: Float[np.ndarray, "pair sample dim_x"],
        y: Float[np.ndarray, "pair sample dim_y"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """Estimate I(X; Y) of each pair by cross-fitted critics; see `nif.estimators.estimate.Estimator`."""
        degenerate = constant_pairs(x, y)
        kept = np.flatnonzero(~degenerate)
        advance(float(degenerate.sum()))
        parts = [
            self._block(x[block], y[block], seed, advance) for block in _blocks(kept, self._pairs_in_block())
        ]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.empty(0)] * 4
        values, stderr, p_value, outcome = columns
        return fill(degenerate, values, stderr, p_value, outcome, samples=x.shape[1], estimator=repr(self))

    @property
    def _schedule(self) -> Schedule:
        return Schedule(self.steps, self.batch, self.shifts, self.learning_rate)

    def _pairs_in_block(self) -> int:
        rows = self.batch * (1 + self.shifts)
        return max(1, WORKING_SET // (8 * rows * self.hidden * (self.folds or 4)))

    def _block(self, x: np.ndarray, y: np.ndarray, seed: int, advance: Advance) -> tuple[np.ndarray, ...]:
        generator, rows = torch.Generator().manual_seed(seed), x.shape[1]
        folds = Folds.of(rows, self.folds or (4 if rows < FEW_SAMPLES else 2), generator)
        samples = Samples(self._tensor(x), self._tensor(y))
        if self.bound is MINE and can_fuse(samples, self.hidden):
            return self._fused(folds, samples, generator, advance)
        trained = self._train(folds, samples, generator, advance)
        return self._score(folds, samples, trained, generator)

    def _fused(
        self, folds: Folds, samples: Samples, generator: torch.Generator, advance: Advance
    ) -> tuple[np.ndarray, ...]:
        """Train and score in compiled code: the same method, with the product on a grid of the margins."""
        fit, looked, held_out = (
            folds.take(samples, rows) for rows in (folds.fit, folds.validation, folds.scored)
        )
        critics = gaussian_critics(fit.x, fit.y, self.hidden, generator)
        found = train_and_score(
            critics,
            fit,
            looked,
            held_out,
            self._schedule,
            generator,
            lambda done: advance(done / folds.count),
        )
        p_value = np.where(np.isfinite(found.z), pearson3.sf(found.z, found.skew), 1.0)
        judged = FoldResults(
            found.nats, np.sqrt(found.variance), p_value, found.trained, found.rise, found.converged
        )
        return combined(folds.count, judged)

    def _tensor(self, values: np.ndarray) -> Tensor:
        pairs, samples, dim = values.shape
        if self.scores:
            columns = normal_scores(values.transpose(1, 0, 2).reshape(samples, pairs * dim))
            values = columns.reshape(samples, pairs, dim).transpose(1, 0, 2)
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _train(self, folds: Folds, samples: Samples, generator: torch.Generator, advance: Advance) -> Trained:
        fit, validation = folds.take(samples, folds.fit), folds.take(samples, folds.validation)
        critics = gaussian_critics(fit.x, fit.y, self.hidden, generator)

        def share(done: float) -> None:
            advance(done / folds.count)

        return train(critics, self.bound, fit, validation, self._schedule, generator, share)

    def _score(
        self, folds: Folds, samples: Samples, trained: Trained, generator: torch.Generator
    ) -> tuple[np.ndarray, ...]:
        unseen = self._bounds(trained.critics, folds.take(samples, folds.scored), generator)
        own, _, _ = self._bounds(trained.critics, folds.take(samples, folds.fit), generator)
        nats, stderr, p_value, trained_on, rise = (
            values.cpu().double().numpy() for values in (*unseen, own, trained.rise)
        )
        judged = FoldResults(nats, stderr, p_value, trained_on, rise, trained.converged.cpu().numpy())
        return combined(folds.count, judged)

    def _bounds(
        self, critics: Critics, samples: Samples, generator: torch.Generator
    ) -> tuple[PerPair, PerPair, PerPair]:
        """Bound, standard error and p-value of each critic on its samples, a few critics at a time."""
        rows = samples.x.shape[1]
        shifts = shifts_of(rows, self.eval_shifts, generator).to(self.device)
        values, errors, p_values = [], [], []
        for pair in torch.arange(len(samples.x)).split(64):
            one = samples.pairs(pair)
            with torch.no_grad():
                joint, product = critics.select(pair).scores(one.x, one.y, shifts)
            values.append(self.bound.value(joint, product))
            errors.append(self.bound.influence(joint, product, shifts).std(dim=-1) / math.sqrt(rows))
            p_values.append(independence_p_value(joint, product, shifts))
        return torch.cat(values), torch.cat(errors), torch.cat(p_values)


def _blocks(pairs: np.ndarray, size: int) -> list[np.ndarray]:
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]
