"""The criterion: accuracy with labels, else the largest change of an output."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nif.core.errors import InputError
from nif.network.forward import Forward
from nif.pruning.criterion import Criterion, Outputs, changes, criterion_for, outputs
from nif.pruning.size import sizes_of
from support.networks import chain
from support.pruning_cases import rows


def test_accuracy_counts_the_rows_that_are_right() -> None:
    x = torch.eye(4)
    criterion = criterion_for(Forward(nn.Identity()), (x,), np.array([0, 1, 2, 0]))
    assert criterion.before == 0.75
    moved = Outputs(np.eye(4)[[0, 1, 3, 3]])
    assert criterion.value(moved) == 0.5
    assert criterion.is_met(0.25, moved)
    assert not criterion.is_met(0.24, moved)


def test_without_labels_it_is_the_largest_change() -> None:
    model = chain(4, 6, 3)
    x, _ = rows(model, 4)
    criterion = criterion_for(Forward(model), (x,), None)
    moved = chain(4, 6, 3)
    with torch.no_grad():
        moved[2].bias[1] += 0.25
    found = outputs(Forward(moved), (x,))
    assert criterion.before == 0
    assert criterion.value(found) == pytest.approx(0.25, abs=1e-6)
    assert criterion.is_met(0.25, found)
    assert not criterion.is_met(0.24, found)


def test_each_output_is_rounded_by_its_own_size() -> None:
    large, small = np.full((2, 2), 1e6), np.ones(2)
    criterion = Criterion(None, Outputs(large, (small,)))
    assert criterion.equal_outputs(Outputs(large + 5, (small,)), criterion.reference)
    assert not criterion.equal_outputs(Outputs(large, (small + 0.01,)), criterion.reference)


def test_a_number_that_is_none_before_and_after_has_not_changed() -> None:
    chosen, nothing = np.ones((2, 1)), np.array([np.nan, -np.inf])
    found = Outputs(chosen, (nothing,))
    assert changes(found, found) == [0, 0]
    assert changes(found, Outputs(chosen, (np.zeros(2),))) == [0, np.inf]


@pytest.mark.parametrize(
    ("outputs", "labels", "reason"),
    [
        (3, [0.5, 1.0, 2.0], "have shape"),
        (1, [25.0, 346.0, 90.0], "explain nothing"),
        (3, [[0.5, 1.0], [2.0, 0.1], [0.3, 4.0]], "have shape"),
    ],
    ids=["numbers", "whole numbers", "several numbers a row"],
)
def test_real_labels_that_do_not_fit_are_not_used_and_it_is_said(
    outputs: int, labels: list[Any], reason: str
) -> None:
    with pytest.warns(UserWarning, match=f"{reason}.*criterion is the largest change of an output"):
        found = criterion_for(Forward(nn.Identity()), (torch.eye(3)[:, :outputs],), np.array(labels))
    assert found.score is None


def test_labels_may_be_the_values_of_the_classes() -> None:
    call, x, model = Forward(nn.Identity()), (torch.eye(3),), SimpleNamespace(classes_=np.array([10, 20, 40]))
    assert criterion_for(call, x, np.array([10, 20, 40]), model).before == 1.0
    with pytest.raises(InputError, match="label 30 is no class of this model"):
        criterion_for(call, x, np.array([10, 20, 30]), model)


FORMS = {
    "logit": lambda z: z,
    "module": nn.Sigmoid(),
    "function": torch.sigmoid,
    "method": lambda z: z.sigmoid(),
    "log": nn.functional.logsigmoid,
    "half": lambda z: z.sigmoid().half(),
}


class Behind(nn.Module):
    """A function as a module without weights."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("x", [[-0.9, 0.2, 0.9], [0.2, 0.4, 0.9], [-3.0, 3.0, 5.0]], ids=str)
def test_the_accuracy_of_one_output_is_that_of_its_logit(form: str, x: list[float]) -> None:
    """Whatever the range of its values: logits between 0 and 1 all stand for class 1."""
    logits = torch.tensor(x)[:, None]
    criterion = criterion_for(Forward(Behind(FORMS[form])), (logits,), np.array([0, 1, 1]))
    assert criterion.before == np.mean((logits[:, 0] > 0).numpy() == [False, True, True])


def test_batches_give_what_one_pass_gives() -> None:
    model = chain(4, 6, 3)
    x, _ = rows(model, 4, count=2500)
    with torch.no_grad():
        assert np.allclose(outputs(Forward(model), (x,)).chosen, model(x), atol=1e-6)


def test_size_counts_parameters_and_operations() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    (size,) = sizes_of([Forward(model)], (torch.zeros(3, 1, 8, 8),))
    assert size.parameters == 4 * 9 + 4 + 2 * 144 + 2
    assert size.flops == 2 * (4 * 9 * 36 + 2 * 144)
    assert size.bytes > 4 * size.parameters
    assert size.milliseconds > 0
