"""`Ksg` where it differs from Kraskov's formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma

import nif
from nif.core.errors import InputError
from nif.estimators.ksg import Ksg, _near_and_far, _neighbourhoods, _null_of_numbers, _of_curvature
from nif.estimators.neighbours import terms_in_order
from nif.estimators.ranks import normal_scores
from nif.estimators.shapes import SHAPES, ring
from nif.estimators.truths import Truth, normal_with, relu_pair, uniform_with_noise


@pytest.mark.usefixtures("few_shuffles")
def test_extrapolation_removes_the_bias_at_edges() -> None:
    """Without extrapolation seven neighbours are .03 too low here."""
    truth = uniform_with_noise(0.1)
    x, y = (np.stack(side)[:, :, None] for side in zip(*map(drawn, range(4)), strict=True))
    assert Ksg(permutations=2).estimate(x, y).nats.mean() == pytest.approx(truth.nats, abs=0.015)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return uniform_with_noise(0.1).sample(10_000, seed)


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles")
def test_the_null_of_many_samples_is_that_of_as_many_shuffled() -> None:
    """It is drawn from 2,000 and scaled: not scaled, its spread would be 1.7 times as large."""
    rows, k = 6_000, Ksg().k
    scores, generator = normal_scores(np.arange(rows, dtype=float)[:, None])[:, 0], np.random.default_rng(1)
    drawn = [
        terms_in_order(scores, generator.permutation(scores), _near_and_far(rows, k))[1].mean()
        for _ in range(30)
    ]
    null = _null_of_numbers(rows, k, 100, 0).test
    assert 0.7 < np.std(drawn, ddof=1) / null.spread < 1.4  # known to 15 %
    assert abs(np.mean(drawn) - null.mean) < 0.75 * null.spread  # four of its standard errors


@pytest.mark.slow
def test_intervals_of_bounded_shapes_with_few_samples() -> None:
    """Seven neighbours alone are too low by .06 to .26, and cover half a nat of the window 4 times in 10."""
    for truth in SHAPES:
        drawn = [truth.sample(300, seed) for seed in range(60)]
        x, y = (np.stack(side)[:, :, None] for side in zip(*drawn, strict=True))
        low, high = Ksg().estimate(x, y).interval()
        assert ((low <= truth.nats) & (truth.nats <= high)).mean() >= 0.88, truth.name


@pytest.mark.usefixtures("few_shuffles")
def test_the_error_includes_what_is_not_known_about_edges() -> None:
    """With few samples, bias at edges and that of curvature cannot be told apart."""
    x, y = normal_with(3.0).sample(300, seed=0)
    estimate = Ksg(permutations=2).estimate(x[None, :, None], y[None, :, None])
    near, far = _neighbourhoods(*normal_scores(np.column_stack([x, y])).T[:, :, None], [3, 12])
    assert estimate.stderr[0] > (near.mean() - far.mean()) / 3 > 0.1


@pytest.mark.usefixtures("few_shuffles")
def test_weak_dependence_is_extrapolated_from_two_sizes_of_neighbourhood() -> None:
    x, y = ring(0.5).sample(300, seed=0)
    estimate = Ksg(permutations=2).estimate(x[None, :, None], y[None, :, None])
    near, far = _neighbourhoods(*normal_scores(np.column_stack([x, y])).T[:, :, None], [3, 12])
    assert estimate.nats[0] == pytest.approx((5 * near.mean() - 2 * far.mean()) / 3)


@pytest.mark.usefixtures("few_shuffles")
def test_strong_smooth_dependence_is_not_too_high() -> None:
    """Extrapolated as at edges, 3 nats are .13 too high here, and never covered."""
    drawn = [normal_with(3.0).sample(2_000, seed) for seed in range(10)]
    x, y = (np.stack(side)[:, :, None] for side in zip(*drawn, strict=True))
    estimate = Ksg(permutations=20).estimate(x, y)
    low, high = estimate.interval()
    assert estimate.nats.mean() == pytest.approx(3, abs=0.09)
    assert ((low <= 3) & (high >= 3)).mean() >= 0.6
    assert estimate.stderr.mean() < 0.07


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["edges", "curvature"])
def test_three_sizes_of_neighbourhood_separate_curvature_from_edges(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bias a sqrt(k) + b k and no noise, nothing is taken off for b = 0, and 2 b for a = 0."""

    def biased(x: np.ndarray, _: np.ndarray, neighbours: list[int]) -> list[np.ndarray]:
        wide = np.array(neighbours) / neighbours[0] * (400 / len(x))
        return [np.full(len(x), -(share * w + (1 - share) * math.sqrt(w))) for w in wide]

    monkeypatch.setattr("nif.estimators.ksg._neighbourhoods", biased)
    side = np.zeros((400, 1))
    taken_off, error = _of_curvature(side, side, *biased(side, side, [3, 12]), k=7)
    assert (taken_off, error) == pytest.approx((2 * share, share))


@pytest.mark.usefixtures("few_shuffles")
def test_three_positives_of_400_in_the_same_rows_are_not_chance() -> None:
    """There are 10,586,800 ways to choose three rows; they were given p = .53."""
    one, other = np.zeros((2, 400))
    one[:3], other[:3] = [1, 2, 3], [1, 3, 2]
    for y in (one, other):
        assert nif.estimate(one, y, "ksg").p_value < 1e-6
    assert nif.estimate(one, np.roll(other, 3), "ksg").p_value > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("most", [60, 1_000], ids=["scaled", "drawn"])
def test_independent_vectors_are_rejected_as_often_as_stated(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nif.estimators.ksg.NULL_OF_VECTORS", most)
    x, y = np.maximum(np.random.default_rng(0).normal(size=(2, 150, 120, 2)), -0.5)
    rejected = (Ksg(permutations=60).estimate(x, y).p_value < 0.05).sum()
    assert 2 <= rejected <= 15  # 7.5 are expected; more or fewer in 1 of 100 runs


@pytest.mark.usefixtures("few_shuffles")
@pytest.mark.parametrize(
    "truth", [relu_pair(0.0), relu_pair(0.5), relu_pair(0.75, 0.9)], ids=["independent", "half", "rare"]
)
def test_zeros_and_values_beside_them(truth: Truth) -> None:
    """Gao's form at distance 0 alone is .037 and .017 too low where there is dependence."""
    x, y = (
        np.stack(side)[:, :, None] for side in zip(*(truth.sample(5_000, s) for s in range(5)), strict=True)
    )
    assert Ksg(permutations=2).estimate(x, y).nats.mean() == pytest.approx(truth.nats, abs=0.012)


@pytest.mark.parametrize("steps", [0, 3, 40], ids=["untied", "few values", "many values"])
def test_terms_equal_a_loop_over_samples(steps: int) -> None:
    generator = np.random.default_rng(steps)
    table = generator.normal(size=(300, 2))
    table[:, 1] += table[:, 0]
    if steps:
        table = np.maximum(np.round(table * steps / 3), 0)
    x, y = normal_scores(table).T
    for k, terms in zip((3, 12), _neighbourhoods(x[:, None], y[:, None], [3, 12]), strict=True):
        np.testing.assert_allclose(terms, [naive(x, y, i, k) for i in range(300)], atol=1e-12)


def test_no_neighbours_and_a_single_permutation_are_refused() -> None:
    for options in ({"k": 0}, {"permutations": 1}):
        with pytest.raises(InputError, match="; expected"):
            Ksg(**options)


def naive(x: np.ndarray, y: np.ndarray, i: int, k: int) -> float:
    """The term of sample i."""
    in_x, in_y = abs(x - x[i]), abs(y - y[i])
    joint = np.maximum(in_x, in_y)
    radius = np.sort(joint)[k]
    if (abs(joint - radius) <= 1e-12).sum() == 1:
        nearer = radius - 1e-12
        return float(
            digamma(k) + digamma(300) - digamma((in_x < nearer).sum()) - digamma((in_y < nearer).sum())
        )
    wide = radius + 1e-12
    k_i = (joint <= wide).sum()
    return float(digamma(k_i) + digamma(300) - digamma((in_x <= wide).sum()) - digamma((in_y <= wide).sum()))
