"""Many critics, one compiled call each, shared out over threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from nif.core.types import Advance, ignore
from nif.estimators.neural.compiled.evaluation import scored
from nif.estimators.neural.compiled.fit import Plan, fit
from nif.estimators.neural.compiled.grid import Column, column
from nif.estimators.neural.compiled.lanes import LANES
from nif.estimators.neural.critics import Critics
from nif.estimators.neural.training import FIRST_LAYER_RATE, Samples, Schedule

TRAINING_CELLS, LOOKED_CELLS, SCORED_CELLS = 40, 48, 128
"""Cells of a margin: where product samples are drawn, where a critic is looked at, where it is scored."""

Numbers = Float32[np.ndarray, " number"]


@dataclass(frozen=True, eq=False)
class FusedScores:
    """Every critic on its held-out samples; see `Scored` of `evaluation` and `Fitted` of `fit`."""

    trained: Float[np.ndarray, " pair"]
    rise: Float[np.ndarray, " pair"]
    nats: Float[np.ndarray, " pair"]
    variance: Float[np.ndarray, " pair"]
    z: Float[np.ndarray, " pair"]
    skew: Float[np.ndarray, " pair"]
    converged: Bool[np.ndarray, " pair"]


def can_fuse(samples: Samples, hidden: int) -> bool:
    """Whether compiled code can train these critics: one number on each side, on the CPU, 32 or 64 units."""
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
    """The schedule for critics that are trained on so many samples."""
    size = min(schedule.batch, samples)
    return Plan(
        hidden, schedule.steps, size, size, schedule.check_every, schedule.patience, schedule.warm_up,
        schedule.keep, schedule.average, float(phases[0]), float(phases[1]),
    )  # fmt: skip


def train_and_score(
    critics: Critics,
    fitted: Samples,
    looked: Samples,
    held_out: Samples,
    schedule: Schedule,
    generator: torch.Generator,
    advance: Advance = ignore,
) -> FusedScores:
    """Train each critic on `fitted`, stop it on `looked`, score it on `held_out`.

    Threads work on different critics and share nothing, so that their number changes no bit of the result.
    """
    hidden, rows = critics.weight_2.shape[-1], packed(critics)
    phases = torch.rand(2, generator=generator, dtype=torch.float64).numpy()
    plan = plan_of(schedule, hidden, fitted.x.shape[1], phases)
    rates = rates_of(hidden, schedule.learning_rate)
    sides = [(_side(part.x), _side(part.y)) for part in (fitted, looked, held_out)]

    def one(pair: int) -> tuple[float, ...]:
        (x, y), others = (side[pair] for side in sides[0]), [(x[pair], y[pair]) for x, y in sides[1:]]
        samples = ordered(x, y, TRAINING_CELLS)
        inside = [(np.clip(a, x.min(), x.max()), np.clip(b, y.min(), y.max())) for a, b in others]
        best = fit(rows[pair].copy(), rates, samples, ordered(*inside[0], LOOKED_CELLS), plan)
        held_out = ordered(*inside[1], SCORED_CELLS)
        found = scored(best.weights, hidden, held_out, best.level, len(x))
        return best.trained, best.rise, *found, float(best.steps < plan.steps)

    results = np.array(list(_in_threads(one, len(rows), advance)), dtype=np.float64)
    *columns, converged = results.T
    return FusedScores(*columns, converged > 0)


def ordered(x: Numbers, y: Numbers, cells: int) -> Column:
    """Samples of a pair in the order of x, their margins cut into cells."""
    order = np.argsort(x, kind="stable")
    return column(x[order], y[order], np.sort(y), cells)


def _side(values: Float[Tensor, "pair sample 1"]) -> Float32[np.ndarray, "pair sample"]:
    return values[..., 0].contiguous().numpy()


def _in_threads(
    work: Callable[[int], tuple[float, ...]], count: int, advance: Advance
) -> Iterator[tuple[float, ...]]:
    """Results in order; an interrupt leaves no work behind."""
    pool = ThreadPoolExecutor(max_workers=torch.get_num_threads())
    try:
        for result in pool.map(work, range(count)):
            advance(1.0)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
