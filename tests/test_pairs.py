"""All pairs of columns, block by block, equal one pair after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from nif.contracts import Advance, Estimate, InputError, Outcome, ignore
from nif.estimators import pairs as pairs_module
from nif.estimators.pairs import AllColumns, checked_jobs, entropy


@dataclass(frozen=True)
class Covariance:
    """Not information, but a number that any pair of columns has, and that is not symmetric."""

    def estimate(self, x: np.ndarray, y: np.ndarray, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        advance(len(x))
        value = (x[..., 0] * y[..., 0]).mean(axis=1)
        return Estimate.of(value, stderr=x[:, 0, 0], p_value=0.5, samples=x.shape[1], estimator=repr(self))


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5))


def test_between_puts_every_pair_in_its_place(table: np.ndarray) -> None:
    x, y = table[:, :3], table[:, 3:]
    found = AllColumns(Covariance()).between(x, y)
    np.testing.assert_allclose(found.nats, x.T @ y / 60)
    np.testing.assert_allclose(found.stderr, np.repeat(x[0][:, None], 2, axis=1))


def test_within_is_symmetric_with_the_entropy_on_the_diagonal(table: np.ndarray) -> None:
    table[:, 4] = 3.0
    found = AllColumns(Covariance()).within(table)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(found.nats[off], (table.T @ table / 60)[off])
    np.testing.assert_allclose(np.diag(found.nats), [np.log(60)] * 4 + [0.0])
    assert np.diag(found.p_value).tolist() == [0, 0, 0, 0, 1]
    assert found.outcome[4, 4] == Outcome.DEGENERATE


def test_blocks_and_jobs_change_nothing(table: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = AllColumns(Covariance()).within(table)
    monkeypatch.setattr(pairs_module, "PAIRS_AT_ONCE", 3)
    np.testing.assert_array_equal(AllColumns(Covariance()).within(table).nats, whole.nats)
    np.testing.assert_array_equal(AllColumns(Covariance(), n_jobs=1).within(table).nats, whole.nats)


def test_progress_adds_up_to_the_number_of_pairs(table: np.ndarray) -> None:
    done: list[float] = []
    AllColumns(Covariance(), advance=done.append).within(table)
    AllColumns(Covariance(), n_jobs=1, advance=done.append).between(table, table)
    assert sum(done) == 10 + 25


def test_one_column_has_only_its_diagonal() -> None:
    found = AllColumns(Covariance()).within(np.arange(60.0)[:, None])
    assert found.nats.shape == (1, 1)


def test_entropy_of_a_coin() -> None:
    value, stderr = entropy(np.array([0.0, 1.0, 1.0, 1.0] * 25))
    p = np.array([0.25, 0.75])
    assert value == pytest.approx(-(p * np.log(p)).sum())
    assert stderr == pytest.approx(np.sqrt(p @ np.log(p) ** 2 - value**2) / 10)


def test_a_number_of_jobs_that_means_nothing() -> None:
    with pytest.raises(InputError, match="n_jobs is 0; expected None, a number of processes"):
        checked_jobs(0)
