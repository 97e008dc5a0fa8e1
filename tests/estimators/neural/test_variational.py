"""The critic-based estimators: values, p-values, and the same bits for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nif.core.errors import InputError
from nif.estimators.estimate import Estimate, Outcome
from nif.estimators.neural import variational
from nif.estimators.neural.methods import InfoNce, Mine, Nwj, Smile
from nif.estimators.neural.variational import Variational
from nif.estimators.truths import (
    Truth,
    chess_board,
    correlated_normal,
    relu_pair,
    student,
    uniform_with_noise,
)

RHO = 0.75
TRUTH = -0.5 * np.log1p(-(RHO**2))


def normal_pairs(pairs: int, samples: int, rho: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed).standard_normal((2, pairs, samples, 1))
    return draws[0], rho * draws[0] + np.sqrt(1 - rho**2) * draws[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", [Mine(), *(method(hidden=16, steps=200) for method in (Nwj, InfoNce, Smile))], ids=repr
)
def test_a_correlated_normal(estimator: Variational) -> None:
    x, y = normal_pairs(2, 2000, RHO)
    estimate = estimator.estimate(x, y)
    assert np.abs(estimate.nats - TRUTH).max() < 0.06
    assert (estimate.p_value < 1e-6).all()
    assert np.all((estimate.stderr > 0.005) & (estimate.stderr < 0.05))


def test_strong_dependence_with_few_samples() -> None:
    """A fold of 125 samples: pairs of x and y of the same sample are not part of the product."""
    x, y = normal_pairs(12, 500, np.sqrt(1 - np.exp(-5.0)))
    assert -0.1 < (Mine().estimate(x, y).nats - 2.5).mean() < 0.05


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("samples", [60, 500])
def test_nearly_equal_columns_are_bounded_by_log_n(samples: int, noise: float) -> None:
    x, other = np.random.default_rng(0).standard_normal((2, 2, samples, 1))
    x[1] = np.maximum(x[1], 0)
    estimate = Mine().estimate(x, x + noise * other)
    assert np.isfinite(estimate.stderr).all()
    assert (estimate.nats > 0.5).all() and (estimate.nats <= np.log(samples) + 1e-12).all()


@pytest.mark.slow
def test_independent_data_give_about_zero() -> None:
    """Without what is corrected for learning from few, the mean is -.003 to -.004."""
    x, y = normal_pairs(24, 300, 0.0)
    estimate = Mine(hidden=8).estimate(x, y)
    assert -0.001 < estimate.nats.mean() < 0.01
    assert (estimate.p_value < 0.05).mean() < 0.25


@pytest.mark.slow
def test_compiled_critics_on_independent_data() -> None:
    x, y = normal_pairs(60, 500, 0.0)
    estimate = Mine().estimate(x, y)
    assert abs(estimate.nats.mean()) < 0.003  # -.0045 without the correction
    low, high = estimate.interval()
    assert ((low <= 0) & (high >= 0)).mean() > 0.85


@pytest.mark.slow
def test_rarely_active_units() -> None:
    """With a dozen active samples a fold may hold none; the critic must not extrapolate to them."""
    truth = relu_pair(0.9, 0.99)
    x, y = (
        np.stack(side)[:, :, None] for side in zip(*(truth.sample(1000, k) for k in range(12)), strict=True)
    )
    assert np.abs(Mine().estimate(x, y).nats - truth.nats).max() < 0.05


@pytest.mark.slow
def test_a_temporarily_bad_critic_widens_no_interval() -> None:
    """Halfway the bound can be far below 0 with three active samples; the rise is counted from 0."""
    truth = relu_pair(0.75, 0.99)
    x, y = (
        np.stack(side)[:, :, None] for side in zip(*(truth.sample(1000, k) for k in range(60)), strict=True)
    )
    assert Mine().estimate(x, y).stderr.max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("truth", [uniform_with_noise(0.75), student(1)], ids=lambda truth: truth.name)
def test_the_interval_covers_the_truth_for_a_poor_critic(truth: Truth) -> None:
    x, y = (
        np.stack(side)[:, :, None] for side in zip(*(truth.sample(1000, k) for k in range(12)), strict=True)
    )
    low, high = Mine().estimate(x, y).interval()
    assert ((low <= truth.nats) & (truth.nats <= high)).mean() > 0.7


def test_same_seed_same_bits_and_global_state_untouched() -> None:
    x, y = normal_pairs(3, 200, 0.5)
    before = torch.random.get_rng_state()
    first, second, other = (Mine(hidden=8, steps=60).estimate(x, y, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.nats, second.nats)
    assert np.array_equal(first.p_value, second.p_value)
    assert not np.array_equal(first.nats, other.nats)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_constant_side_has_exactly_zero_nats() -> None:
    x, y = normal_pairs(2, 100, 0.9)
    y[0] = 7.0
    estimate = Mine(hidden=8, steps=50).estimate(x, y)
    assert estimate.nats[0] == 0
    assert estimate.p_value[0] == 1
    assert estimate.outcome[0] == Outcome.DEGENERATE
    assert estimate.nats[1] > 0.3


@pytest.mark.slow
def test_a_layer_against_one_unit() -> None:
    layer = np.random.default_rng(0).standard_normal((1, 1500, 10))
    unit = layer.mean(axis=2, keepdims=True) * np.sqrt(10)
    unit = RHO * unit + np.sqrt(1 - RHO**2) * np.random.default_rng(1).standard_normal(unit.shape)
    estimate = Mine(hidden=16, steps=100).estimate(layer, unit)
    assert abs(estimate.nats[0] - TRUTH) < 0.08


def test_progress_adds_up_to_the_number_of_pairs() -> None:
    x, y = normal_pairs(5, 100, 0.5)
    y[1] = 0
    done: list[float] = []
    Mine(hidden=8, steps=60).estimate(x, y, advance=done.append)
    assert sum(done) == pytest.approx(5)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [75, 150])
def test_with_few_rows_the_seed_moves_the_value_by_a_fifth_of_the_standard_error(samples: int) -> None:
    """By .35 to .4 of it with one division into folds."""
    x, y = normal_pairs(6, samples, 0.7)
    estimates = [Mine().estimate(x, y, seed=seed) for seed in range(6)]
    deviation = np.std([estimate.nats for estimate in estimates], axis=0, ddof=1)
    assert 0 < np.median(deviation / estimates[0].stderr) < 0.2


@pytest.mark.slow
def test_what_smooth_critics_miss_of_edges_is_in_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """They find half of a chess board's information, and without `Binned` no interval contains it."""

    def estimated(truth: Truth, pairs: int) -> Estimate:
        drawn = [truth.sample(1_000, seed) for seed in range(pairs)]
        x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
        return Mine().estimate(x, y)

    board, smooth = chess_board(5), correlated_normal(0.75)
    (low, high), error = estimated(board, 12).interval(), estimated(smooth, 4).stderr
    assert ((low <= board.nats) & (board.nats <= high)).mean() > 0.75
    monkeypatch.setattr(variational, "TRUSTED", np.inf)
    assert np.median(error / estimated(smooth, 4).stderr) == 1


def test_too_few_folds_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        Mine(folds=1)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(device):
    x = np.random.default_rng(0).normal(size=(1, 50, 1)).astype(np.float32)
    with pytest.raises(InputError, match=f"device='{device}'"):
        Mine(device=device).estimate(x, x)
