"""Critics of vectors: each part against a slow twin, and estimates of known truths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from nif.estimators.estimate import Estimate, Estimator
from nif.estimators.gaussian_copula import GaussianCopula
from nif.estimators.neural.bounds import MINE, donsker_varadhan
from nif.estimators.neural.critics import gaussian_critics
from nif.estimators.neural.methods import InfoNce, Mine
from nif.estimators.neural.training import Samples
from nif.estimators.neural.vectors import KNOTS, VectorCritics, vector_critics, with_features
from nif.estimators.ranks import normal_scores
from nif.estimators.student_copula import StudentCopula, student_scores
from nif.estimators.truths import Truth, mapped
from nif.estimators.vector_truths import (
    equal_correlations,
    normal_vectors,
    spiral,
    student_vectors,
    two_pairs,
)

SHIFTS = torch.tensor([3, 11])


def scored(truth: Truth, rows: int, seed: int = 0) -> Samples:
    x, y = truth.sample(rows, seed)
    return Samples(*(torch.tensor(normal_scores(side))[None].float() for side in (x, y)))


def untrained(samples: Samples, hidden: int = 8) -> tuple[VectorCritics, Samples]:
    critics, parts = vector_critics((samples,) * 3, MINE, hidden, torch.Generator().manual_seed(0))
    return critics, parts[0]


def at_the_gaussian(samples: Samples) -> tuple[VectorCritics, Samples]:
    """With the quadratic part of `gaussian_critics`, whichever start was better."""
    critics, featured = untrained(samples)
    plain = gaussian_critics(samples.x, samples.y, 8, torch.Generator().manual_seed(0))
    quadratic = {name: getattr(plain, name) for name in ("quadratic_x", "quadratic_y", "cross")}
    return replace(critics, **quadratic, student=torch.zeros(1)), featured


HEAVY = student_vectors(2.0, equal_correlations(5, 0.4), 3, "Student")
NORMAL = normal_vectors(equal_correlations(5, 0.4), 3, "normal")


def test_student_scores_are_the_log_density_ratio() -> None:
    """With the quadratic part at zero, and up to a constant, which no bound but NWJ's depends on."""
    samples = scored(HEAVY, 200)
    copula = StudentCopula(2.5, equal_correlations(5, 0.4))
    critics, _ = untrained(samples)
    zeros = {
        name: torch.zeros_like(getattr(critics, name)) for name in ("quadratic_x", "quadratic_y", "cross")
    }
    critics = replace(critics, **zeros, student=torch.tensor([(2.5 + 5) / 2]))
    featured = with_features(samples, [copula])
    joint, product = critics.scores(featured.x, featured.y, SHIFTS)
    q_x, q_y = (student_scores(side[0].double().numpy(), 2.5) for side in (samples.x, samples.y))
    both, of_x, of_y = (
        multivariate_t(shape=block, df=2.5)
        for block in (copula.correlations, copula.correlations[:3, :3], copula.correlations[3:, 3:])
    )
    for scores, shift in ((joint[0], 0), (product[0, 0], 3), (product[0, 1], 11)):
        moved = np.roll(q_y, -shift, axis=0)
        exact = both.logpdf(np.hstack([q_x, moved])) - of_x.logpdf(q_x) - of_y.logpdf(moved)
        difference = scores.double().numpy() - exact
        assert difference == pytest.approx(difference[0] * np.ones(200), abs=2e-3)


@pytest.mark.parametrize(("truth", "freedom"), [(HEAVY, 2.0), (NORMAL, np.inf)], ids=["Student", "normal"])
def test_the_start_is_nearly_optimal_at_both_copulas(truth: Truth, freedom: float) -> None:
    """Its bound is the mean of the exact log density ratio over the same rows."""
    x, y = truth.sample(4000, seed=0)
    critics, featured = untrained(scored(truth, 4000))
    joint, product = critics.scores(featured.x, featured.y, torch.arange(1, 4000, 50))
    matrix = equal_correlations(5, 0.4)
    both, of_x, of_y = (
        multivariate_t(shape=block, df=freedom) for block in (matrix, matrix[:3, :3], matrix[3:, 3:])
    )
    exact = both.logpdf(np.hstack([x, y])) - of_x.logpdf(x) - of_y.logpdf(y)
    assert donsker_varadhan(joint, product).item() == pytest.approx(exact.mean(), abs=0.02)


def test_a_student_copula_starts_with_the_quadratic_part_at_zero() -> None:
    critics, _ = untrained(scored(HEAVY, 2000))
    assert critics.student.item() == pytest.approx((2 + 5) / 2, abs=0.3)
    assert critics.cross.abs().max() == 0


def test_an_untrained_critic_at_the_gaussian_copula_scores_like_one_of_numbers() -> None:
    samples = scored(NORMAL, 500)
    plain = gaussian_critics(samples.x, samples.y, 8, torch.Generator().manual_seed(0))
    critics, featured = at_the_gaussian(samples)
    of_vectors, of_numbers = (
        critics.scores(featured.x, featured.y, SHIFTS),
        plain.scores(samples.x, samples.y, SHIFTS),
    )
    for own, other in zip(of_vectors, of_numbers, strict=True):
        assert torch.allclose(own, other, atol=1e-4)


def test_bent_sides_against_a_loop() -> None:
    """The quadratic part sees x + sum of gates times maps of x."""
    samples = scored(NORMAL, 60)
    critics, featured = at_the_gaussian(samples)
    generator = torch.Generator().manual_seed(1)
    bends = {
        name: torch.randn(getattr(critics, name).shape, generator=generator) / 10
        for name in ("bend_x", "bend_y")
    }
    bent = replace(critics, **bends)
    joint, _ = bent.scores(featured.x, featured.y, SHIFTS)
    sides = []
    for side, dim, name in ((featured.x, 3, "x"), (featured.y, 2, "y")):
        bend, gate, bias = (getattr(bent, part + name)[0] for part in ("bend_", "gate_", "gate_bias_"))
        rows = []
        for row in side[0, :, : dim + 1]:
            hats = [np.interp(row[dim].item(), KNOTS, np.eye(len(KNOTS))[k]) for k in range(len(KNOTS))]
            gates = [*hats, *torch.tanh(row @ gate + bias[0]).tolist()]
            maps = [bend[:, k * dim : (k + 1) * dim] for k in range(len(gates))]
            rows.append(row[:dim] + sum(g * (row[:dim] @ m) for g, m in zip(gates, maps, strict=True)))
        sides.append(torch.stack(rows).float())
    a, b, c = bent.quadratic_x[0], bent.quadratic_y[0], bent.cross[0]
    x, y = sides
    expected = ((x @ a) * x).sum(1) + ((y @ b) * y).sum(1) + ((x @ c) * y).sum(1)
    assert torch.allclose(joint[0], expected, atol=1e-4)
    assert (joint - critics.scores(featured.x, featured.y, SHIFTS)[0]).abs().max() > 0.1


def test_scaled_critics_have_scaled_scores() -> None:
    critics, featured = untrained(scored(HEAVY, 100))
    half = critics.scaled(torch.tensor([0.5]))
    for own, other in zip(
        critics.scores(featured.x, featured.y, SHIFTS),
        half.scores(featured.x, featured.y, SHIFTS),
        strict=True,
    ):
        assert torch.allclose(own / 2, other, atol=1e-5)


def estimated(truth: Truth, rows: int, method: Estimator | None = None) -> Estimate:
    x, y = (side.reshape(1, rows, -1) for side in truth.sample(rows, seed=0))
    return (method or Mine()).estimate(x, y)


def test_sides_that_share_a_scale_only() -> None:
    """A Gaussian copula finds nothing there."""
    truth = student_vectors(1.0, np.eye(6), 3, "Student")
    assert estimated(truth, 1800, GaussianCopula()).nats[0] < 0.05
    estimate = estimated(truth, 1800, Mine(hidden=8, steps=20))
    assert estimate.nats[0] == pytest.approx(truth.nats, abs=0.06)
    assert estimate.p_value[0] < 1e-6


def test_the_other_bounds_start_there_too() -> None:
    truth = student_vectors(1.0, np.eye(4), 2, "Student")
    estimate = estimated(truth, 2000, InfoNce(steps=40, hidden=8, folds=2))
    assert estimate.nats[0] == pytest.approx(truth.nats, abs=0.06)


@pytest.mark.slow
def test_a_rotation_by_the_length_costs_less_than_half_of_what_correlations_miss() -> None:
    base = normal_vectors(two_pairs(2, 0.9), 2, "pairs")
    turned = mapped(base, "spiral", spiral(0, 2.0), spiral(0, 2.0))
    of_correlations = estimated(turned, 1500, GaussianCopula()).nats[0]
    assert of_correlations < base.nats / 2
    found = estimated(turned, 1500, Mine(hidden=16, steps=200, batch=128, folds=2))
    assert found.nats[0] - of_correlations > (base.nats - of_correlations) / 2
    assert found.nats[0] < base.nats + 3 * found.stderr[0]


@pytest.mark.slow
def test_independent_vectors_reject_at_their_level() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((2, 30, 200, 2))
    scale = np.sqrt(generator.chisquare(3, size=(2, 30, 200, 1)) / 3)
    estimate = Mine(hidden=8, steps=20, folds=2).estimate(x / scale[0], y / scale[1])
    assert (estimate.p_value < 0.05).sum() <= 5  # 1.5 on average
    assert abs(estimate.nats.mean()) < 0.01


def test_same_seed_same_bits() -> None:
    method = Mine(hidden=8, steps=10, folds=2)
    first, second, other = (
        method.estimate(*(side[None] for side in HEAVY.sample(300, 0)), seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.nats, second.nats)
    assert np.array_equal(first.stderr, second.stderr)
    assert not np.array_equal(first.nats, other.nats)


def test_a_dead_unit_and_equal_units_within_a_side() -> None:
    x, y = NORMAL.sample(400, 0)
    x[:, 1], y[:, 1] = 3.0, y[:, 0]
    estimate = Mine(hidden=8, steps=40).estimate(x[None], y[None])
    assert np.isfinite([estimate.nats[0], estimate.stderr[0], estimate.p_value[0]]).all()
    assert 0 < estimate.nats[0] < NORMAL.nats + 3 * estimate.stderr[0]


@pytest.mark.slow
@pytest.mark.parametrize(("dim_x", "dim_y"), [(2, 1), (100, 28), (100, 29)])
def test_sides_of_any_width(dim_x: int, dim_y: int) -> None:
    """Beyond 128 numbers critics are those of numbers: bends would cost the square of the width."""
    matrix = np.eye(dim_x + dim_y)
    matrix[0, dim_x] = matrix[dim_x, 0] = 0.95
    x, y = normal_vectors(matrix, dim_x, "one pair").sample(600, 0)
    estimate = Mine(hidden=8, steps=10).estimate(x[None], y[None])
    assert estimate.p_value[0] < 1e-3
    assert abs(estimate.nats[0] - 1.16) < 4 * estimate.stderr[0]


@pytest.mark.parametrize(("columns", "changes"), [(2, True), (1, False)], ids=["vectors", "numbers"])
def test_the_error_of_vectors_counts_what_is_learnt_slowly(
    columns: int, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 1, 200, columns))
    mine = Mine(hidden=8, steps=20)
    before = mine.estimate(x, x + y)
    monkeypatch.setattr("nif.estimators.neural.variational.SLOW_OF_VECTORS", 4.0)
    after = mine.estimate(x, x + y)
    assert bool(after.stderr[0] > before.stderr[0]) == changes
    assert after.nats[0] == before.nats[0]


@pytest.mark.parametrize(("curved", "changes"), [(False, True), (True, False)], ids=["normal", "curved"])
def test_the_error_of_critics_at_their_start_is_small_where_the_copula_is_gaussian(
    curved: bool, changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 1, 1000, 4))
    y = x + noise + curved * x[..., ::-1] ** 2
    mine = Mine(hidden=8, steps=0)
    before = mine.estimate(x, y)
    monkeypatch.setattr("nif.estimators.neural.variational.SLOW_AT_START", 1.0)
    after = mine.estimate(x, y)
    assert bool(after.stderr[0] > before.stderr[0]) == changes
    assert after.nats[0] == before.nats[0]
