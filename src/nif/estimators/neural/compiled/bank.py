"""Train and evaluate many critics, one compiled call each, on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from nif.core.types import Advance, ignore
from nif.estimators.neural.compiled.evaluation import evaluate
from nif.estimators.neural.compiled.fit import Plan, fit
from nif.estimators.neural.compiled.grid import PairGrid, pair_grid
from nif.estimators.neural.compiled.lanes import LANES
from nif.estimators.neural.critics import Critics
from nif.estimators.neural.training import FIRST_LAYER_RATE, Samples, Schedule

TRAINING_CELLS, VALIDATION_CELLS, HELD_OUT_CELLS = 40, 48, 128
"""Cells of a margin, for training, for validation and for evaluation."""

Numbers = Float32[np.ndarray, " number"]


@dataclass(frozen=True, eq=False)
class BankEvaluation:
    """Every critic on its held-out samples; see `Evaluation` of `evaluation` and `Fitted` of `fit`."""

    trained: Float[np.ndarray, " pair"]
    rise: Float[np.ndarray, " pair"]
    nats: Float[np.ndarray, " pair"]
    variance: Float[np.ndarray, " pair"]
    z: Float[np.ndarray, " pair"]
    skew: Float[np.ndarray, " pair"]
    converged: Bool[np.ndarray, " pair"]


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


def unpacked(rows: Float32[np.ndarray, "pair weight"], hidden: int) -> Critics:
    """The critics whose weights are in these rows."""
    sizes = [hidden] * 5 + [hidden * hidden, 1, 1, 1, 1]
    parts = torch.tensor(rows).split(sizes, dim=1)
    weight_x, weight_y, bias_1, bias_2, weight_3, weight_2, quadratic_x, quadratic_y, cross, bias = parts
    return Critics(
        quadratic_x=quadratic_x[:, None], quadratic_y=quadratic_y[:, None], cross=cross[:, None],
        bias=bias[:, 0], weight_x=weight_x[:, None], weight_y=weight_y[:, None], bias_1=bias_1[:, None],
        weight_2=weight_2.reshape(-1, hidden, hidden), bias_2=bias_2[:, None], weight_3=weight_3[:, :, None],
    )  # fmt: skip


def rates_of(hidden: int, learning_rate: float) -> Numbers:
    """The learning rate of each weight of a critic."""
    rates = np.full(5 * hidden + hidden * hidden + 4, learning_rate, dtype=np.float32)
    rates[: 2 * hidden] *= FIRST_LAYER_RATE
    return rates


def plan_of(schedule: Schedule, hidden: int, samples: int, phases: Float[np.ndarray, "2"]) -> Plan:
    """The schedule for critics that are trained on a number of samples."""
    size = min(schedule.batch, samples)
    return Plan(
        hidden, schedule.steps, size, size, schedule.check_every, schedule.patience, schedule.warm_up,
        schedule.keep, schedule.average, float(phases[0]), float(phases[1]),
    )  # fmt: skip


def train_and_evaluate(
    critics: Critics,
    fit_on: Samples,
    validation: Samples,
    held_out: Samples,
    schedule: Schedule,
    generator: torch.Generator,
    advance: Advance = ignore,
) -> BankEvaluation:
    """Train each critic on `fit_on`, with early stopping on `validation`, and evaluate it on `held_out`.

    Threads work on separate critics, so that their number changes no bit of the result.
    """
    hidden, rows = critics.weight_2.shape[-1], packed(critics)
    phases = torch.rand(2, generator=generator, dtype=torch.float64).numpy()
    plan = plan_of(schedule, hidden, fit_on.x.shape[1], phases)
    rates = rates_of(hidden, schedule.learning_rate)
    sides = [(_side(part.x), _side(part.y)) for part in (fit_on, validation, held_out)]

    def work(pair: int) -> tuple[float, ...]:
        (x, y), others = (side[pair] for side in sides[0]), [(x[pair], y[pair]) for x, y in sides[1:]]
        samples = grid_of(x, y, TRAINING_CELLS)
        inside = [(np.clip(a, x.min(), x.max()), np.clip(b, y.min(), y.max())) for a, b in others]
        best = fit(rows[pair].copy(), rates, samples, grid_of(*inside[0], VALIDATION_CELLS), plan)
        evaluation = evaluate(best.weights, hidden, grid_of(*inside[1], HELD_OUT_CELLS), best.level, len(x))
        return best.trained, best.rise, *evaluation, float(best.steps < plan.steps)

    results = np.array(list(_in_threads(work, len(rows), advance)), dtype=np.float64)
    *columns, converged = results.T
    return BankEvaluation(*columns, converged > 0)


def grid_of(x: Numbers, y: Numbers, cells: int) -> PairGrid:
    """Sort the samples of a pair by x and cut their margins into cells."""
    order = np.argsort(x, kind="stable")
    return pair_grid(x[order], y[order], np.sort(y), cells)


def _side(values: Float[Tensor, "pair sample 1"]) -> Float32[np.ndarray, "pair sample"]:
    return values[..., 0].contiguous().numpy()


def _in_threads(
    work: Callable[[int], tuple[float, ...]], count: int, advance: Advance
) -> Iterator[tuple[float, ...]]:
    """Results in order; an interrupt cancels the remaining work."""
    pool = ThreadPoolExecutor(max_workers=torch.get_num_threads())
    try:
        for result in pool.map(work, range(count)):
            advance(1.0)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
