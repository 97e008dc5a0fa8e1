"""Cross-fitted variational estimates: the common part of MINE, NWJ, InfoNCE and SMILE.

The samples are split into folds. The critic of a fold is trained on the other folds, with early stopping on a
part of them that training does not use, and evaluated on the fold itself. The bound found there is too low by
the cost of learning from few samples; `cross_fitting` corrects this and adds the correction to the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.core.random import usual_defaults
from nif.core.types import Advance, ignore
from nif.estimators.binned.estimator import FEWEST_SAMPLES, Binned
from nif.estimators.determined import limited
from nif.estimators.entropy import constant_pairs, with_constant_pairs
from nif.estimators.estimate import Estimate, SidesX, SidesY
from nif.estimators.neural.bounds import MINE, Bound, PerPair, independence_p_value
from nif.estimators.neural.compiled.bank import can_compile, train_and_evaluate
from nif.estimators.neural.critics import Critics, gaussian_critics
from nif.estimators.neural.cross_fitting import FoldResults, Folds, combine_divisions, combine_folds
from nif.estimators.neural.misfit import Misfit
from nif.estimators.neural.training import Parts, Samples, Schedule, refuse_missing, shifts_of, train
from nif.estimators.neural.vectors import VectorCritics, bends_of, columns_of, vector_critics
from nif.estimators.ranks import normal_scores

WORKING_SET = 2**27
"""Numbers in the hidden layers of one block of pairs, at most: half a gigabyte."""

FEW_SAMPLES = 2000
"""Below this number of samples four folds are used: critics are trained on three quarters, not on half."""

FEW_ROWS, DIVISIONS, PATIENCE_OF_FEW = 300, 5, 3
"""Samples of pairs of numbers below which the estimate is the mean over several divisions into folds: with
few rows the value depends most on which of them are held out, by .35 to .4 standard errors if they are
divided once. Critics then wait for fewer checks without improvement."""

TRUSTED = 0.25
"""Standard errors that `Binned` may be above critics of numbers before what is more counts as missed by them.
Critics are smooth: on a chess board of 5 x 5 they miss .28 of .62 nats at 1,000 samples, `Binned` .08. With
.5 their intervals hold the truth of boards of 5 to 8 fields 30 to 72 % of the time there, with .25 78 to 92
%; standard errors on smooth densities are 2 to 12 % larger, of 3 nats up to twice."""

WIDEST = 128
"""Numbers of both sides up to which critics have the parts for vectors, whose cost grows with the square."""

FOLDS_OF_VECTORS = 8
"""Folds of vectors, whose critics have more to learn, unless there are many samples."""

MANY_SAMPLES = 50_000
"""From this number of samples on, half of them are enough for vectors too."""

RATE_OF_VECTORS = 1e-2
"""The largest learning rate of the critics of vectors."""

SLOW_OF_VECTORS = 2.0
"""`slow` of `combine_folds` for vectors: of twisted vectors the parts that are learnt slowly, such as angles,
are those that matter, and 10,000 samples lose 2.5 to 4.5 times the correction."""

SLOW_AT_START = 0.25
"""The same of critics that training did not improve, where nothing in the samples is against a Gaussian
copula: the correction is the loss of a fitted copula, up to terms of higher order."""

CRITICS_AT_ONCE = 64
"""Critics that are evaluated together, over the columns of a side."""


@dataclass(frozen=True)
class Variational:
    """Options shared by the estimators that train a critic.

    Vectors here are sides that have 3 to 128 numbers together, with `scores`: their critics have more parts
    (`nif.estimators.neural.vectors`). Those of wider sides are like those of pairs of numbers.

    Args:
        hidden: Units in each of the critic's two hidden layers.
        folds: Parts of the data, each held out once; None is 4 below 2,000 samples, else 2, or 8 for
            vectors of less than 50,000.
        steps: Budget of gradient steps for a critic; twice as many for vectors.
        batch: Joint samples in a step.
        shifts: Product samples for each joint sample in a step.
        learning_rate: Of Adam, at the start; at most .01 for vectors.
        eval_shifts: Product samples for each joint sample in the reported value.
        scores: Rank-transform every column to normal scores first (mutual information does not change).
        device: Device on which critics are trained.
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

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """Estimate I(X; Y) of each pair by cross-fitted critics; see `nif.estimators.estimate.Estimator`."""
        refuse_missing(self.device)
        with usual_defaults():
            return self._estimate(x, y, seed, advance)

    def _estimate(self, x: SidesX, y: SidesY, seed: int, advance: Advance) -> Estimate:
        degenerate = constant_pairs(x, y)
        varied = np.flatnonzero(~degenerate)
        advance(float(degenerate.sum()))
        size = self._pairs_at_once(x, y)
        blocks = [varied[start : start + size] for start in range(0, len(varied), size)]
        results = [self._block(x[block], y[block], seed, advance) for block in blocks]
        columns = [np.concatenate(column) for column in zip(*results, strict=True)] or [np.empty(0)] * 4
        found = with_constant_pairs(degenerate, *columns, samples=x.shape[1], estimator=self)
        return limited(found, x, y)

    def _block(self, x: np.ndarray, y: np.ndarray, seed: int, advance: Advance) -> tuple[np.ndarray, ...]:
        generator = torch.Generator().manual_seed(seed)
        samples, vectors = Samples(self._tensor(x), self._tensor(y)), self._bends(x, y)
        schedule = self._schedule(vectors=vectors)
        numbers = self._compiles(samples)
        divisions = DIVISIONS if numbers and x.shape[1] < FEW_ROWS else 1
        schedule = schedule if divisions == 1 else replace(schedule, patience=PATIENCE_OF_FEW)
        found = [
            self._divided(samples, schedule, generator, lambda n: advance(n / divisions), vectors=vectors)
            for _ in range(divisions)
        ]
        combined = found[0] if divisions == 1 else combine_divisions(found)
        return _with_missed(combined, x, y, seed) if numbers else combined

    def _compiles(self, samples: Samples) -> bool:
        return self.bound is MINE and can_compile(samples, self.hidden)

    def _divided(
        self,
        samples: Samples,
        schedule: Schedule,
        generator: torch.Generator,
        advance: Advance,
        *,
        vectors: bool,
    ) -> tuple[np.ndarray, ...]:
        """The estimates from one division of the rows into folds."""
        folds, critics, parts = self._critics(samples, generator, vectors=vectors)
        # Compiled, the method is the same, with the product on a grid of the margins.
        train_and_test = train_and_evaluate if self._compiles(samples) else self._in_torch
        results = train_and_test(critics, parts, schedule, generator, lambda n: advance(n / folds))
        return combine_folds(folds, results, *(_doubts(samples, results) if vectors else ()))

    def _critics(
        self, samples: Samples, generator: torch.Generator, *, vectors: bool
    ) -> tuple[int, Critics, Parts]:
        """Untrained critics of one division of the rows into so many folds, and the rows of each."""
        rows = samples.x.shape[1]
        folds = Folds.of(rows, self.folds or _usual_folds(rows, vectors=vectors), generator)
        fit = folds.take(samples, folds.fit)
        parts = fit, folds.take(samples, folds.validation), folds.take(samples, folds.held_out)
        if vectors:
            return folds.count, *vector_critics(parts, self.bound, self.hidden, generator)
        return folds.count, gaussian_critics(fit.x, fit.y, self.hidden, generator), parts

    def _bends(self, x: np.ndarray, y: np.ndarray) -> bool:
        """Whether the critics are those of `nif.estimators.neural.vectors`, not of numbers."""
        return self.scores and 2 < x.shape[-1] + y.shape[-1] <= WIDEST

    def _pairs_at_once(self, x: np.ndarray, y: np.ndarray) -> int:
        hidden = 8 * self.batch * (1 + self.shifts) * self.hidden
        if not self._bends(x, y):
            return max(1, WORKING_SET // (hidden * (self.folds or 4)))
        dims = x.shape[-1], y.shape[-1]
        numbers = hidden + columns_of(*dims) * x.shape[1] + 6 * bends_of(*dims)
        return max(1, WORKING_SET // (numbers * (self.folds or FOLDS_OF_VECTORS)))

    def _schedule(self, *, vectors: bool) -> Schedule:
        if vectors:
            rate = min(self.learning_rate, RATE_OF_VECTORS)
            return Schedule(2 * self.steps, self.batch, self.shifts, rate)
        return Schedule(self.steps, self.batch, self.shifts, self.learning_rate)

    def _tensor(self, values: np.ndarray) -> Tensor:
        pairs, samples, dim = values.shape
        if self.scores:
            columns = normal_scores(values.transpose(1, 0, 2).reshape(samples, pairs * dim))
            values = columns.reshape(samples, pairs, dim).transpose(1, 0, 2)
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _in_torch(
        self, critics: Critics, parts: Parts, schedule: Schedule, generator: torch.Generator, advance: Advance
    ) -> FoldResults:
        fit, validation, held_out = parts
        trained = train(critics, self.bound, fit, validation, schedule, generator, advance)
        shifts = [
            shifts_of(part.x.shape[1], self.eval_shifts, generator).to(self.device)
            for part in (held_out, fit)
        ]
        (on_fit, *_), highest = self._bounds(trained.critics, fit, shifts[1])
        # A critic of vectors can be far too high where there was no sample to fit.
        ceiling = highest if isinstance(critics, VectorCritics) else torch.full_like(highest, torch.inf)
        results, _ = self._bounds(trained.critics, held_out, shifts[0], ceiling)
        nats, stderr, p_value, own, rise = (
            values.cpu().double().numpy() for values in (*results, on_fit, trained.rise)
        )
        return FoldResults(nats, stderr, p_value, own, rise, trained.converged.cpu().numpy())

    def _bounds(
        self, critics: Critics, samples: Samples, shifts: Tensor, ceiling: PerPair | None = None
    ) -> tuple[tuple[PerPair, PerPair, PerPair], PerPair]:
        """Bound, standard error and p-value of each critic on its samples, and its highest joint score.

        Critics are evaluated a few at a time, with no score above their ceiling.
        """
        rows, columns = samples.x.shape[1], max(samples.x.shape[-1], samples.y.shape[-1])
        ceiling = samples.x.new_full((len(samples.x),), torch.inf) if ceiling is None else ceiling
        values, errors, p_values, highest = [], [], [], []
        for index in torch.arange(len(samples.x)).split(max(1, CRITICS_AT_ONCE // columns)):
            block, limit = samples.pairs(index), ceiling[index]
            with torch.no_grad():
                joint, product = critics.select(index).scores(block.x, block.y, shifts)
            highest.append(joint.amax(dim=-1))
            joint, product = joint.minimum(limit[:, None]), product.minimum(limit[:, None, None])
            values.append(self.bound.value(joint, product))
            errors.append(self.bound.influence(joint, product, shifts).std(dim=-1) / math.sqrt(rows))
            p_values.append(independence_p_value(joint, product, shifts))
        return (torch.cat(values), torch.cat(errors), torch.cat(p_values)), torch.cat(highest)


def _with_missed(found: tuple[np.ndarray, ...], x: SidesX, y: SidesY, seed: int) -> tuple[np.ndarray, ...]:
    """The same, with what `Binned` finds more than the critics in the standard error."""
    nats, stderr, *others = found
    if x.shape[1] < FEWEST_SAMPLES:
        return found
    by_bins = Binned().estimate(x, y, seed=seed)
    missed = np.maximum(by_bins.nats - TRUSTED * by_bins.stderr - nats, 0)
    return nats, np.hypot(stderr, missed), *others


def _doubts(samples: Samples, critics: FoldResults) -> tuple[np.ndarray, np.ndarray]:
    """`slow` and `overlooked` of `combine_folds` for each critic of vectors."""
    at_start = (critics.rise == 0).reshape(len(samples.x), -1)
    slow, overlooked = np.full(at_start.shape, SLOW_OF_VECTORS), np.zeros(at_start.shape)
    for pair in np.flatnonzero(at_start.any(axis=1)):
        misfit = Misfit.of(*(side[pair].cpu().double().numpy() for side in (samples.x, samples.y)))
        slow[pair, at_start[pair] & misfit.possible] = SLOW_AT_START
        overlooked[pair, at_start[pair]] = misfit.overlooked
    return slow.ravel(), overlooked.ravel()


def _usual_folds(samples: int, *, vectors: bool) -> int:
    if samples < FEW_SAMPLES:
        return 4
    return FOLDS_OF_VECTORS if vectors and samples < MANY_SAMPLES else 2
