"""The training loop: a bank of critics maximises a bound, with early stopping for each pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nif.core.adam import Adam
from nif.core.errors import InputError
from nif.core.types import Advance, ignore
from nif.estimators.neural.bounds import Bound, PerPair, log_mean_exp
from nif.estimators.neural.critics import Critics

FIRST_LAYER_RATE = 2.0
"""Learning rate of the weights of x and y, relative to the others: at sharp edges they must grow."""

BETAS = 0.9, 0.99
"""Decay of Adam's means of gradients and of their squares."""


@dataclass(frozen=True)
class Schedule:
    """The length and the rates of the training of critics.

    Attributes:
        steps: Budget of gradient steps.
        batch: Joint samples in a step.
        shifts: Product samples for each joint sample in a step.
        learning_rate: Of Adam; rises over `warm_up` steps, then falls in a line to zero over the budget.
        keep: Decay of MINE's moving average at each step.
        check_every: Steps between evaluations on the validation samples.
        patience: Evaluations without improvement after which a pair stops.
        warm_up: Steps until the full learning rate.
        average: Decay of the running mean of the weights, which is evaluated and returned.
    """

    steps: int = 800
    batch: int = 256
    shifts: int = 4
    learning_rate: float = 1e-2
    keep: float = 0.5
    check_every: int = 20
    patience: int = 6
    warm_up: int = 10
    average: float = 0.97

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * (1 - step / self.steps)


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


def refuse_missing(device: str) -> None:
    """Refuse a device that PyTorch does not know, or that this machine does not have.

    Example:
        >>> refuse_missing("gpu")
        Traceback (most recent call last):
        nif.InputError: Critics cannot be trained on device='gpu'; pass one that PyTorch has here, such as 'cpu'.
    """  # noqa: E501 - one message
    try:
        torch.zeros(1, device=device).item()  # a meta tensor has no number
    except (RuntimeError, AssertionError) as error:  # the second of a PyTorch without CUDA
        raise InputError(
            f"Critics cannot be trained on device={device!r}; pass one that PyTorch has here, such as 'cpu'."
        ) from error


Parts = tuple[Samples, Samples, Samples]
"""Samples to fit, to validate and to evaluate critics on."""


@dataclass(frozen=True, eq=False)
class Trained:
    """The critic of each pair that was best on the validation samples.

    Attributes:
        critics: One for each pair.
        converged: Whether early stopping ended the training within the budget.
        rise: Growth of the bound on the validation samples over the second half of the training up to the
            best, from 0 where it was below: information is not negative.
    """

    critics: Critics
    converged: Bool[Tensor, " pair"]
    rise: PerPair


def shifts_of(samples: int, count: int, generator: torch.Generator) -> Int[Tensor, " shift"]:
    """Up to `count` different cyclic shifts of `samples` rows, never the identity."""
    return torch.randperm(samples - 1, generator=generator)[:count] + 1


def train(
    critics: Critics,
    bound: Bound,
    fit: Samples,
    validation: Samples,
    schedule: Schedule,
    generator: torch.Generator,
    advance: Advance = ignore,
) -> Trained:
    """Maximise the bound of every pair on `fit`; return the critics that were best on `validation`.

    Pairs that stop improving are removed from the bank, so that the cost falls with their number.
    """
    shifts = shifts_of(validation.x.shape[1], 20, generator).to(fit.x.device)
    ascent = _Ascent(shrunk(critics, bound, validation, shifts), bound, schedule, generator)
    best = _Best(ascent.average)
    active, checked = fit, validation
    for step in range(schedule.steps + 1):
        if step % schedule.check_every == 0 or step == schedule.steps:
            best.update(ascent.average, _value(ascent.average, bound, checked, shifts))
            stopped = best.stale > schedule.patience
            if stopped.any():
                left = best.stop(stopped)
                advance(float(stopped.sum()) * (1 - step / schedule.steps))
                active, checked = active.pairs(left), checked.pairs(left)
                ascent.keep(left)
            if len(best.active) == 0:
                break
        if step < schedule.steps:
            ascent.step(active, step)
            advance(len(best.active) / schedule.steps)
    return Trained(shrunk(best.critics, bound, validation, shifts), best.converged, best.rise())


def shrunk(critics: Critics, bound: Bound, samples: Samples, shifts: Int[Tensor, " shift"]) -> Critics:
    """Each critic times the s in (0, 1] that has the largest bound on the samples.

    A critic that learnt noise is scaled to nearly 0, but never to 0: the test of independence needs its
    shape.
    """
    with torch.no_grad():
        joint, product = critics.scores(samples.x, samples.y, shifts)
        scales = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.1, 1e-3], device=joint.device)
        values = torch.stack([bound.value(joint * scale, product * scale) for scale in scales])
    return critics.scaled(scales[values.argmax(dim=0)])


def _value(critics: Critics, bound: Bound, samples: Samples, shifts: Tensor) -> Tensor:
    with torch.no_grad():
        return bound.value(*critics.scores(samples.x, samples.y, shifts))


class _Best:
    """The best critic of each pair so far, and the pairs that are still trained."""

    def __init__(self, critics: Critics) -> None:
        device = critics.bias.device
        pairs = len(critics.bias)
        self.critics, self.value = critics.detached(), torch.full((pairs,), -torch.inf, device=device)
        self.converged = torch.zeros(pairs, dtype=torch.bool, device=device)
        self.active = torch.arange(pairs, device=device)
        self.stale = torch.zeros(pairs, dtype=torch.long, device=device)
        self.history: list[PerPair] = []
        self.best_check = torch.zeros(pairs, dtype=torch.long, device=device)

    def update(self, critics: Critics, value: PerPair) -> None:
        """Keep the critics that improved."""
        better = value > self.value[self.active]
        pairs = self.active[better]
        for old, new in zip(self.critics.parameters, critics.parameters, strict=True):
            old[pairs] = new.detach()[better]
        self.value[pairs] = value[better]
        self.best_check[pairs] = len(self.history)
        self.history.append(self.value.index_put((self.active,), value))
        self.stale = torch.where(better, 0, self.stale + 1)

    def rise(self) -> PerPair:
        """Growth of the bound over the second half of the training up to the best; from 0 if negative."""
        halfway = torch.stack(self.history).gather(0, (self.best_check // 2)[None])[0]
        return (self.value - halfway.clamp_min(0)).clamp_min(0)

    def stop(self, stopped: Bool[Tensor, " active"]) -> Int[Tensor, " left"]:
        """Remove pairs from the bank; return the positions of the others."""
        self.converged[self.active[stopped]] = True
        left = (~stopped).nonzero()[:, 0]
        self.active, self.stale = self.active[left], self.stale[left]
        return left


class _Ascent:
    """Adam on a bank of critics from which pairs are removed, with the moving average of E[exp T]."""

    def __init__(
        self, critics: Critics, bound: Bound, schedule: Schedule, generator: torch.Generator
    ) -> None:
        self.critics, self.average = critics.trainable(), critics.detached()
        self.bound, self.schedule, self.generator = bound, schedule, generator
        self.optimizer = Adam.of(self.critics.parameters, BETAS)
        self.log_average: Tensor | None = None

    def step(self, samples: Samples, step: int) -> None:
        """One step on a batch drawn without replacement from the samples."""
        rows = samples.x.shape[1]
        size = min(self.schedule.batch, rows)
        index = torch.randperm(rows, generator=self.generator)[:size].to(samples.x.device)
        shifts = shifts_of(size, self.schedule.shifts, self.generator).to(samples.x.device)
        batch = samples.rows(index)
        joint, product = self.critics.scores(batch.x, batch.y, shifts)
        self.log_average = averaged(self.log_average, log_mean_exp(product).detach(), self.schedule.keep)
        loss = -self.bound.objective(joint, product, self.log_average).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step(self._rates(self.schedule.rate(step)))
        follow = 1 - min(self.schedule.average, (1 + step) / (10 + step))
        for mean, now in zip(self.average.parameters, self.critics.parameters, strict=True):
            mean.lerp_(now.detach(), follow)

    def _rates(self, rate: float) -> list[float]:
        """The learning rate of each tensor of the critics."""
        first = self.critics.weight_x, self.critics.weight_y
        return [
            rate * FIRST_LAYER_RATE if any(tensor is own for own in first) else rate
            for tensor in self.critics.parameters
        ]

    def keep(self, pairs: Int[Tensor, " kept"]) -> None:
        """Remove the other pairs, with their part of Adam's state."""
        past = self.optimizer
        self.critics, self.average = self.critics.select(pairs).trainable(), self.average.select(pairs)
        self.optimizer = Adam(
            self.critics.parameters,
            BETAS,
            [mean[pairs] for mean in past.means],
            [square[pairs] for square in past.squares],
            past.steps,
        )
        self.log_average = None if self.log_average is None else self.log_average[pairs]


def averaged(log_average: PerPair | None, log_mean: PerPair, keep: float) -> PerPair:
    """The next logarithm of a moving average, which starts at the first value."""
    if log_average is None:
        return log_mean
    return torch.logaddexp(log_average + math.log(keep), log_mean + math.log(1 - keep))
