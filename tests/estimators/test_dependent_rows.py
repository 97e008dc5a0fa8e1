"""Errors and p-values of rows that depend on each other, against repeated samples and slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter

import nif
from nif.core.blocks import block_of_rows
from nif.core.statistics import cauchy_combination
from nif.estimators.block_test import (
    DEGREE,
    Groups,
    independence_of_columns,
    independence_of_pairs,
    polynomials,
)
from nif.estimators.dependent_rows import inflation, of_dependent_rows
from nif.estimators.estimate import Estimate, Estimator, Outcome
from nif.estimators.pairs import PairwiseRunner
from nif.estimators.pointwise import bins_of, influence_of_rows

ROWS, LENGTH, PAIRS = 1000, 50, 300


def series(columns: int, seed: int, rows: int = ROWS, slope: float = 0.9) -> np.ndarray:
    """Independent autoregressive columns with a deviation of 1."""
    steps = np.random.default_rng([seed, rows]).normal(size=(rows + 200, columns)) * np.sqrt(1 - slope**2)
    return np.asarray(lfilter([1], [1, -slope], steps, axis=0)[200:])


def of_pairs(estimator: Estimator, x: np.ndarray, y: np.ndarray, length: int | None) -> Estimate:
    block = None if length is None else np.arange(len(x)) // length
    sides = (np.ascontiguousarray(side.T)[:, :, None] for side in (x, y))
    return of_dependent_rows(estimator, block).estimate(*sides)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "length"), [(500, 50), (1000, 50), (1000, 100), (2000, 50)])
def test_independent_series_are_rejected_as_often_as_the_level_says(rows: int, length: int) -> None:
    blocks = Groups.of(np.arange(rows) // length)
    sides = [np.split(series(2 * PAIRS, seed, rows), 2, axis=1) for seed in range(3)]
    rejected = [independence_of_pairs(*both, blocks) < 0.05 for both in sides]
    assert 0.03 < np.mean(rejected) < 0.08
    as_if = of_pairs(nif.Binned(), *(side[:, :60] for side in sides[0]), None)
    assert (as_if.p_value < 0.05).mean() > 0.5  # with errors of independent rows


@pytest.mark.slow
def test_dependence_of_series_is_found() -> None:
    x, noise = np.split(series(2 * PAIRS, 5), 2, axis=1)
    found = [
        (of_pairs(nif.GaussianCopula(), x, rho * x + np.sqrt(1 - rho**2) * noise, LENGTH).p_value < 0.05)
        for rho in (0.25, 0.5)
    ]
    assert np.mean(found[0]) > 0.5 and np.mean(found[1]) > 0.99
    curved = of_pairs(nif.GaussianCopula(), x, x**2 + noise, LENGTH)
    assert (curved.p_value < 0.05).mean() > 0.95  # which the copula itself does not see


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [nif.GaussianCopula(), nif.Binned()], ids=repr)
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_intervals_hold_the_information_of_dependent_series(
    estimator: Estimator, rho: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nif.estimators.dependent_rows.independence_of_pairs", lambda x, *_: np.ones(x.shape[1])
    )  # p-values are not looked at here
    truth, inside, naive = -0.5 * np.log(1 - rho**2), [], []
    for seed in range(2):
        x, noise = np.split(series(2 * PAIRS, seed), 2, axis=1)
        y = rho * x + np.sqrt(1 - rho**2) * noise
        for length, known in ((LENGTH, inside), (None, naive))[: 2 - seed]:
            low, high = of_pairs(estimator, x, y, length).interval()
            known.append((low <= truth) & (truth <= high))
    assert 0.91 < np.mean(inside) <= 1.0
    assert np.mean(naive) < np.mean(inside) - 0.15


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles")
def test_intervals_of_other_estimators_hold_it_too() -> None:
    x, noise = np.split(series(120, 3), 2, axis=1)
    truth = -0.5 * np.log(1 - 0.25)
    low, high = of_pairs(nif.Ksg(), x, 0.5 * x + 0.75**0.5 * noise, LENGTH).interval()
    assert ((low <= truth) & (truth <= high)).mean() > 0.85


def test_independent_rows_have_the_errors_that_they_had() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, ROWS, 200))
    y += 0.5 * x
    with_blocks, without = (of_pairs(nif.Binned(), x, y, length) for length in (5, None))
    np.testing.assert_array_equal(with_blocks.nats, without.nats)
    assert 1 <= (with_blocks.stderr / without.stderr).mean() < 1.1
    assert repr(with_blocks).endswith("Binned())")


@pytest.mark.parametrize("estimator", [nif.GaussianCopula(), nif.Binned()], ids=repr)
def test_inflation_is_that_of_sums_over_blocks(estimator: Estimator) -> None:
    x = series(3, 0, rows=300)
    y = x[:, ::-1] + series(3, 1, rows=300)
    block = np.random.default_rng(0).integers(12, size=300)
    a, b = np.array([0, 2]), np.array([2, 1])
    found = inflation(estimator, x, y, a, b, Groups.of(block))
    for pair, (i, k) in enumerate(zip(a, b, strict=True)):
        if isinstance(estimator, nif.GaussianCopula):
            p, q = (stats.norm.ppf((stats.rankdata(side) - 0.5) / 300) for side in (x[:, i], y[:, k]))
            p, q = p / p.std(), q / q.std()
            rho = (p * q).mean()
            influence = p * q - rho / 2 * (p**2 + q**2)
        else:
            influence = np.empty(300)
            influence_of_rows(bins_of(x)[:, i].copy(), bins_of(y)[:, k].copy(), influence)
        sums = pd.Series(influence).groupby(block).sum()
        expected = (sums**2).sum() / (influence**2).sum() * 12 / 11
        np.testing.assert_allclose(found[pair], max(expected, 1.0), rtol=1e-9)


def test_p_value_is_that_of_students_test_of_each_product() -> None:
    x, y = series(2, 0, rows=240), series(2, 1, rows=240)
    block = np.arange(240) // 20
    found = independence_of_columns(x, y, Groups.of(block))
    f, g = polynomials(x)[0], polynomials(y)[0]
    for i in range(2):
        for k in range(2):
            p_values = []
            for first in range(DEGREE):
                for second in range(DEGREE):
                    sums = pd.Series(f[:, i, first] * g[:, k, second]).groupby(block).sum()
                    p_values.append(stats.ttest_1samp(sums, 0).pvalue)  # blocks of one size
            weights = np.array([0.5] + [0.5 / 15] * 15)
            expected = cauchy_combination(np.minimum(p_values, 0.99), weights)
            np.testing.assert_allclose(found[i, k], expected, rtol=1e-9)
    np.testing.assert_allclose(independence_of_pairs(x, y, Groups.of(block)), np.diag(found), rtol=1e-9)


def test_polynomials_are_orthonormal_and_as_many_as_the_values_allow() -> None:
    generator = np.random.default_rng(0)
    columns = np.column_stack(
        [generator.normal(size=400), generator.integers(3, size=400), np.ones(400), np.arange(400) % 2]
    )
    values, known = polynomials(columns)
    assert known.sum(axis=1).tolist() == [4, 2, 0, 1]
    for column in range(4):
        product = values[:, column].T @ values[:, column] / 400
        np.testing.assert_allclose(product, np.diag(known[column].astype(float)), atol=1e-9)
        np.testing.assert_allclose(values[:, column].mean(axis=0), 0, atol=1e-9)


def test_coins_and_constants_have_p_values() -> None:
    generator = np.random.default_rng(0)
    coin, other = generator.integers(2, size=(2, 400)).astype(float)
    x = np.column_stack([coin, coin, np.ones(400)])
    y = np.column_stack([coin, other, coin])
    found = of_pairs(nif.Binned(), x, y, 20)
    assert found.p_value[0] < 1e-6 and found.p_value[1] > 0.01
    assert found.p_value[2] == 1 and found.stderr[2] == 0 and found.outcome[2] == Outcome.DEGENERATE
    assert independence_of_pairs(x, y, Groups.of(np.arange(400) // 20))[2] == 1


def test_all_pairs_are_those_one_by_one_whatever_the_memory_and_the_jobs() -> None:
    x, block = series(6, 0, rows=400), np.arange(400) // 20
    for estimator in (nif.Binned(threads=1), nif.GaussianCopula()):
        method = of_dependent_rows(estimator, block)
        runner = PairwiseRunner(method)
        whole = runner.within(x)
        lists = method.estimate(*(x.T[side][:, :, None] for side in np.triu_indices(6, k=1)))
        np.testing.assert_allclose(whole.stderr[np.triu_indices(6, k=1)], lists.stderr, rtol=1e-6)
        np.testing.assert_allclose(whole.p_value[np.triu_indices(6, k=1)], lists.p_value, rtol=1e-6)


def test_numbers_of_rows_and_labels_are_the_same_for_arrays() -> None:
    x, y = series(2, 0, rows=400).T
    by_length = nif.estimate(x, y, nif.Binned(), blocks=20)
    by_label = nif.estimate(x, y, nif.Binned(), blocks=[f"{row // 20:03d}" for row in range(400)])
    with pytest.warns(UserWarning, match="Neighbouring rows"):
        assert by_length.stderr == by_label.stderr > nif.estimate(x, y, nif.Binned()).stderr
    table = nif.pairwise(np.column_stack([x, y]), estimator=nif.Binned(), blocks=20, progress=False)
    np.testing.assert_allclose(table.stderr[0, 1], by_length.stderr, rtol=1e-9)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (0, "blocks is 0; expected 1 row or more"),
        (50, "of 8 blocks; expected 10 or more"),
        (np.zeros(7), r"shape \[7\]; expected a number of rows, or one label"),
        ("day", r"shape \[\]; expected a number of rows"),
    ],
)
def test_blocks_that_are_refused(blocks: Any, message: str) -> None:
    x, y = series(2, 0, rows=400).T
    with pytest.raises(nif.InputError, match=message):
        nif.estimate(x, y, nif.Binned(), blocks=blocks)


def test_vectors_have_no_blocks() -> None:
    x = series(3, 0, rows=400)
    with pytest.raises(nif.InputError, match="pairs of numbers; the sides have 2 and 1"):
        nif.estimate(x[:, :2], x[:, 2], nif.Ksg(), blocks=20)


def test_rows_that_were_drawn_keep_their_blocks() -> None:
    numbers = np.array([599, 0, 60, 121, 190, 250, 310, 380, 440, 500])
    assert block_of_rows(60, numbers, None).tolist() == [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_two_series_without_blocks_are_warned_of_and_one_is_not() -> None:
    steps = np.random.default_rng(3).normal(size=(600, 2))
    walk, method = steps.cumsum(0), nif.GaussianCopula()
    with pytest.warns(UserWarning, match="Neighbouring rows of x and of y are alike.* pass blocks="):
        nif.estimate(walk[:, 0], walk[:, 1], method)
    with pytest.warns(UserWarning, match="Neighbouring rows"):
        nif.pairwise(walk, estimator=method)
    nif.estimate(walk[:, 0], walk[:, 1], method, blocks=50)
    nif.estimate(walk[:, 0], steps[:, 1], method)  # one independent side is enough
