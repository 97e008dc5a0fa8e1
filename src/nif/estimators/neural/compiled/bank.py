"""Train and evaluate many critics, one compiled call each, on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from nif.core.parallel import allowed_threads
from nif.core.types import Advance, ignore
from nif.estimators.neural.compiled.evaluation import evaluate
from nif.estimators.neural.compiled.fit import Plan, fit
from nif.estimators.neural.compiled.grid import pair_grid
from nif.estimators.neural.compiled.lanes import LANES
from nif.estimators.neural.critics import Critics
from nif.estimators.neural.cross_fitting import FoldResults, PerCritic
from nif.estimators.neural.training import FIRST_LAYER_RATE, Parts, Samples, Schedule

TRAINING_CELLS, VALIDATION_CELLS, HELD_OUT_CELLS = 40, 48, 128
"""Cells of a margin, for training, for validation and for evaluation."""

RANK_LOSS = 2.6
"""c of `hidden_variance`."""

Numbers = Float32[np.ndarray, " number"]


def can_compile(samples: Samples, hidden: int) -> bool:
    """Whether compiled code can train these critics: one number on each side, on the CPU, a multiple
    of 32 hidden units."""
    one_by_one = samples.x.shape[-1] == samples.y.shape[-1] == 1
    return one_by_one and samples.x.device.type == "cpu" and hidden % LANES == 0


def packed(critics: Critics) -> Float32[np.ndarray, "pair weight"]:
    """The weights of each critic in one row, in the order of `nif.estimators.neural.compiled.critic`."""
    parts = [
        critics.weight_x, critics.weight_y, critics.bias_1,
        critics.bias_2, critics.weight_3, critics.weight_2,
        critics.quadratic_x, critics.quadratic_y, critics.cross, critics.bias,
    ]  # fmt: skip
    return torch.cat(
        [part.detach().flatten(1) if part.dim() > 1 else part.detach()[:, None] for part in parts], 1
    ).numpy()


def rates_of(hidden: int, learning_rate: float) -> Numbers:
    """The learning rate of each weight of a critic."""
    rates = np.full(5 * hidden + hidden * hidden + 4, learning_rate, dtype=np.float32)
    rates[: 2 * hidden] *= FIRST_LAYER_RATE
    return rates


def train_and_evaluate(
    critics: Critics, parts: Parts, schedule: Schedule, generator: torch.Generator, advance: Advance = ignore
) -> FoldResults:
    """Train each critic, with early stopping, and evaluate it on the samples that are held out.

    Threads work on separate critics, so that their number changes no bit of the result.
    """
    hidden, rows = critics.weight_2.shape[-1], packed(critics)
    size, phases = (
        min(schedule.batch, parts[0].x.shape[1]),
        torch.rand(2, generator=generator, dtype=torch.float64),
    )
    plan = Plan(
        hidden, schedule.steps, size, size, schedule.check_every, schedule.patience, schedule.warm_up,
        schedule.keep, schedule.average, *phases.tolist(),
    )  # fmt: skip
    rates = rates_of(hidden, schedule.learning_rate)
    known, other, held_out = (np.stack([_side(part.x), _side(part.y)], axis=1) for part in parts)

    def train(pair: int) -> tuple[float, ...]:
        (x, y), low, high = known[pair], known[pair].min(axis=1), known[pair].max(axis=1)
        inside = [np.clip(part[pair], low[:, None], high[:, None]) for part in (other, held_out)]
        validation, evaluated = pair_grid(*inside[0], VALIDATION_CELLS), pair_grid(*inside[1], HELD_OUT_CELLS)
        best = fit(rows[pair].copy(), rates, pair_grid(x, y, TRAINING_CELLS), validation, plan)
        evaluation = evaluate(best.weights, hidden, evaluated, best.level, len(x))
        return best.trained, best.rise, *evaluation, float(best.steps < plan.steps)

    results = np.array(list(_in_threads(train, len(rows), advance)), dtype=np.float64)
    trained, rise, nats, variance, z, skew, converged = results.T
    from scipy.stats import pearson3  # here: a long import, which other estimators do without

    p_value = np.where(np.isfinite(z), pearson3.sf(z, skew), 1.0)
    variance = variance + hidden_variance(nats, *(part.x.shape[1] for part in parts))
    return FoldResults(nats, np.sqrt(variance), p_value, trained, rise, converged > 0)


def hidden_variance(nats: PerCritic, fit: int, validation: int, held_out: int) -> PerCritic:
    r"""Variance of a fold's critic that its held-out samples do not show, so that K folds together have

    .. math:: \frac{1}{n_{validation}^2} + \Big(\frac{2.6 e^I}{n}\Big)^2.

    The first is of dependence too weak for the validation samples: it changes their log-likelihood by less
    than one nat, and the critic is shrunk to nothing. The second is of the loss by ranks. In n samples of a
    normal with I nats, the ranks of the two sides near z differ by chance with the variance

    .. math:: n \, \varphi(z) \, e^{-I} \sqrt{2 / \pi}.

    This widens the ridge, which loses :math:`c e^I / n` nats: c is 1 / sqrt(2 pi) times 6.5, which is the
    range of the normal scores of 1,000 samples.

    Example:
        >>> np.sqrt(hidden_variance(np.array([0.0, 3.0]), 562, 188, 250) / 4).round(4)  # of 1,000 samples
        array([0.0059, 0.0525])
    """
    total = fit + validation + held_out
    folds = round(total / held_out)
    return folds * (1 / validation**2 + (RANK_LOSS * np.exp(nats) / total) ** 2)


def _side(values: Float[Tensor, "pair sample 1"]) -> Float32[np.ndarray, "pair sample"]:
    return values[..., 0].contiguous().numpy()


def _in_threads(
    work: Callable[[int], tuple[float, ...]], count: int, advance: Advance
) -> Iterator[tuple[float, ...]]:
    """Results in order; an interrupt cancels the remaining work."""
    pool = ThreadPoolExecutor(max_workers=min(torch.get_num_threads(), allowed_threads()))
    try:
        for result in pool.map(work, range(count)):
            advance(1.0)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
