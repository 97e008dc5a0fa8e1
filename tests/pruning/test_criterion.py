"""Scores: accuracy with labels, else the largest change of an output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nif.core.errors import InputError
from nif.network.decision import classes
from nif.network.forward import Forward
from nif.pruning.criterion import Outputs, Score, changes, outputs, score_on
from nif.pruning.size import size_of
from support.pruning_networks import chain, rows


def test_accuracy_counts_the_rows_that_are_right() -> None:
    x = torch.eye(4)
    score = score_on(Forward(nn.Identity()), (x,), np.array([0, 1, 2, 0]))
    assert score.before == 0.75
    moved = Outputs(np.eye(4)[[0, 1, 3, 3]])
    assert score.of(moved) == 0.5
    assert score.within(0.25, moved)
    assert not score.within(0.24, moved)


def test_without_labels_it_is_the_largest_change() -> None:
    model = chain(4, 6, 3)
    x, _ = rows(model, 4)
    score = score_on(Forward(model), (x,), None)
    moved = chain(4, 6, 3)
    with torch.no_grad():
        moved[2].bias[1] += 0.25
    found = score.outputs(Forward(moved))
    assert score.before == 0
    assert score.of(found) == pytest.approx(0.25, abs=1e-6)
    assert score.within(0.25, found)
    assert not score.within(0.24, found)


def test_each_output_is_rounded_by_its_own_size() -> None:
    large, small = np.full((2, 2), 1e6), np.ones(2)
    score = Score((torch.zeros(2, 1),), None, Outputs(large, (small,)))
    assert score.agree(Outputs(large + 5, (small,)), score.reference)
    assert not score.agree(Outputs(large, (small + 0.01,)), score.reference)


def test_a_number_that_is_none_before_and_after_has_not_changed() -> None:
    chosen, nothing = np.ones((2, 1)), np.array([np.nan, -np.inf])
    found = Outputs(chosen, (nothing,))
    assert changes(found, found) == [0, 0]
    assert changes(found, Outputs(chosen, (np.zeros(2),))) == [0, np.inf]


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [(3, [0.5, 1.0, 2.0]), (1, [25.0, 346.0, 90.0]), (3, [[0.5, 1.0], [2.0, 0.1], [0.3, 4.0]])],
    ids=["numbers", "whole numbers", "several numbers a row"],
)
def test_real_labels_are_no_classes(outputs: int, labels: list[Any]) -> None:
    score = score_on(Forward(nn.Identity()), (torch.eye(3)[:, :outputs],), np.array(labels))
    assert score.labels is None


@pytest.mark.parametrize("labels", [[-1.0, 1.0, 1.0], [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]])
def test_labels_that_seem_to_be_classes_are_not_taken_for_measured(labels: list[Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        score_on(Forward(nn.Identity()), (torch.eye(3)[:, :1],), np.array(labels))


def test_labels_may_be_the_values_of_the_classes() -> None:
    call, x, values = Forward(nn.Identity()), (torch.eye(3),), np.array([10, 20, 40])
    assert score_on(call, x, np.array([10, 20, 40]), class_values=values).before == 1.0
    with pytest.raises(InputError, match="no class of this model"):
        score_on(call, x, np.array([10, 20, 30]), class_values=values)


@pytest.mark.parametrize(
    ("values", "found"), [([0.2, 0.7], [0, 1]), ([-1.0, 0.7], [0, 1]), ([-3.0, 3.0], [0, 1])]
)
def test_one_output_tells_two_classes_apart(values: list[float], found: list[int]) -> None:
    assert classes(np.array(values)[:, None]).tolist() == found


def test_batches_give_what_one_pass_gives() -> None:
    model = chain(4, 6, 3)
    x, _ = rows(model, 4, count=2500)
    with torch.no_grad():
        assert np.allclose(outputs(Forward(model), (x,)).chosen, model(x), atol=1e-6)


def test_size_counts_parameters_and_operations() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    size = size_of(Forward(model), (torch.zeros(3, 1, 8, 8),))
    assert size.parameters == 4 * 9 + 4 + 2 * 144 + 2
    assert size.flops == 2 * (4 * 9 * 36 + 2 * 144)
    assert size.bytes > 4 * size.parameters
    assert size.milliseconds > 0
