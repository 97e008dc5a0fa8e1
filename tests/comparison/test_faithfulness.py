"""Deletion and insertion against hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nif.comparison.faithfulness import faithfulness, ranking
from nif.comparison.problem import comparison_problem
from support.comparison_cases import flow_of, linear, problem


def test_deletion_area_is_that_counted_by_hand() -> None:
    """Class = sign of x0 for x0 = ±1. Without x0 every row is class 0, right for half of the rows."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, *rng.normal(size=(2, 600))], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    first = faithfulness(hand, np.array([1.0, 0.5, 0.1]), repeats=200).deletion
    last = faithfulness(hand, np.array([0.1, 0.5, 1.0]), repeats=200).deletion
    assert first.mean == pytest.approx((0.75 + 0.5 + 0.5) / 3, abs=0.005)
    assert last.mean == pytest.approx((1 + 1 + 0.75) / 3, abs=0.005)


def test_deletion_spread_is_that_of_a_share_of_rows() -> None:
    """Without x0 every row is class 0: its rows stay right, those of class 1 are wrong from then on."""
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, np.zeros(600), np.zeros(600)], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    by_row = np.where(
        y == 0, 1.0, 1 / 6
    )  # class 0 stays right; class 1 is right before the first deletion only
    spread = faithfulness(hand, np.array([1.0, 0.5, 0.1]), repeats=2000).deletion.spread
    assert spread == pytest.approx(by_row.std() / math.sqrt(600), rel=0.1)


def test_ties_are_broken_at_random() -> None:
    rng = np.random.default_rng(0)
    first = [ranking(np.array([1.0, 1.0, 5.0]), rng)[:2].tolist() for _ in range(200)]
    assert {order[0] for order in first} == {2}
    assert 60 < sum(order[1] == 0 for order in first) < 140


def test_many_features_are_deleted_in_64_groups() -> None:
    x = np.random.default_rng(0).normal(size=(100, 200))
    y = (x[:, 0] > 0).astype(np.int64)
    weights = torch.zeros(2, 200)
    weights[1, 0] = 1.0
    calls = []
    model = linear(weights)
    model.register_forward_hook(lambda *_: calls.append(1))
    many = problem(x, y, model)
    calls.clear()
    faithfulness(many, np.linspace(1, 0, 200), repeats=3)
    assert len(calls) == 2 * 65  # and once for an order, not for a repeat


def test_insertion_area_is_that_counted_by_hand() -> None:
    """Class = sign of x0. All features at their means is class 0, right for half of the rows."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, *rng.normal(size=(2, 600))], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    first = faithfulness(hand, np.array([1.0, 0.5, 0.1]), repeats=200).insertion
    last = faithfulness(hand, np.array([0.1, 0.5, 1.0]), repeats=200).insertion
    assert first.mean == pytest.approx((0.75 + 1 + 1) / 3, abs=0.005)
    assert last.mean == pytest.approx((0.5 + 0.5 + 0.75) / 3, abs=0.005)


def test_r_squared_of_values_is_that_of_the_kept_terms() -> None:
    """y = 2 x0 + x1 with normal features: without x0 R² is 1/5, without both it is 0."""
    x = np.random.default_rng(0).normal(size=(4000, 3))
    flow = flow_of([[1.0], [1.0], [1.0]])
    hand = comparison_problem(linear(torch.tensor([[2.0, 1.0, 0.0]])), flow, x, 2 * x[:, 0] + x[:, 1])
    faithful = faithfulness(hand, np.array([1.0, 0.5, 0.1]), repeats=20)
    assert faithful.deletion.mean == pytest.approx((0.6 + 0.1 + 0) / 3, abs=0.02)
    assert faithful.insertion.mean == pytest.approx((0.4 + 0.9 + 1) / 3, abs=0.02)


def test_another_row_takes_the_place_of_the_features() -> None:
    """Another row has the class of the row with probability one half, as many rows as it."""
    y = np.arange(2000) % 2
    x = np.stack([2.0 * y - 1, np.zeros(2000), np.zeros(2000)], axis=1)
    model = linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]))
    swapped = comparison_problem(model, flow_of(np.ones((3, 2))), x, y, replacement="row")
    assert sorted(swapped.replacement[:, 0]) == sorted(x[:, 0])
    assert not np.array_equal(swapped.replacement, x)
    area = faithfulness(swapped, np.array([1.0, 0.5, 0.1]), repeats=20).deletion.mean
    assert area == pytest.approx((0.75 + 0.5 + 0.5) / 3, abs=0.02)
