"""The deletion test against hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nif.comparison.faithfulness import deletion, ranking
from support.comparison_cases import linear, problem


def test_deletion_area_is_that_counted_by_hand() -> None:
    """Class = sign of x0 for x0 = ±1. Without x0 every row is class 0, right for half of the rows."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, *rng.normal(size=(2, 600))], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    first = deletion(hand, np.array([1.0, 0.5, 0.1]), repeats=200)
    last = deletion(hand, np.array([0.1, 0.5, 1.0]), repeats=200)
    assert first.area == pytest.approx((0.75 + 0.5 + 0.5) / 3, abs=0.005)
    assert last.area == pytest.approx((1 + 1 + 0.75) / 3, abs=0.005)


def test_deletion_spread_is_that_of_a_share_of_rows() -> None:
    """Without x0 every row is class 0: its rows stay right, those of class 1 are wrong from then on."""
    y = np.arange(600) % 2
    x = np.stack([2.0 * y - 1, np.zeros(600), np.zeros(600)], axis=1)
    hand = problem(x, y, linear(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])))
    by_row = np.where(
        y == 0, 1.0, 1 / 6
    )  # class 0 stays right; class 1 is right before the first deletion only
    spread = deletion(hand, np.array([1.0, 0.5, 0.1]), repeats=2000).spread
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
    deletion(many, np.linspace(1, 0, 200), repeats=3)
    assert len(calls) == 65  # and once for an order, not for a repeat
