"""Train and evaluate many critics, one compiled call each, on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.stats import pearson3
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
    sides = [(_side(part.x), _side(part.y)) for part in parts]

    def work(pair: int) -> tuple[float, ...]:
        (x, y), others = (side[pair] for side in sides[0]), [(x[pair], y[pair]) for x, y in sides[1:]]
        samples = pair_grid(x, y, TRAINING_CELLS)
        inside = [(np.clip(a, x.min(), x.max()), np.clip(b, y.min(), y.max())) for a, b in others]
        best = fit(rows[pair].copy(), rates, samples, pair_grid(*inside[0], VALIDATION_CELLS), plan)
        evaluation = evaluate(best.weights, hidden, pair_grid(*inside[1], HELD_OUT_CELLS), best.level, len(x))
        return best.trained, best.rise, *evaluation, float(best.steps < plan.steps)

    counts = [part.x.shape[1] for part in parts]

    results = np.array(list(_in_threads(work, len(rows), advance)), dtype=np.float64)
    trained, rise, nats, variance, z, skew, converged = results.T
    variance = variance + hidden_variance(nats, *counts)
    p_value = np.where(np.isfinite(z), pearson3.sf(z, skew), 1.0)
    return FoldResults(nats, np.sqrt(variance), p_value, trained, rise, converged > 0)


def hidden_variance(nats: PerCritic, fit: int, validation: int, held_out: int) -> PerCritic:
    r"""Variance of critics that their held-out samples do not show, so that its mean over K folds is

    .. math:: \frac{1}{K} \Big(\frac{1}{n_{validation}^2} + \Big(\frac{2 e^I}{n}\Big)^2\Big) K

    The first is of dependence that is too weak for the validation samples: it changes their likelihood by less
    than one nat, so that the critic is shrunk to nothing. The second is of the loss by ranks. In n samples of a
    normal with I nats the ranks of both sides differ by chance, by

    .. math:: n \, \varphi(z) \, e^{-I} \sqrt{2 / \pi}

    in variance near z. This widens the ridge, which loses :math:`c \, e^I / n` nats, c about 2 to 2.6.
    """
    total = fit + validation + held_out
    folds = round(total / held_out)
    return folds * (1 / validation**2 + (2 * np.exp(nats) / total) ** 2)


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
