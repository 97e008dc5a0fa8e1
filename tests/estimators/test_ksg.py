"""`Ksg` where it differs from Kraskov's formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from nif.core.errors import InputError
from nif.estimators.ksg import Ksg, _neighbourhoods
from nif.estimators.ranks import normal_scores
from nif.estimators.truths import Truth, relu_pair, uniform_with_noise


def test_extrapolation_removes_the_bias_at_edges() -> None:
    """Without extrapolation seven neighbours are .03 too low here."""
    truth = uniform_with_noise(0.1)
    x, y = (np.stack(side)[:, :, None] for side in zip(*map(drawn, range(4)), strict=True))
    assert Ksg(permutations=2).estimate(x, y).nats.mean() == pytest.approx(truth.nats, abs=0.015)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return uniform_with_noise(0.1).sample(10_000, seed)


@pytest.mark.parametrize(
    "truth", [relu_pair(0.0), relu_pair(0.5), relu_pair(0.75, 0.9)], ids=["independent", "half", "rare"]
)
def test_zeros_and_values_beside_them(truth: Truth) -> None:
    """Gao's form at distance 0 alone is off by .03 to .06 here."""
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
        with pytest.raises(InputError, match="expected at least 1 and 2"):
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
