"""How long a pruning will take, said before it starts: operations to do, at the pace of the network."""

from __future__ import annotations

import sys

from torch import nn

from nif.core.progress import duration
from nif.network.weights import taps, weighted
from nif.pruning.channels import by_channel
from nif.pruning.problem import PruningProblem
from nif.pruning.sensitivity import DIRECTIONS, ROWS, SAMPLES
from nif.pruning.size import pace_of

SECONDS_WORTH_SAYING = 10.0

DOUBLE = 2.0
"""Times by which linear algebra in double precision is slower than the operations of a network."""


def seconds_expected(problem: PruningProblem, trials: int) -> float:
    """Seconds for a rule of least squares and networks that are refitted; right to a factor of about 3.

    Args:
        problem: Whose network is run on one batch, which gives the pace.
        trials: Networks that are refitted, and the rule, which takes as long as one.
    """
    rows = len(problem.inputs[0])
    seconds, pace = pace_of(problem.call, problem.inputs)
    squares = sum(_operations(problem, name, rows) for name in problem.weights.columns)
    outputs = problem.criterion.reference.chosen.shape[1]
    slopes = 2 * min(DIRECTIONS, outputs) * min(rows, SAMPLES) * seconds  # walks back take twice a run
    return trials * (2 * rows * seconds + DOUBLE * squares / pace) + slopes


def _operations(problem: PruningProblem, name: str, rows: int) -> float:
    """Of a covariance of what a layer reads, and of solving for the weights."""
    module, channels = weighted(problem.model, name), len(problem.weights.columns[name])
    width = channels if by_channel(module, channels) else channels * taps(module)
    samples = min(rows, ROWS) if isinstance(module, nn.Linear) else ROWS
    return 2.0 * samples * width**2 + 2.0 * width**3


def say_beforehand(problem: PruningProblem, trials: int) -> None:
    """Say on stderr how long a pruning of more than some seconds will take, and what it is."""
    seconds = seconds_expected(problem, trials)
    if seconds > SECONDS_WORTH_SAYING:
        units = sum(map(len, problem.hidden.values()))
        layers, rows = len(problem.hidden), len(problem.inputs[0])
        sys.stderr.write(
            f"nif: pruning {units:,} units of {layers} layers, judged on {rows:,} rows, takes about "
            f"{duration(seconds)}\n"
        )
        sys.stderr.flush()
