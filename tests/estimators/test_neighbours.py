"""Neighbours of vectors, against a loop over samples and against the tree of pairs of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from nif.estimators.ksg import _neighbourhoods
from nif.estimators.neighbours import nothing_given, terms_given, terms_in_order


def naive(x: np.ndarray, y: np.ndarray, z: np.ndarray, i: int, k: int) -> float:
    """The term of sample i."""
    in_x, in_y, in_z = (abs(side - side[i]).max(axis=1, initial=0.0) for side in (x, y, z))
    with_x, with_y = np.maximum(in_x, in_z), np.maximum(in_y, in_z)
    joint = np.maximum(with_x, with_y)
    few = k * math.prod(len(np.unique(column)) for side in (x, y, z) for column in side.T) <= len(x)
    radius = 0.0 if few else np.sort(joint)[k]
    alone = not few and (abs(joint - radius) <= 1e-12).sum() == 1
    reach = radius + (-1e-12 if alone else 1e-12)
    k_i = k if alone else (joint <= reach).sum()
    counts = ((distances <= reach).sum() for distances in (in_z, with_x, with_y))
    given, of_x, of_y = map(digamma, counts)
    return float(digamma(k_i) + given - of_x - of_y)


@pytest.mark.parametrize("columns", [(1, 1, 1), (2, 3, 2), (3, 2, 0), (12, 9, 0)], ids=str)
@pytest.mark.parametrize("steps", [0, 2, 20], ids=["untied", "few values", "many values"])
def test_terms_equal_a_loop_over_samples(columns: tuple[int, int, int], steps: int) -> None:
    generator = np.random.default_rng(steps)
    x, y, z = (generator.normal(size=(120, count)) for count in columns)
    y[:, 0] += x[:, 0]
    if steps:
        x, y, z = (np.maximum(np.round(side * steps / 2), 0) for side in (x, y, z))
    for k in (1, 5):
        expected = [naive(x, y, z, i, k) for i in range(120)]
        np.testing.assert_allclose(terms_given(x, y, z, k), expected, atol=1e-12)


def test_of_numbers_they_are_those_of_the_tree() -> None:
    x, y = np.maximum(np.random.default_rng(0).normal(size=(2, 400, 1)), 0)
    np.testing.assert_allclose(
        terms_given(x, y, nothing_given(400), 7), _neighbourhoods(x, y, [7])[0], atol=1e-12
    )


def test_of_untied_numbers_the_mean_is_that_of_scikit_learn() -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 500, 1))
    x, y = x / x.std(), (x + noise) / (x + noise).std()  # scikit-learn divides by the deviation
    expected = mutual_info_regression(x, y[:, 0], n_neighbors=5)[0]
    assert terms_given(x, y, nothing_given(500), 5).mean() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "of_y", [lambda y: y, lambda y: np.maximum(y, 0.0), np.round], ids=["untied", "relu", "few"]
)
def test_terms_in_order_are_those_of_every_comparison(of_y: Callable[[np.ndarray], np.ndarray]) -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 200))
    x.sort()
    x[50:60] = np.linspace(x[50], x[60], 10, endpoint=False)  # equal distances to either side
    y = of_y(x + noise)
    found = terms_in_order(x, y, [3, 12])
    for k, terms in zip((3, 12), found, strict=True):
        expected = terms_given(x[:, None], y[:, None], nothing_given(200), k)
        np.testing.assert_array_equal(terms, expected)
