"""Columns that are prepared once, for all of their pairs, with the bits of every other way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest

import nif
from nif.estimators.binned import estimator as module
from nif.estimators.binned.estimator import COLUMNS_AT_ONCE, COST_OF_PREPARING, PreparedColumns
from nif.estimators.estimate import Estimate, PreparingEstimator
from nif.estimators.pairs import RESULTS, Asked, PairwiseRunner, Resources, Tables

SAMPLES, WIDTH = 120, 2 * COLUMNS_AT_ONCE + 3
WANTED = np.random.default_rng(2).uniform(size=(WIDTH, 5)) < np.repeat([0.1, 0.9], [30, 5])[:, None]
ASKED = [Asked(0), Asked(0, 1), Asked(0, 1, WANTED), Asked(1), Asked(0, 1, WANTED & (np.arange(5) == 1))]
LITTLE = 40_000
"""Bytes in which the columns are not prepared at once."""


def tables() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(SAMPLES, WIDTH)).astype(np.float32)
    values[:, 3] = 1.0
    values[:, 5] = values[:, 5] > 0
    return values, np.maximum(values[:, :5] + generator.normal(size=(SAMPLES, 5)), 0).astype(np.float32)


def results(**limits: Any) -> list[Estimate]:
    return list(PairwiseRunner(nif.Binned(), 3, Resources(**limits)).each(tables(), ASKED))


@cache
def known_results() -> list[Estimate]:
    return results()


@cache
def results_in_little_memory() -> tuple[list[Estimate], int]:
    """And how many columns were prepared for them."""
    with counted() as columns_prepared:
        return results(memory=LITTLE), sum(columns_prepared)


@contextmanager
def counted() -> Iterator[list[int]]:
    """The columns of each preparation."""
    found, of = list[int](), PreparedColumns.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            PreparedColumns,
            "of",
            lambda columns, seed: (found.append(columns.shape[1]), of(columns, seed))[1],
        )
        yield found


@pytest.fixture
def columns_prepared() -> Iterator[list[int]]:
    with counted() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"memory": 10**6}, {}, {"n_jobs": 1}, {"n_jobs": 2}], ids=str)
def test_it_changes_no_bit(limits: dict[str, Any], columns_prepared: list[int]) -> None:
    found = results(**limits)
    assert sum(columns_prepared) == WIDTH + 5
    little, prepared = results_in_little_memory()
    for one, known in zip(found, little, strict=True):
        for name in RESULTS:
            assert getattr(one, name).tobytes() == getattr(known, name).tobytes()
    assert prepared > 2 * (WIDTH + 5)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [None, 2])
def test_blocks_of_columns_change_no_bit(jobs: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the diagonal a block has each pair once, and beside it all pairs of its own."""
    known = known_results()
    monkeypatch.setattr("nif.estimators.pairs.PREPARED_AT_ONCE", 8)
    for one, whole in zip(results(n_jobs=jobs), known, strict=True):
        for name in RESULTS:
            assert getattr(one, name).tobytes() == getattr(whole, name).tobytes()


def test_with_many_samples_an_interrupt_waits_for_few_pairs_with_the_same_bits(
    columns_prepared: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, pairs, estimate = known_results(), list[int](), module._estimate_block
    columns_prepared.clear()
    monkeypatch.setattr(module, "SAMPLES_AT_ONCE", 3 * COST_OF_PREPARING * SAMPLES)
    monkeypatch.setattr(
        module, "_estimate_block", lambda *given: (pairs.append(len(given[2])), estimate(*given))[1]
    )
    for one, whole in zip(results(), known, strict=True):
        for name in RESULTS:
            assert getattr(one, name).tobytes() == getattr(whole, name).tobytes()
    assert max(pairs) == 3 * COST_OF_PREPARING
    assert max(columns_prepared) == 3


def test_a_pair_alone_has_the_same_bits() -> None:
    x, y = tables()
    whole = known_results()[1]
    for a, b in ((0, 0), (20, 4), (3, 2), (34, 1)):
        alone = nif.Binned().estimate(x[:, a][None, :, None], y[:, b][None, :, None], seed=3)
        assert alone.nats[0] == whole.nats[a, b]
        assert alone.stderr[0] == whole.stderr[a, b]


def test_the_memory_that_it_takes_is_what_is_said() -> None:
    for samples in (50, 250, 1_000):
        columns = np.random.default_rng(0).normal(size=(samples, 4))
        ready = nif.Binned().prepared(columns)
        taken = ready.whole.cells.nbytes + sum(quarter.cells.nbytes for quarter in ready.quarters)
        assert 0.9 * taken <= 4 * nif.Binned().bytes_prepared(samples) <= 1.1 * taken


def test_what_workers_are_sent_is_less_than_the_data() -> None:
    x = np.random.default_rng(0).normal(size=(50_000, 8)).astype(np.float32)
    given = Tables(nif.Binned(), 0, (x,))
    assert given.can_prepare(2**30)
    assert not given.can_prepare(2 * 50_000 * 8)
    sent = given.prepared()
    assert sent.columns == ()
    assert sent.ready is not None
    cells = (sent.ready[0].whole, *sent.ready[0].quarters)
    assert sum(part.nbytes for side in cells for part in side) < 0.7 * x.nbytes


def test_an_estimator_that_does_not_prepare_is_asked_as_before() -> None:
    assert isinstance(nif.Binned(), PreparingEstimator)
    assert not isinstance(nif.GaussianCopula(), PreparingEstimator)
    assert not Tables(nif.GaussianCopula(), 0, tables()).can_prepare(2**30)
