"""Sides of which one determines the other, and values that are not possible."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import comb

import nif
from nif.estimators.determined import determines, limited, shared
from nif.estimators.estimate import Estimate, Estimator, Outcome

SAMPLES = 300
V = np.random.default_rng(0).normal(size=(SAMPLES, 3))
OTHER = np.random.default_rng(1).normal(size=(SAMPLES, 3))
RELU = np.maximum(V[:, 0], 0)
RARE = np.arange(SAMPLES) == 7
THREE = np.where(np.arange(SAMPLES) < 3, np.arange(SAMPLES) + 1, 0)
DIGITS = np.arange(SAMPLES) % 10

FUNCTIONS = {
    "itself": (V, V),
    "mixed columns": (V @ OTHER[:3], V),
    "columns mapped": (np.exp(V), V[:, ::-1]),
    "one column of three": (V, np.column_stack([V[:, 0], OTHER[:, 0]])),
    "single precision": (V.astype(np.float32), V.astype(np.float32).sum(axis=1)),
    "ReLU vectors": (np.maximum(V, 0), np.maximum(V, 0)),
    "ReLU unit": (RELU, -RELU),
    "a step": (V[:, 0], V[:, 0] > 1),
    "one positive": (RARE, RARE),
    "three positives": (THREE, THREE**2),
    "digits": (DIGITS, DIGITS**2 % 5),
    "parity": (np.column_stack([V[:, 0] > 0, V[:, 1] > 0]), (V[:, 0] > 0) ^ (V[:, 1] > 0)),
}
NOT = {
    "independent": (V, OTHER),
    "noise": (V[:, 0], V[:, 0] + 0.01 * OTHER[:, 0]),
    "the same zeros": (RELU, RELU * OTHER[:, 0]),
    "coins": (V[:, 0] > 0, OTHER[:, 0] > 0),
    "another positive": (RARE, np.roll(RARE, 1)),
    "one in the middle": (V[:, 0], V[:, 0] == np.sort(V[:, 0])[SAMPLES // 2]),
    "the largest": (V[:, 0], V[:, 0] == V[:, 0].max()),
    "a shared coin": (np.column_stack([RELU > 0, OTHER[:, 0]]), np.column_stack([RELU > 0, OTHER[:, 1]])),
}


def columns(*sides: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(side, dtype=float).reshape(SAMPLES, -1)[None] for side in sides]


def off(nats: float, stderr: float = 0.1) -> Estimate:
    return Estimate.of([nats], stderr=stderr, p_value=0.0, samples=SAMPLES, estimator="")


def entropy(side: np.ndarray) -> float:
    counts = np.unique(np.asarray(side).reshape(SAMPLES, -1), axis=0, return_counts=True)[1]
    return float(-(counts / SAMPLES * np.log(counts / SAMPLES)).sum())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("nats", [-425.0, 26.0])
def test_a_function_has_the_entropy_of_its_values(name: str, nats: float) -> None:
    for x, y in (FUNCTIONS[name], FUNCTIONS[name][::-1]):
        found = limited(off(nats), *columns(x, y))
        assert found.nats[0] == pytest.approx(min(entropy(x), entropy(y)), abs=1e-9)
        assert found.outcome[0] == Outcome.DETERMINED
        assert found.determined == 1


@pytest.mark.parametrize("name", NOT)
def test_what_is_no_function_is_estimated(name: str) -> None:
    x, y = NOT[name]
    found = limited(off(0.01), *columns(x, y))
    assert found.determined == 0
    assert found.nats[0] == pytest.approx(max(0.01, entropy(RELU > 0)) if name == "a shared coin" else 0.01)


def test_the_p_value_is_the_part_of_the_orders_of_rows() -> None:
    """Of three different positives, six orders in each choice of rows; either direction counts."""
    assert limited(off(0.0), *columns(RARE, RARE)).p_value[0] == pytest.approx(2 / SAMPLES)
    assert limited(off(0.0), *columns(THREE, THREE)).p_value[0] == pytest.approx(2 / 6 / comb(SAMPLES, 3))


def test_impossible_values_are_said_to_have_failed() -> None:
    x, y = columns(V[:, 0], V[:, 1] > 1)
    most = entropy(V[:, 1] > 1)
    assert limited(off(5.0), x, y).nats[0] == pytest.approx(most)
    for nats, stderr, expected in ((-0.4, 0.1, 0.4), (-37.8, 37.8, most)):
        failed = limited(off(nats, stderr), x, y)
        assert (failed.nats[0], failed.outcome[0]) == (0, Outcome.NOT_CONVERGED)
        assert failed.stderr[0] == pytest.approx(expected)
    kept = limited(off(-0.2, 0.1), x, y)
    assert (kept.nats[0], kept.stderr[0], kept.outcome[0]) == (-0.2, 0.1, Outcome.CONVERGED)


def test_few_rows_of_many_columns_determine_nothing() -> None:
    wide = np.random.default_rng(2).normal(size=(60, 40))
    assert shared(wide, wide[:, :30] ** 2) is None
    assert not determines(wide[:, :1], wide[:, 1:2])


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [nif.Mine(steps=20), nif.Ksg(permutations=10)], ids=repr)
def test_estimators_say_it(estimator: Estimator) -> None:
    vectors = nif.estimate(V, V, estimator)
    assert vectors.nats == pytest.approx(np.log(SAMPLES))
    assert "one side determines the other" in repr(vectors)
    assert "one side determines the other" in vectors._repr_html_()
    rare = nif.estimate(RARE, RARE, estimator)
    assert rare.nats == pytest.approx(entropy(RARE))
    assert rare.p_value == pytest.approx(2 / SAMPLES)
