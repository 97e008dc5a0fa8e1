"""Information given a third side, where it is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import nif
from nif.core.errors import InputError
from nif.estimators import conditional
from nif.estimators.conditional import _choose, local_order
from nif.estimators.estimate import Estimate, Outcome

ALL = {"ksg": nif.Ksg(permutations=50), "gaussian_copula": nif.GaussianCopula(), "mine": nif.Mine(steps=200)}
QUICK = {
    **ALL,
    "ksg": nif.Ksg(permutations=20),
    "mine": nif.Mine(hidden=8, steps=30, batch=128, folds=2),
}
"""Enough where all is normal: critics begin at the Gaussian copula."""
LONGER = {**QUICK, "mine": nif.Mine(hidden=8, steps=60, batch=128)}
"""Where the error has to be small as well."""
SHORT = {"ksg": nif.Ksg(permutations=10), "mine": nif.Mine(hidden=8, steps=20, batch=64)}
"""Where one side determines the other, nothing is left to train."""


def normal(samples: int, partial: float, seed: int, columns: int = 1) -> tuple[np.ndarray, ...]:
    """x and y with this correlation given z, both with a correlation of .8 to the mean of z."""
    generator = np.random.default_rng(seed)
    z, (e, f) = generator.normal(size=(samples, columns)), generator.normal(size=(2, samples))
    common = 0.8 * z.sum(axis=1) / math.sqrt(columns)
    return common + 0.6 * e, common + 0.6 * (partial * e + math.sqrt(1 - partial**2) * f), z


@pytest.fixture
def few_shuffles_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 shuffles for the p-value of critics too, which is that of neighbours with 200."""
    of = conditional._with_null
    monkeypatch.setattr(conditional, "_with_null", lambda _, *given: of(nif.Ksg(permutations=20), *given))


def coins(samples: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.random.default_rng(0).integers(0, 2, size=(2, samples))
    return first, second


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles_given")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("columns", [1, 2])
def test_normal_sides(name: str, columns: int) -> None:
    truth = -0.5 * math.log1p(-(0.6**2))
    x, y, z = normal(500 if name == "mine" else 800, 0.6, 0, columns)
    found = nif.estimate(x, y, QUICK[name], given=z)
    assert found.nats == pytest.approx(
        truth, abs=0.1 if name == "mine" else 0.05
    )  # of deviations .04 and .03
    assert abs(found.nats - truth) < 3 * found.stderr
    assert found.p_value < 1e-6
    assert found.estimator.endswith(f", given {columns} column{'s' if columns > 1 else ''}")


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles_given")
@pytest.mark.parametrize("name", ALL)
def test_what_z_explains_is_not_counted(name: str) -> None:
    """I(X; Y) is .26 nats, all of it by z."""
    x, y, z = normal(500, 0.0, 1)
    found = nif.estimate(x, y, LONGER[name], given=z)
    assert nif.estimate(x, y, "binned").nats > 0.2
    assert abs(found.nats) < 3 * found.stderr < 0.12
    assert found.p_value > 0.01


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles", "few_shuffles_given")
def test_the_other_half_of_an_exclusive_or() -> None:
    """By enumeration of its four cases: 0 nats alone, ln 2 given the other input."""
    first, second = coins(300)
    assert abs(nif.estimate(first, first ^ second, "binned").nats) < 0.02
    for estimator in SHORT.values():
        found = nif.estimate(first, first ^ second, estimator, given=second)
        assert found.nats == pytest.approx(math.log(2), abs=0.01)
        assert found.p_value < 1e-9


def test_nothing_is_left_where_z_determines_a_side() -> None:
    first, second = coins(200)
    both = np.column_stack([first, second])
    for estimator in ALL.values():
        for x, z in ((first, first), (first ^ second, both), (np.ones(200), first)):
            for sides in ((x, second), (second, x)):
                found = nif.estimate(*sides, estimator, given=z)
                assert (found.nats, found.p_value, found.outcome) == (0, 1, Outcome.DEGENERATE)


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles_given")
@pytest.mark.parametrize("name", ["ksg", "mine"])
def test_z_may_be_a_function_of_a_side(name: str) -> None:
    """A sign, given which half of the information of its normal numbers is left: by the chain rule."""
    x, noise = np.random.default_rng(0).normal(size=(2, 500))
    found = nif.estimate(x, 0.8 * x + 0.6 * noise, QUICK[name], given=x > 0)
    alone = nif.estimate(0.8 * x + 0.6 * noise, x > 0, "binned")
    expected = -0.5 * math.log(0.36) - alone.nats
    assert found.nats == pytest.approx(expected, abs=3 * math.hypot(found.stderr, alone.stderr))
    assert found.outcome != Outcome.DETERMINED


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles", "few_shuffles_given")
def test_a_side_that_the_others_determine_is_said() -> None:
    """x = y - z: infinite, and not 1.5 nats."""
    y, z = np.random.default_rng(0).normal(size=(2, 300))
    for estimator in SHORT.values():
        found = nif.estimate(y - z, y, estimator, given=z)
        assert found.outcome == Outcome.DETERMINED
        assert found.nats > 4.5


@pytest.mark.slow
@pytest.mark.usefixtures("few_shuffles_given")
def test_columns_that_z_determines_are_left_out() -> None:
    """Of x = (z, w) only w is left; in (w + z, w - z) `Ksg` still finds it, and a difference cannot."""
    w, y, z = normal(300, 0.6, 0)
    truth = nif.estimate(w, y, "gaussian_copula", given=z)
    for name in ("gaussian_copula", "ksg"):
        beside = nif.estimate(np.column_stack([z[:, 0], w]), y, name, given=z)
        assert beside.nats == nif.estimate(w, y, name, given=z).nats
    mixed = np.column_stack([w + z[:, 0], w - z[:, 0]])
    assert nif.estimate(mixed, y, "ksg", given=z).nats == pytest.approx(truth.nats, abs=0.1)
    with pytest.raises(InputError, match="x and given have a direction in common"):
        nif.estimate(mixed, y, SHORT["mine"], given=z)


def test_a_constant_z_changes_nothing() -> None:
    x, y, _ = normal(100, 0.6, 0)
    for z in (np.ones(100), np.ones((100, 2))):
        assert nif.estimate(x, y, "binned", given=z).nats == nif.estimate(x, y, "binned").nats


@pytest.mark.slow
def test_independent_sides_given_z_are_rejected_as_often_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "_jackknife", lambda *_: 0.0)  # errors are not looked at here
    monkeypatch.setattr(conditional, "_bias_of_neighbours", lambda *_: (0.0, 0.0))
    found = [normal(120, 0.0, seed) for seed in range(100)]
    for estimator, most in ((nif.Ksg(permutations=30), 12), (nif.GaussianCopula(), 11)):
        p_values = [nif.estimate(x, y, estimator, given=z).p_value for x, y, z in found]
        assert 1 <= sum(p < 0.05 for p in p_values) <= most


@pytest.mark.slow
def test_the_standard_error_is_not_below_the_deviation_over_samples() -> None:
    """Terms of single rows give .034, where the deviation is .044 to .059; the jackknife is above."""
    found = []
    for seed in range(60):
        x, y, z = normal(200, 0.6, seed)
        found.append(nif.estimate(x, y, nif.Ksg(permutations=2), given=z))
    deviation = np.std([one.nats for one in found])
    assert deviation < np.mean([one.stderr for one in found]) < 1.4 * deviation


def test_runs_that_agree_by_chance_leave_an_error_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 samples of 1,000 rows two runs left errors of .0011 to .1037, and a quarter were not covered."""
    same = {"stderr": np.array([0.03]), "p_value": np.ones(1), "samples": 300, "estimator": "Mine()"}
    monkeypatch.setattr(nif.Mine, "estimate", lambda *_, **__: Estimate.of(np.array([0.2]), **same))
    x, y, z = normal(300, 0.0, 0)
    found = nif.estimate(x, y, nif.Mine(), given=z)
    assert found.nats == 0
    assert 0.005 < found.stderr < 0.015  # over samples .0055


@pytest.mark.slow
def test_several_columns_given_take_nothing_from_few_rows() -> None:
    """Neighbours alone are .06 of .22 nats too low, and cover the truth half of the time."""
    truth = -0.5 * math.log1p(-(0.6**2))
    samples = [normal(300, 0.6, seed, columns=3) for seed in range(30)]
    found = [nif.estimate(x, y, SHORT["ksg"], given=z) for x, y, z in samples]
    assert np.mean([one.nats for one in found]) == pytest.approx(truth, abs=0.02)
    ends = np.array([one.interval() for one in found])
    assert ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() > 0.8


@pytest.mark.slow
def test_a_product_is_not_seen_in_wide_neighbourhoods_which_the_error_counts() -> None:
    """y is x z with noise of .5: neighbours find three quarters of the information, a copula none."""
    truth = float(np.log1p(4 * np.random.default_rng(0).standard_normal(10**6) ** 2).mean()) / 2
    covered = 0
    for seed in range(20):
        x, z, noise = np.random.default_rng(seed).normal(size=(3, 300))
        low, high = nif.estimate(x, x * z + 0.5 * noise, SHORT["ksg"], given=z).interval()
        covered += bool(low <= truth <= high)
    assert covered >= 15


@pytest.mark.slow
def test_neighbours_of_few_values_are_equal_rows() -> None:
    """A tenth of the parities is wrong: 7 rows of a cell, of which neighbours reach into the next."""
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    nats = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        first, second = generator.integers(0, 2, size=(2, 300))
        wrong = generator.random(300) < 0.1
        nats.append(nif.estimate(first, first ^ second ^ wrong, SHORT["ksg"], given=second).nats)
    assert np.mean(nats) == pytest.approx(truth, abs=0.015)
    assert np.std(nats) < 0.05


def test_rows_are_shuffled_near_their_own_z() -> None:
    z = np.random.default_rng(0).normal(size=(400, 1))
    order = local_order(z, np.random.default_rng(1))
    assert len(np.unique(order)) > 0.9 * 400
    rank = np.argsort(np.argsort(z[:, 0]))
    assert abs(rank[order] - rank).max() <= 8  # among the five nearest of either side
    assert (order != np.arange(400)).mean() > 0.6


def test_a_row_is_used_twice_only_if_all_near_ones_are_used() -> None:
    near, found = np.array([[0, 1], [0, 1], [0, 1]]), np.empty(3, dtype=np.int64)
    _choose(near, np.array([2, 0, 1]), found)
    assert found.tolist() == [1, 1, 0]


def test_refusals() -> None:
    x, y, z = normal(100, 0.0, 0)
    with pytest.raises(InputError, match=r"Binned\(\) is for pairs of numbers"):
        nif.estimate(x, y, "binned", given=z)
    with pytest.raises(InputError, match="given and blocks are both passed"):
        nif.estimate(x, y, "ksg", given=z, blocks=10)
    with pytest.raises(InputError, match="x has 100 samples and given has 99"):
        nif.estimate(x, y, "ksg", given=z[1:])


class Unsteady(nif.Mine):
    """Critics that another seed trains to .2 nats more, where y is beside z, and not to the end."""

    def estimate(self, x: Any, y: Any, seed: int = 0, advance: Any = None) -> Estimate:
        nats = 0.5 + 0.2 * seed * (y.shape[-1] - 1)
        options: dict[str, Any] = {
            "stderr": 0.0,
            "p_value": 0.5,
            "samples": x.shape[1],
            "estimator": "unsteady",
        }
        return Estimate.of([nats], **options, outcome=Outcome.NOT_CONVERGED if seed else Outcome.CONVERGED)


def test_what_training_adds_is_part_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences of 0 and .2 nats: their mean, and the standard error of a mean of two."""
    monkeypatch.setattr(conditional, "_as_wide", lambda y, z, seed: z)
    found = nif.estimate(*normal(100, 0.6, 0)[:2], Unsteady(), given=normal(100, 0.6, 0)[2])
    assert found.nats == pytest.approx(0.1)
    assert found.stderr == pytest.approx(0.1)
    assert found.outcome == Outcome.NOT_CONVERGED
