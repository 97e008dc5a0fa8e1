"""The only training loop: a bank of critics against a bound, with early stopping for each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nif.bounds import Bound, log_mean_exp
from nif.contracts import Advance, ignore
from nif.critics import Critics


@dataclass(frozen=True)
class Schedule:
    """How long and how fast critics are trained.

    Attributes:
        steps: Budget of gradient steps.
        batch: Joint samples in a step.
        shifts: Product samples for each joint sample in a step.
        learning_rate: Of Adam at the start; falls to zero over the budget along a cosine.
        average: Share of the past kept in MINE's moving average at each step.
        check_every: Steps between looks at the validation samples.
        patience: Looks without improvement after which a pair stops.
    """

    steps: int = 600
    batch: int = 256
    shifts: int = 4
    learning_rate: float = 5e-3
    average: float = 0.9
    check_every: int = 25
    patience: int = 6


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of each pair, x and y drawn together."""

    x: Float[Tensor, "pair sample dim_x"]
    y: Float[Tensor, "pair sample dim_y"]

    def rows(self, index: Int[Tensor, " batch"]) -> Samples:
        """The same rows of every pair."""
        return Samples(self.x[:, index], self.y[:, index])

    def pairs(self, index: Int[Tensor, " kept"]) -> Samples:
        """All rows of some pairs."""
        return Samples(self.x[index], self.y[index])


@dataclass(frozen=True, eq=False)
class Trained:
    """Each pair's critic at its best look, and whether it stopped by itself within the budget."""

    critics: Critics
    converged: Bool[Tensor, " pair"]


def shifts_of(samples: int, count: int, generator: torch.Generator) -> Int[Tensor, " shift"]:
    """Up to `count` different cyclic shifts of `samples` rows, never the identity."""
    return torch.randperm(samples - 1, generator=generator)[:count] + 1


def train(  # noqa: PLR0917
    critics: Critics,
    bound: Bound,
    fit: Samples,
    validation: Samples,
    schedule: Schedule,
    generator: torch.Generator,
    advance: Advance = ignore,
) -> Trained:
    """Maximise the bound of every pair on `fit`; keep each critic as it was best on `validation`.

    Pairs that stop improving leave the bank, so that the cost follows the pairs that still learn.
    """
    pairs = len(fit.x)
    device = fit.x.device
    best, best_value = critics.detached(), torch.full((pairs,), -torch.inf, device=device)
    converged = torch.zeros(pairs, dtype=torch.bool, device=device)
    active = torch.arange(pairs, device=device)
    stale = torch.zeros(pairs, dtype=torch.long, device=device)
    looks = shifts_of(validation.x.shape[1], 20, generator).to(device)
    ascent = _Ascent(critics, bound, schedule, generator)
    here, there = fit, validation
    for step in range(schedule.steps + 1):
        if step % schedule.check_every == 0 or step == schedule.steps:
            value = _value(ascent.critics, bound, there, looks)
            better = value > best_value[active]
            best = _keep(best, active[better], ascent.critics.select(better.nonzero()[:, 0]))
            best_value[active[better]] = value[better]
            stale = torch.where(better, 0, stale + 1)
            stopped = stale > schedule.patience
            converged[active[stopped]] = True
            if stopped.any():
                left = (~stopped).nonzero()[:, 0]
                advance(float(stopped.sum()) * (1 - step / schedule.steps))
                active, stale = active[left], stale[left]
                here, there = here.pairs(left), there.pairs(left)
                ascent.keep(left)
            if len(active) == 0:
                break
        if step < schedule.steps:
            ascent.step(here, step / schedule.steps)
            advance(len(active) / schedule.steps)
    return Trained(best, converged)


def _value(critics: Critics, bound: Bound, samples: Samples, shifts: Tensor) -> Tensor:
    with torch.no_grad():
        return bound.value(*critics.scores(samples.x, samples.y, shifts))


def _keep(best: Critics, pairs: Tensor, better: Critics) -> Critics:
    if len(pairs):
        for old, new in zip(best.parameters, better.parameters, strict=True):
            old[pairs] = new
    return best


class _Ascent:
    """Adam on a bank of critics that can shrink, with the moving average of E[exp T]."""

    def __init__(
        self, critics: Critics, bound: Bound, schedule: Schedule, generator: torch.Generator
    ) -> None:
        self.critics = critics.trainable()
        self.bound, self.schedule, self.generator = bound, schedule, generator
        self.optimizer = torch.optim.Adam(
            self.critics.parameters, lr=schedule.learning_rate, betas=(0.9, 0.99)
        )
        self.log_average: Tensor | None = None

    def step(self, samples: Samples, done: float) -> None:
        """One step on a batch drawn without replacement from the samples."""
        rows = samples.x.shape[1]
        size = min(self.schedule.batch, rows)
        index = torch.randperm(rows, generator=self.generator)[:size].to(samples.x.device)
        shifts = shifts_of(size, self.schedule.shifts, self.generator).to(samples.x.device)
        batch = samples.rows(index)
        joint, product = self.critics.scores(batch.x, batch.y, shifts)
        self.log_average = self._averaged(log_mean_exp(product).detach())
        loss = -self.bound.objective(joint, product, self.log_average).sum()
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _averaged(self, log_mean: Tensor) -> Tensor:
        if self.log_average is None:
            return log_mean
        past, new = math.log(self.schedule.average), math.log(1 - self.schedule.average)
        return torch.logaddexp(self.log_average + past, log_mean + new)

    def keep(self, pairs: Tensor) -> None:
        """Drop the pairs that have stopped, and their part of Adam's state."""
        old = self.critics
        self.critics = old.select(pairs).trainable()
        state = {
            new: self.optimizer.state[was]
            for was, new in zip(old.parameters, self.critics.parameters, strict=True)
        }
        self.optimizer = torch.optim.Adam(
            self.critics.parameters, lr=self.schedule.learning_rate, betas=(0.9, 0.99)
        )
        for new, past in state.items():
            if past:
                self.optimizer.state[new] = {
                    "step": past["step"],
                    "exp_avg": past["exp_avg"][pairs],
                    "exp_avg_sq": past["exp_avg_sq"][pairs],
                }
        self.log_average = None if self.log_average is None else self.log_average[pairs]
