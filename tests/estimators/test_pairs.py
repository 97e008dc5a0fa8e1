"""All pairs of columns, block by block, equal one pair after another."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nif.core import shared
from nif.core.errors import InputError
from nif.core.parallel import checked_jobs
from nif.estimators import ESTIMATORS
from nif.estimators.entropy import entropy_and_stderr
from nif.estimators.estimate import Outcome
from nif.estimators.pairs import (
    Asked,
    PairwiseRunner,
    Resources,
    bytes_of,
    columns_at_once,
    pairs_at_once,
)
from support.covariance import Covariance, CovarianceTable


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5))


def test_between_puts_every_pair_in_its_place(table: np.ndarray) -> None:
    x, y = table[:, :3], table[:, 3:]
    result = PairwiseRunner(Covariance()).between(x, y)
    np.testing.assert_allclose(result.nats, x.T @ y / 60)
    np.testing.assert_allclose(result.stderr, np.repeat(x[0][:, None], 2, axis=1))


@pytest.mark.parametrize("estimator", [Covariance(), CovarianceTable()], ids=["listed", "table"])
@pytest.mark.parametrize("fraction", [0.2, 0.9])
def test_unwanted_pairs_do_not_change_the_wanted_ones(
    table: np.ndarray, estimator: Covariance, fraction: float
) -> None:
    wanted = np.random.default_rng(1).uniform(size=(5, 5)) < fraction
    done: list[float] = []
    result = PairwiseRunner(estimator, advance=done.append).between(table, -table, wanted)
    whole = PairwiseRunner(estimator).between(table, -table)
    np.testing.assert_allclose(result.nats[wanted], whole.nats[wanted])
    assert sum(done) == 25
    if wanted.sum() <= 10 or not isinstance(estimator, CovarianceTable):
        assert not result.nats[~wanted].any() and (result.p_value[~wanted] == 1).all()


@pytest.mark.parametrize("name", ["binned", "gaussian_copula"])
def test_few_pairs_and_all_pairs_agree(name: str) -> None:
    generator = np.random.default_rng(0)
    x = np.maximum(generator.normal(size=(400, 6)), 0)
    y = x + generator.normal(size=x.shape)
    few = PairwiseRunner(ESTIMATORS[name](), seed=3).between(x, y, np.eye(6, dtype=bool))
    whole = PairwiseRunner(ESTIMATORS[name](), seed=3).between(x, y)
    for values in ("nats", "stderr", "p_value"):
        one, other = np.diag(getattr(few, values)), np.diag(getattr(whole, values))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_within_is_symmetric_with_the_entropy_on_the_diagonal(table: np.ndarray) -> None:
    table[:, 4] = 3.0
    result = PairwiseRunner(Covariance()).within(table)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(result.nats[off], (table.T @ table / 60)[off])
    np.testing.assert_allclose(np.diag(result.nats), [np.log(60)] * 4 + [0.0])
    assert np.diag(result.p_value).tolist() == [0, 0, 0, 0, 1]
    assert result.outcome[4, 4] == Outcome.DEGENERATE


TWO_COLUMNS = 3 * 60 * 128
"""Bytes for two columns, or three pairs, of 60 samples."""


@pytest.mark.parametrize("estimator", [Covariance(), CovarianceTable()], ids=["listed", "table"])
@pytest.mark.parametrize("limits", [Resources(TWO_COLUMNS), Resources(TWO_COLUMNS, n_jobs=1)], ids=repr)
def test_blocks_and_jobs_change_nothing(table: np.ndarray, estimator: Covariance, limits: Resources) -> None:
    whole, cut = PairwiseRunner(estimator), PairwiseRunner(estimator, limits=limits)
    np.testing.assert_allclose(cut.within(table).nats, whole.within(table).nats, rtol=1e-12)
    np.testing.assert_allclose(cut.between(table, -table).nats, whole.between(table, -table).nats, rtol=1e-12)
    np.testing.assert_array_equal(cut.between(table, table).stderr, whole.between(table, table).stderr)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "binned", "gaussian_copula", "ksg"])
def test_one_or_two_jobs_and_small_blocks_give_the_same_bits(name: str) -> None:
    x = np.maximum(np.random.default_rng(0).normal(size=(80, 4)), 0)  # with ties, as ReLU units have
    x[:, 3] = x[:, 0]
    estimator = ESTIMATORS[name]()
    one, two, small = (
        PairwiseRunner(estimator, limits=limits).within(x)
        for limits in (Resources(n_jobs=1), Resources(n_jobs=2), Resources(memory=3 * 80 * 128))
    )
    assert one.nats.tobytes() == two.nats.tobytes()
    assert one.p_value.tobytes() == two.p_value.tobytes()
    if name == "gaussian_copula":  # a matrix product in other blocks rounds differently
        np.testing.assert_allclose(one.nats, small.nats, rtol=1e-12)
    else:
        assert one.nats.tobytes() == small.nats.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Covariance(), CovarianceTable()], ids=["listed", "table"])
def test_several_tables_are_one_stream_of_work(
    table: np.ndarray, estimator: Covariance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, some = (table[:, :3], table[:, 3:], table**2), np.eye(3, 5, dtype=bool)
    asked = [Asked(0), Asked(0, 1), Asked(1), Asked(1, 2), Asked(2), Asked(0, 2, some)]
    pickled, parts_of = [], shared._parts_of
    monkeypatch.setattr(shared, "_parts_of", lambda value: (pickled.append(1), parts_of(value))[1])
    alone = PairwiseRunner(estimator)
    for limits in (Resources(TWO_COLUMNS), Resources(TWO_COLUMNS, n_jobs=2)):
        results = list(PairwiseRunner(estimator, limits=limits).each(tables, asked))
        assert len(results) == len(asked)
        for one, found in zip(asked, results, strict=True):
            x, y = tables[one.x], None if one.y is None else tables[one.y]
            known = alone.within(x) if y is None else alone.between(x, y, one.wanted)
            np.testing.assert_allclose(found.nats, known.nats, rtol=1e-12)
            np.testing.assert_array_equal(found.p_value, known.p_value)
    assert len(pickled) == 1


def test_blocks_follow_the_memory_allowed() -> None:
    assert bytes_of("1GB") == bytes_of(" 1024 MiB ") == bytes_of(2**30) == 2**30
    for samples in (100, 10_000, 1_000_000):
        few, many = (columns_at_once(memory, samples) for memory in (2**29, 2**31))
        assert 1 <= few <= many
        assert many == 512 or many > 2 * few
        assert pairs_at_once(2**31, samples) * samples * 128 <= 2**31


@pytest.mark.parametrize("memory", ["much", "-1GB", "", True, None])
def test_memory_must_be_a_size(memory: object) -> None:
    with pytest.raises(InputError, match="expected a number of bytes or a size such as '1GB'"):
        bytes_of(memory)


@pytest.mark.parametrize("estimator", [Covariance(), CovarianceTable()], ids=["listed", "table"])
def test_memory_too_small_for_one_block(table: np.ndarray, estimator: Covariance) -> None:
    with pytest.raises(InputError, match=r"too small for one pair of 60 samples, which takes 0\.0074 MB"):
        PairwiseRunner(estimator, limits=Resources(memory=5_000)).between(table, table)


FOREVER = """
import signal
import numpy as np
from nif.estimators.pairs import PairwiseRunner, Resources

class Sleeper:
    def estimate(self, x, y, *, seed, advance):
        import os, time
        os.write(1, f"{os.getpid()}\\n".encode())  # atomic: two workers write at once
        time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
table = np.ones((1000, 10))
PairwiseRunner(Sleeper(), limits=Resources(memory=1_000_000, n_jobs=2)).between(table, table)
"""


@pytest.mark.slow
def test_an_interrupt_leaves_no_process_behind() -> None:
    """The work runs in joblib's processes, which end after Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-c", FOREVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        workers = {int(program.stdout.readline()) for _ in range(2)}
        assert len(workers) == 2
        program.send_signal(signal.SIGINT)
        try:
            assert "KeyboardInterrupt" in program.communicate(timeout=50)[1]  # the work itself takes 60 s
        finally:
            program.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_progress_adds_up_to_the_number_of_pairs(table: np.ndarray) -> None:
    done: list[float] = []
    PairwiseRunner(Covariance(), advance=done.append).within(table)
    PairwiseRunner(Covariance(), limits=Resources(n_jobs=1), advance=done.append).between(table, table)
    assert sum(done) == 10 + 25


def test_one_column_has_only_its_diagonal() -> None:
    result = PairwiseRunner(Covariance()).within(np.arange(60.0)[:, None])
    assert result.nats.shape == (1, 1)


def test_entropy_of_a_coin() -> None:
    value, stderr = entropy_and_stderr(np.array([0.0, 1.0, 1.0, 1.0] * 25))
    p = np.array([0.25, 0.75])
    assert value == pytest.approx(-(p * np.log(p)).sum())
    assert stderr == pytest.approx(np.sqrt(p @ np.log(p) ** 2 - value**2) / 10)


def test_zero_jobs_are_refused() -> None:
    with pytest.raises(InputError, match="n_jobs is 0; expected None, a number of processes"):
        checked_jobs(0)
