"""The compiled critics: the same numbers as torch's, the same bits in every process."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nif.estimators.neural.bounds import MINE, log_mean_exp
from nif.estimators.neural.compiled.bank import packed, rates_of
from nif.estimators.neural.compiled.evaluation import evaluate
from nif.estimators.neural.compiled.fit import Batch, adam, ascend, fit, move, scores_of, workspace
from nif.estimators.neural.compiled.grid import PairGrid, empty_batch, pair_grid, product_level
from nif.estimators.neural.compiled.grid import log_mean_exp as log_mean_exp_of_nodes
from nif.estimators.neural.critics import Critics, gaussian_critics
from nif.estimators.neural.methods import Mine
from nif.estimators.neural.training import Samples, Schedule, _Ascent, averaged, shifts_of
from nif.estimators.truths import Truth, normal_with, relu_pair

ROWS, SHIFTS = 96, 2


def critics_and_samples(hidden: int) -> tuple[Critics, Samples]:
    """One critic with an output layer that is not zero, and samples of its pair."""
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 1, ROWS, 1, generator=generator)
    samples = Samples(x, 0.75 * x + 0.66 * noise)
    critics = gaussian_critics(samples.x, samples.y, hidden, generator)
    critics.weight_3.copy_(torch.randn(1, hidden, 1, generator=generator) / hidden)
    return critics, samples


def drawn(samples: Samples, generator: torch.Generator) -> Batch:
    """The batch that a step of torch's loop draws from a generator in this state."""
    index = torch.randperm(ROWS, generator=generator)
    x, y = (side[0, index, 0] for side in (samples.x, samples.y))
    shifts = shifts_of(ROWS, SHIFTS, generator)
    batch = empty_batch(ROWS, SHIFTS * ROWS)
    used = (1 + SHIFTS) * ROWS
    batch.x[:used] = torch.cat([x] * (1 + SHIFTS))
    batch.y[:used] = torch.cat([y, *(y.roll(-int(shift)) for shift in shifts)])
    batch.weight[:used] = torch.tensor([1 / ROWS] * ROWS + [1 / (SHIFTS * ROWS)] * (SHIFTS * ROWS))
    return batch


@pytest.mark.parametrize("hidden", [32, 64])
def test_a_compiled_step_equals_a_torch_step(hidden: int) -> None:
    critics, samples = critics_and_samples(hidden)
    schedule = Schedule(steps=10, warm_up=2, batch=ROWS, shifts=SHIFTS, learning_rate=1e-2)
    slow = _Ascent(critics, MINE, schedule, torch.Generator().manual_seed(5))
    slow.step(samples, 0)
    weights = packed(critics)[0].copy()
    state, space = adam(weights), workspace(hidden, 320)
    batch = drawn(samples, torch.Generator().manual_seed(5))
    ascend(weights, hidden, batch, ROWS, SHIFTS * ROWS, -np.inf, schedule.keep, space, state.gradient)
    gradient = packed(Critics(*[-tensor.grad for tensor in slow.critics.parameters]))[0]
    np.testing.assert_allclose(state.gradient, gradient, atol=1e-5)
    move(weights, state, rates_of(hidden, 1.0), np.float32(schedule.rate(0)), 0, schedule.average)
    # Adam uses the sign, which is arbitrary where a gradient is as small as its rounding.
    clear = np.abs(gradient) > 1e-4
    assert clear.mean() > 0.5
    np.testing.assert_allclose(weights[clear], packed(slow.critics)[0][clear], atol=1e-5)
    np.testing.assert_allclose(state.average[clear], packed(slow.average)[0][clear], atol=1e-5)
    assert np.abs(weights - packed(critics)[0])[clear].min() > 1e-3, "the step moved nothing"


def test_the_moving_average_equals_torch() -> None:
    critics, samples = critics_and_samples(32)
    weights, space, generator = packed(critics)[0], workspace(32, 320), torch.Generator().manual_seed(5)
    log_average, expected = -np.inf, None
    for _ in range(3):
        batch = drawn(samples, generator)
        log_average = ascend(
            weights, 32, batch, ROWS, SHIFTS * ROWS, log_average, 0.5, space, np.zeros_like(weights)
        )
        product = torch.tensor(scores_of(weights, 32, batch.x, batch.y, space))[ROWS : (1 + SHIFTS) * ROWS]
        expected = averaged(expected, log_mean_exp(product[None, None]), 0.5)
    assert expected is not None
    assert log_average == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("hidden", [32, 64])
def test_compiled_scores_equal_torch_scores(hidden: int) -> None:
    critics, samples = critics_and_samples(hidden)
    expected, _ = critics.scores(samples.x, samples.y, torch.tensor([1]))
    weights = packed(critics)[0]
    scores = scores_of(
        weights, hidden, *(side[0, :, 0].numpy() for side in (samples.x, samples.y)), workspace(hidden, 64)
    )
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)


def pair_in_cells(values: int, rows: int = 60, cells: int = 7) -> PairGrid:
    """Dependent samples of few values or of many, in cells."""
    x, noise = np.random.default_rng(0).normal(size=(2, rows))
    x, y = (np.round(side * values).astype(np.float32) for side in (x, x + 0.3 * noise))
    return pair_grid(x, y, cells)


@pytest.mark.parametrize("values", [1, 3, 1000])
def test_node_weights_are_fractions_of_the_pairs_of_different_samples(values: int) -> None:
    samples = pair_in_cells(values)
    counted = np.zeros((len(samples.x_bounds) - 1, len(samples.y_bounds) - 1))
    rows = len(samples.x)
    for i in range(rows):
        for j in range(rows):
            if i != j:
                counted[samples.x_cell[i], samples.y_cell[j]] += 1
    np.testing.assert_allclose(samples.distinct_pairs, counted.ravel() / counted.sum())
    for place, (value, cell) in enumerate(zip(samples.y, samples.y_cell, strict=True)):
        inside = samples.y_ordered[samples.y_bounds[cell] : samples.y_bounds[cell + 1]]
        assert inside[0] <= value <= inside[-1], place


def test_equal_columns_have_no_bound_above_log_n() -> None:
    """One sample in each cell: a node on the diagonal holds no pair of different samples."""
    x = np.arange(5, dtype=np.float32)
    samples = pair_grid(x, x, 40)
    assert (samples.distinct_pairs.reshape(5, 5) == (1 - np.eye(5)) / 20).all()
    scores = np.where(np.eye(5) > 0, 1e4, -1e4).astype(np.float32).ravel()
    assert log_mean_exp_of_nodes(scores, samples.distinct_pairs) == pytest.approx(-1e4)
    joint = np.full(5, 1e4, dtype=np.float32)
    assert product_level(joint, scores, samples.distinct_pairs) == pytest.approx(1e4 - np.log(5))


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "least"), [(relu_pair(0.75, 0.99), 0.85), (normal_with(3.0), 0.85)])
def test_intervals_count_what_critics_of_few_samples_cannot_see(truth: Truth, least: float) -> None:
    drawn_pairs = [truth.sample(1_000, seed) for seed in range(40)]
    x, y = (np.stack([pair[side] for pair in drawn_pairs])[:, :, None] for side in (0, 1))
    low, high = Mine().estimate(x, y).interval()
    assert ((low <= truth.nats) & (truth.nats <= high)).mean() >= least


def bits() -> str:
    """All digits of estimates, and whether their code was loaded from the cache or compiled here."""
    x = torch.tensor(np.random.default_rng(0).normal(size=(3, 90, 1)), dtype=torch.float32).relu()
    mine, generator = Mine(steps=60), torch.Generator().manual_seed(0)
    samples, schedule = Samples(x, x.roll(1, 0) + x), mine._schedule(vectors=False)
    arrays = mine._divided(samples, schedule, generator, lambda _: None, vectors=False)
    source = "compiled" if fit.stats.cache_misses or evaluate.stats.cache_misses else "loaded"
    return " ".join([source, *(array.tobytes().hex() for array in arrays)])


PROGRAM = """
import numpy as np
import torch
from nif.estimators.neural.compiled.evaluation import evaluate
from nif.estimators.neural.compiled.fit import fit
from nif.estimators.neural.methods import Mine
from nif.estimators.neural.training import Samples
"""


@pytest.mark.slow
def test_same_bits_when_compiled_as_when_loaded(tmp_path: Path) -> None:
    """LLVM inlines differently in the process that compiles; the results must not depend on it.

    This process has compiled the code or loaded it; a second one does the other.
    """
    source, *digits = bits().split()
    fresh = {"NUMBA_CACHE_DIR": str(tmp_path)} if source == "loaded" else {}
    program = f"{PROGRAM}{inspect.getsource(bits)}print(bits())"
    command, environment = [sys.executable, "-c", program], {**os.environ, **fresh}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    other, *other_digits = run.stdout.split()
    assert {source, other} == {"loaded", "compiled"}
    assert digits == other_digits
