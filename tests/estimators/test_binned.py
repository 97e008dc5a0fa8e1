"""`Binned`: values, intervals and p-values; its compiled loops against slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from nif.core.errors import InputError
from nif.estimators.binned.estimator import Binned
from nif.estimators.binned.independence import Margins, independence
from nif.estimators.binned.partition import (
    FEWEST,
    PENALTY,
    PRICE,
    ROUNDED,
    Side,
    information,
    logarithms_of_counts,
    partitions,
)
from nif.estimators.binned.quantile_cells import QuantileCells, depth_for, quantile_cells
from nif.estimators.entropy import entropies_of_values
from nif.estimators.estimate import Estimate, Outcome
from nif.estimators.truths import (
    BEYOND_NORMAL,
    INDEPENDENT,
    Truth,
    chess_board,
    correlated_normal,
    discrete,
    normal_with,
    relu_pair,
    uniform_in_cells,
)

NOT_ALIKE = (BEYOND_NORMAL[0], *BEYOND_NORMAL[5:8])
"""Of the nine tasks; the others are monotone maps of these, which change no rank."""

WITH_EDGES = (
    *(chess_board(fields) for fields in (2, 3, 4, 5, 6, 8)),
    chess_board(4, 0.3),
    uniform_in_cells(np.eye(3), "blocks"),
)
"""Densities with edges at the medians and elsewhere. A cut at the median of a sample misses both, and where
edges are at fifths several cuts in a row find nothing."""

ONE = np.zeros(1, dtype=int)
LOGS = logarithms_of_counts(200_000)


def estimated(truth: Truth, samples: int, seeds: int) -> Estimate:
    """The same truth in many data sets."""
    drawn = [truth.sample(samples, seed) for seed in range(seeds)]
    x, y = (np.stack([pair[side] for pair in drawn])[:, :, None] for side in (0, 1))
    return Binned().estimate(x, y)


def test_error_on_the_nine_tasks() -> None:
    errors = [np.abs(estimated(task, 10_000, 10).nats - task.nats).mean() for task in BEYOND_NORMAL]
    assert np.mean(errors) < 0.010
    assert max(errors) < 0.020


@pytest.mark.parametrize("zeros", [0.5, 0.9, 0.99])
def test_relu_pairs_with_any_fraction_of_zeros(zeros: float) -> None:
    truth = relu_pair(0.75, zeros)
    estimate = estimated(truth, 10_000, 20)
    assert abs(estimate.nats.mean() - truth.nats) < 0.004
    assert (estimate.p_value < 1e-6).all()


@pytest.mark.parametrize(("nats", "tolerance"), [(2.0, 0.015), (3.0, 0.02), (4.0, 0.05)])
def test_large_information(nats: float, tolerance: float) -> None:
    assert estimated(normal_with(nats), 10_000, 10).nats.mean() == pytest.approx(nats, abs=tolerance)


@pytest.mark.parametrize(
    ("samples", "tasks"),
    [(1_000, NOT_ALIKE), (2_000, NOT_ALIKE + WITH_EDGES), (5_000, NOT_ALIKE + WITH_EDGES)],
)
def test_coverage_of_intervals(samples: int, tasks: tuple[Truth, ...]) -> None:
    covered = {}
    for task in tasks:
        low, high = estimated(task, samples, 100).interval()
        covered[task.name] = ((low <= task.nats) & (task.nats <= high)).mean()
    assert all(coverage > 0.8 for coverage in covered.values()), covered
    assert 0.91 < covered["normal, rho 0.75"] < 0.995
    assert 0.92 < np.mean(list(covered.values())) < 0.985


def test_all_of_a_step_is_uncertain_only_where_it_is_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it else: errors of smooth dependence hardly change, those of a board nearly double."""
    truths = correlated_normal(0.3), correlated_normal(0.75), chess_board(5)
    now = np.array([estimated(truth, 2_000, 100).stderr.mean() for truth in truths])
    monkeypatch.setattr("nif.estimators.binned.estimator.EXTRAPOLATION_UNCERTAINTY", (0.5, 0.5))
    weak, smooth, board = now / [estimated(truth, 2_000, 100).stderr.mean() for truth in truths]
    assert 1 <= weak < 1.06 and 1 <= smooth < 1.08
    assert board > 1.6


@pytest.mark.parametrize("rho", [0.0, 0.05, 0.2])
def test_coverage_of_intervals_of_weak_dependence(rho: float) -> None:
    truth = correlated_normal(rho)
    low, high = estimated(truth, 2_000, 200).interval()
    assert ((low <= truth.nats) & (truth.nats <= high)).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("samples", [500, 3_000])
@pytest.mark.parametrize("truth", INDEPENDENT[:3], ids=lambda truth: truth.name)
def test_level_of_the_test_of_independence(truth: Truth, samples: int) -> None:
    estimate = estimated(truth, samples, 1_000)
    assert 0.03 < (estimate.p_value < 0.05).mean() < 0.07  # three standard errors
    assert (estimate.p_value < 0.001).mean() < 0.006
    assert abs(estimate.nats.mean()) < 0.005


@pytest.mark.slow
@pytest.mark.parametrize("zeros", [0.9, 0.99])
def test_rare_activity_does_not_inflate_significance(zeros: float) -> None:
    estimate = estimated(relu_pair(0.0, zeros), 2_000, 1_000)
    assert (estimate.p_value < 0.05).mean() < 0.07
    assert (estimate.p_value < 0.001).mean() < 0.007


def test_power_for_trends_and_patterns() -> None:
    generator = np.random.default_rng(0)
    x, noise = generator.normal(size=(2, 200, 1_000, 1))
    trend = Binned().estimate(x, 0.15 * x + noise).p_value
    bowl = Binned().estimate(x, 0.2 * x**2 + noise).p_value
    assert (trend < 0.05).mean() > 0.75
    assert (bowl < 0.05).mean() > 0.8


def test_data_and_estimate_with_the_same_seed() -> None:
    coins = discrete(np.array([[0.4, 0.1], [0.1, 0.4]]))
    x, y = (side[None, :, None] for side in coins.sample(5_000, seed=0))
    assert Binned().estimate(x, y, seed=0).nats[0] == pytest.approx(coins.nats, abs=0.02)


@pytest.mark.parametrize("samples", [75, 150])
def test_with_few_rows_the_seed_moves_the_value_by_a_fifth_of_the_standard_error(samples: int) -> None:
    """By .33 of it with one division into quarters."""
    x = table(samples, 16)
    estimates = [Binned().pairwise(x[:, :8], x[:, 8:], seed=seed) for seed in range(20)]
    deviation = np.std([estimate.nats for estimate in estimates], axis=0, ddof=1)
    assert 0 < np.median(deviation / estimates[0].stderr) < 0.22


def test_columns_in_one_order_determine_each_other() -> None:
    """Upward or downward, alone or among all pairs; not if the order of two rows differs."""
    x = table(600, 2)
    swapped = x[:, 1:].copy()
    swapped[:2] = swapped[1::-1]
    others = np.column_stack([np.exp(x), -x, swapped, x[:, 1] > 0])
    found = Binned().pairwise(x, others)
    same = np.tile(np.eye(2, dtype=bool), 2)
    assert ((found.outcome == Outcome.DETERMINED) == np.pad(same, ((0, 0), (0, 2)))).all()
    entropies = entropies_of_values(x)
    assert found.nats[:, :4][same] == pytest.approx(np.repeat(entropies, 2))
    for column, entropy in zip(x.T[:, None, :, None], entropies, strict=True):
        alone = Binned().estimate(column, column**3)
        assert (alone.outcome[0], alone.nats[0]) == (Outcome.DETERMINED, entropy)


def table(samples: int, width: int) -> np.ndarray:
    """Dependent columns, some with atoms."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(samples, 3)) @ generator.normal(size=(3, width))
    values += generator.normal(size=values.shape)
    values[:, ::2] = np.maximum(values[:, ::2], 0)
    return values


def test_a_pair_does_not_depend_on_the_columns_beside_it_nor_on_the_threads() -> None:
    x = table(600, 8)
    whole = Binned().pairwise(x[:, :5], x[:, 5:], seed=1)
    part = Binned(threads=1).pairwise(x[:, 2:4], x[:, 6:], seed=1)
    within = Binned(threads=3).pairwise(x, x, seed=1)
    for name in ("nats", "stderr", "p_value"):
        assert getattr(whole, name)[2:4, 1:].tobytes() == getattr(part, name).tobytes()
        assert np.array_equal(getattr(within, name)[:5, 5:], getattr(whole, name))


def test_the_sides_can_be_exchanged() -> None:
    x = table(600, 6)
    there, back = Binned().pairwise(x[:, :3], x[:, 3:]), Binned().pairwise(x[:, 3:], x[:, :3])
    assert np.allclose(there.nats, back.nats.T, atol=1e-12)
    assert np.allclose(there.p_value, back.p_value.T, atol=1e-12)


@pytest.mark.parametrize("samples", [8, 13, 50])
def test_fewer_samples_than_cells(samples: int) -> None:
    x = table(samples, 6)
    estimate = Binned().pairwise(x, x + 0.0)
    assert np.isfinite(estimate.nats).all()
    assert ((estimate.stderr > 0) & (estimate.p_value > 0) & (estimate.p_value <= 1)).all()
    assert (estimate.nats <= math.log(samples)).all()


def test_too_few_samples_and_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="at least 8"):
        Binned().pairwise(table(7, 2), table(7, 2))
    with pytest.raises(InputError, match="components"):
        Binned().estimate(np.zeros((1, 50, 2)), np.zeros((1, 50, 1)))
    with pytest.raises(InputError, match="threads is 0"):
        Binned(threads=0)


def test_all_columns_constant() -> None:
    estimate = Binned().pairwise(np.ones((60, 2)), np.zeros((60, 3)))
    assert not estimate.nats.any()
    assert not estimate.stderr.any()
    assert (estimate.p_value == 1).all()
    assert (estimate.outcome == Outcome.DEGENERATE).all()


def test_repr_names_the_options_that_were_set() -> None:
    assert repr(Binned()) == "Binned()"
    assert repr(Binned(threads=2)) == "Binned(threads=2)"


def naive_cells(column: np.ndarray, depth: int) -> list[np.ndarray]:
    """Values of each cell, one median after the other."""
    if depth == 0:
        return [column]
    ordered = np.sort(column)
    steps = np.flatnonzero(np.diff(ordered)) + 1
    middle = len(ordered) // 2
    cut = min(steps, key=lambda step: (abs(step - middle), step)) if len(steps) else len(ordered)
    return naive_cells(ordered[:cut], depth - 1) + naive_cells(ordered[cut:], depth - 1)


@pytest.mark.parametrize("kind", ["normal", "zeros", "discrete", "constant"])
def test_cells_equal_a_slow_reference_and_separate_no_equal_values(kind: str) -> None:
    column = np.random.default_rng(0).normal(size=301)
    if kind == "zeros":
        column = np.maximum(column - 0.8, 0)
    if kind == "discrete":
        column = np.round(column)
    if kind == "constant":
        column = np.ones(301)
    cells = quantile_cells(column[:, None], depth=4)
    assert cells.sizes[0, 16:].tolist() == [len(cell) for cell in naive_cells(column, 4)]
    assert (np.diff(cells.cells[0][np.argsort(column)].astype(int)) >= 0).all()
    assert all(len(np.unique(cells.cells[0][column == value])) == 1 for value in np.unique(column))
    assert np.bincount(cells.cells[0], minlength=16).tolist() == cells.sizes[0, 16:].tolist()


def naive_cut(
    x: QuantileCells, y: QuantileCells, inside: np.ndarray, parts: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Information, its squares, degrees of freedom and net gain of a bin: part i of x and part j of y."""
    n, cells = inside.sum(), 1 << x.depth
    if n < FEWEST or max(parts) >= cells:
        return 0.0, 0.0, 0.0, 0.0
    children = [
        [side.sizes[0, k] for k in (2 * part, 2 * part + 1)] for side, part in zip((x, y), parts, strict=True)
    ]
    ways = [2 if min(sizes) > 0 else 1 for sizes in children]
    if ways == [1, 1]:
        return 0.0, 0.0, 0.0, 0.0
    freedom = ways[0] * ways[1] - 1.0
    freedom -= sum(n / sum(sizes) for sizes, way in zip(children, ways, strict=True) if way == 2)
    gain, square, net = 0.0, 0.0, -PRICE - PENALTY * freedom
    for p in (0, 1):
        for q in (0, 1):
            i, j = 2 * parts[0] + p, 2 * parts[1] + q
            depth = int(math.log2(i))
            here = inside & (x.cells[0] >> (x.depth - depth) == i - (1 << depth))
            here &= y.cells[0] >> (x.depth - depth) == j - (1 << depth)
            if here.any():
                expected = n * children[0][p] / sum(children[0]) * children[1][q] / sum(children[1])
                ratio = math.log(here.sum() / expected)
                own = here.sum() * ratio
                below = naive_cut(x, y, here, (i, j))
                gain, freedom, net = gain + own + below[0], freedom + below[2], net + own + below[3]
                square += own * ratio + 2 * ratio * below[0] + below[1]
    fraction = min(max((net + ROUNDED) / (2 * ROUNDED), 0.0), 1.0)
    rounded = net if net > ROUNDED else ROUNDED * fraction**2
    return fraction * gain, fraction * square, fraction * freedom, rounded


@pytest.mark.parametrize("truth", [correlated_normal(0.8), relu_pair(0.9, 0.7), INDEPENDENT[2]])
def test_the_best_partition_equals_a_slow_reference(truth: Truth) -> None:
    x, y = (quantile_cells(side[:, None], depth=5) for side in truth.sample(400, seed=0))
    partition = partitions(Side.of(x), Side.of(y), ONE, ONE, LOGS)
    gain, square, freedom, _ = naive_cut(x, y, np.ones(400, dtype=bool), (1, 1))
    assert partition.nats[0] == pytest.approx((gain - freedom / 2) / 400, abs=1e-12)
    assert partition.variance[0] == pytest.approx(square / 400 - (gain / 400) ** 2, abs=1e-12)
    assert partition.freedom[0] == pytest.approx(freedom, abs=1e-9)
    assert partition.coarse.sum() == 400


@pytest.mark.parametrize("samples", [2, 400, 70_000])
def test_joined_cells_are_those_of_one_split_less(samples: int) -> None:
    sample = relu_pair(0.5, 0.9).sample(samples, seed=0)
    fine, wide = ([quantile_cells(side[:, None], depth) for side in sample] for depth in (6, 5))
    nats = information(*map(Side.of, wide), ONE, ONE, LOGS)
    assert nats == partitions(*map(Side.of, wide), ONE, ONE, LOGS).nats
    assert nats == information(*map(Side.of, fine), ONE, ONE, LOGS, joined=1)


@pytest.mark.parametrize(
    ("samples", "times"), [(5_000, [1, 0]), (200, [0, 0])]
)  # those of 200 are wide anyway
def test_quarters_of_pairs_with_few_nats_have_wide_cells(samples: int, times: list[int]) -> None:
    x, noise = np.random.default_rng(0).normal(size=(2, 2, samples, 1))
    y = x + noise * [[[1.2]], [[0.1]]]  # .3 and 2.3 nats
    left, right = (Binned().prepared(side[:, :, 0].T) for side in (x, y))
    quarters = list(zip(left.quarters, right.quarters, strict=True))
    values = [
        np.mean([information(*sides, pair, pair, LOGS, joined=joined) for sides in quarters])
        for pair, joined in zip(np.arange(2)[:, None], times, strict=True)
    ]
    whole = partitions(left.whole, right.whole, np.arange(2), np.arange(2), LOGS).nats
    np.testing.assert_allclose(Binned().estimate(x, y).nats, 2 * whole - values, rtol=1e-12)


def test_bins_of_discrete_sides_are_the_values() -> None:
    x, y = discrete(np.array([[0.3, 0.05, 0.0], [0.05, 0.2, 0.1], [0.0, 0.1, 0.2]])).sample(2_000, seed=0)
    sides = (Side.of(quantile_cells(side[:, None], depth=7)) for side in (x, y))
    partition = partitions(*sides, ONE, ONE, LOGS)
    joint = np.histogram2d(x, y, bins=3)[0] / 2_000
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    plug_in = np.where(joint > 0, joint * np.log(np.maximum(joint, 1e-300) / product), 0).sum()
    assert partition.nats[0] + partition.freedom[0] / 4_000 == pytest.approx(plug_in, abs=1e-12)
    assert partition.freedom[0] == pytest.approx(4, abs=0.5)  # (3 - 1)(3 - 1)


def test_bins_with_many_samples() -> None:
    coins = discrete(np.array([[0.4, 0.1], [0.1, 0.4]]))
    x, y = (quantile_cells(side[:, None], depth=8) for side in coins.sample(200_000, seed=0))
    partition = partitions(Side.of(x), Side.of(y), ONE, ONE, LOGS)
    assert partition.coarse.max() > 2**16
    assert partition.nats[0] == pytest.approx(coins.nats, abs=0.005)


def test_two_by_two_tables_equal_scipy() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.integers(0, 2, size=(2, 500, 40)).astype(float)
    sides = quantile_cells(x, depth_for(500)), quantile_cells(y, depth_for(500))
    pair = np.arange(40)
    coarse = partitions(*map(Side.of, sides), pair, pair, LOGS).coarse
    p_values = independence(*(Margins.of(side) for side in sides), pair, pair, coarse)
    known = [
        chi2_contingency(np.histogram2d(*pair, bins=2)[0], correction=False)
        for pair in zip(x.T, y.T, strict=True)
    ]
    assert np.allclose(p_values, np.minimum([test.pvalue for test in known], 0.99), atol=0.003)
