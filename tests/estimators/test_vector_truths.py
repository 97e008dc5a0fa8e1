"""The exact values of vectors, by independent methods."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_t, norm

from nif.estimators.truths import Truth, correlated_normal, half_cube
from nif.estimators.vector_truths import (
    BEYOND_NORMAL_VECTORS,
    crossed_normals,
    equal_correlations,
    label_and_normal,
    spiral,
    stacked,
    student_vectors,
    swiss_roll,
    two_pairs,
)

SAMPLES = 100_000


def test_the_tasks_have_the_published_values() -> None:
    dense, pairs, student = [0.29, 0.41, 0.59, 1.29, 1.62], [1.02], [0.43, 0.19, 0.29, 0.18, 0.45, 0.3]
    expected = [0.41, *dense, *4 * pairs, *student, *12 * pairs, 0.43, 0.29, 0.45]
    assert [round(task.nats, 2) for task in BEYOND_NORMAL_VECTORS] == expected
    assert len({task.name for task in BEYOND_NORMAL_VECTORS}) == 31


def check_mean(ratio: np.ndarray, truth: Truth) -> None:
    """The mean of samples of the log density ratio is the truth, within four standard errors."""
    assert truth.nats == pytest.approx(ratio.mean(), abs=4 * ratio.std() / math.sqrt(len(ratio)))


@pytest.mark.parametrize("freedom", [1.0, 3.0])
def test_student_vectors_are_the_mean_log_density_ratio(freedom: float) -> None:
    dispersion = equal_correlations(5, 0.4)
    truth = student_vectors(freedom, dispersion, 2, "Student")
    x, y = truth.sample(SAMPLES, seed=0)
    both, of_x, of_y = (
        multivariate_t(shape=block, df=freedom)
        for block in (dispersion, dispersion[:2, :2], dispersion[2:, 2:])
    )
    check_mean(both.logpdf(np.hstack([x, y])) - of_x.logpdf(x) - of_y.logpdf(y), truth)


def test_crossed_normals_are_the_mean_log_density_ratio() -> None:
    truth = crossed_normals(0.9)
    x, y = truth.sample(SAMPLES, seed=0)
    density = sum(norm.pdf(y, sign * 0.9 * x, math.sqrt(1 - 0.81)) for sign in (-1, 1)) / 2
    check_mean(np.log(density) - norm.logpdf(y), truth)
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.02
    assert y.std() == pytest.approx(1, abs=0.02)


def test_label_and_normal_is_the_mean_log_density_ratio() -> None:
    truth = label_and_normal(4, 1.5)
    x, y = truth.sample(SAMPLES, seed=0)
    margin = np.mean([norm.pdf(y, 1.5 * label) for label in range(4)], axis=0)
    check_mean(norm.logpdf(y, 1.5 * x) - np.log(margin), truth)
    assert truth.nats < math.log(4)


def test_a_spiral_keeps_lengths_and_is_undone_by_the_opposite_speed() -> None:
    side = np.random.default_rng(0).standard_normal((50, 4))
    turned = spiral(1)(side)
    assert np.square(turned).sum(axis=1) == pytest.approx(np.square(side).sum(axis=1))
    assert spiral(1, speed=-1.0)(turned) == pytest.approx(side)
    assert np.abs(turned[:, 1:3] - side[:, 1:3]).max() > 1
    assert np.array_equal(turned[:, [0, 3]], side[:, [0, 3]])


def test_maps_lose_nothing() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 50)
    cubes = half_cube(values)
    assert np.sign(cubes) * np.abs(cubes) ** (2 / 3) == pytest.approx(values)
    uniform = np.abs(values)
    length = np.linalg.norm(swiss_roll(uniform), axis=1) * 21
    assert (length / (1.5 * np.pi) - 1) / 2 == pytest.approx(uniform)


def test_stacked_pairs_add_up_and_rotations_keep_lengths() -> None:
    parts = [correlated_normal(0.6), student_vectors(3, np.eye(3), 2, "Student"), label_and_normal(3, 2.0)]
    plain, rotated = stacked(parts, "plain"), stacked(parts, "rotated", seed=1)
    assert plain.nats == rotated.nats == pytest.approx(sum(part.nats for part in parts))
    before, after = plain.sample(40, seed=0), rotated.sample(40, seed=0)
    for side, turned in zip(before, after, strict=True):
        assert np.linalg.norm(side, axis=1) == pytest.approx(np.linalg.norm(turned, axis=1))
        assert np.abs(side - turned).max() > 0.5
    assert (before[0].shape, before[1].shape) == ((40, 4), (40, 3))
    assert set(before[0][:, 3]) == {0.0, 1.0, 2.0}


def test_two_pairs_have_four_correlations() -> None:
    assert np.linalg.eigvalsh(two_pairs(3, 0.5)).round(6).tolist() == [0.5, 0.5, 1.0, 1.0, 1.5, 1.5]


@pytest.mark.parametrize("task", BEYOND_NORMAL_VECTORS, ids=lambda task: task.name)
def test_samplers_are_seeded(task: Truth) -> None:
    first, second, other = task.sample(20, 1), task.sample(20, 1), task.sample(20, 2)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
