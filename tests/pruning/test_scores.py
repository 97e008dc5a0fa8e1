"""Scores are those of scikit-learn, in the form in which labels come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    fbeta_score,
    log_loss,
    make_scorer,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
from nif.network.forward import Forward
from nif.pruning.criterion import Criterion, Outputs, criterion_for

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(90, 3)).astype(np.float32).astype(np.float64)  # as the network has them
INDEX = np.where(RNG.random(90) < 0.7, LOGITS.argmax(1), RNG.integers(0, 3, 90))
ANSWERS = (LOGITS + RNG.normal(size=LOGITS.shape) > 0).astype(int)
VALUES = LOGITS[:, :1] + 0.3 * RNG.normal(size=(90, 1))


def criterion(
    outputs: np.ndarray, labels: Any, scorer: Any = None, last: Any = None, model: Any = None
) -> Criterion:
    return criterion_for(Forward(last or nn.Identity()), (torch.from_numpy(outputs),), labels, model, scorer)


def test_the_accuracy_of_answers() -> None:
    for last in (None, nn.Sigmoid()):
        found = criterion(LOGITS, ANSWERS, last=last)
        assert found.name == "accuracy of answers"
        assert found.before == pytest.approx(np.mean((LOGITS > 0) == ANSWERS))
        moved = Outputs(np.full((90, 3), -1.0))
        assert found.value(moved) == pytest.approx(np.mean(ANSWERS == 0))


def test_rows_without_a_label_do_not_count() -> None:
    labels = np.where(np.arange(90) % 4 == 0, -100, INDEX)
    known = labels != -100
    expected = accuracy_score(INDEX[known], LOGITS[known].argmax(1))
    assert criterion(LOGITS, labels).before == pytest.approx(expected)
    assert criterion(LOGITS, labels, "accuracy").before == pytest.approx(expected)


def test_the_explained_variance_of_real_labels() -> None:
    found = criterion(LOGITS[:, :1], VALUES)
    assert found.name == "R²" and found.before == pytest.approx(r2_score(VALUES, LOGITS[:, :1]))
    # A tolerance does not depend on the units of the labels.
    moved = LOGITS[:, :1] + 0.2
    loss = found.before - r2_score(VALUES, moved)
    large = criterion(1000 * LOGITS[:, :1], 1000 * VALUES)
    for one, outputs in ((found, moved), (large, 1000 * moved)):
        assert one.is_met(1.01 * loss, Outputs(outputs)) and not one.is_met(0.99 * loss, Outputs(outputs))
    several = criterion(LOGITS, LOGITS + RNG.normal(size=LOGITS.shape))
    assert several.name == "R²" and 0 < several.before < 1


class Positions(nn.Module):
    def __init__(self, last: bool) -> None:
        super().__init__()
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1) if self.last else x


@pytest.mark.parametrize("last", [False, True], ids=["classes first", "classes last"])
def test_the_accuracy_of_positions(last: bool) -> None:
    maps = RNG.normal(size=(30, 3, 4, 5))
    labels = maps.argmax(1)
    labels[RNG.random(labels.shape) < 0.2] = 0
    labels[:, 0] = -100
    known = labels != -100
    found = criterion(maps, labels, last=Positions(last))
    assert found.name == "accuracy of positions"
    assert found.before == pytest.approx(np.mean(maps.argmax(1)[known] == labels[known]))


def test_positions_as_many_as_classes_are_asked_back() -> None:
    with pytest.raises(InputError, match="either of two axes may hold the classes"):
        criterion(RNG.normal(size=(30, 3, 3)), RNG.integers(0, 3, (30, 3)))


PROBABILITIES = torch.from_numpy(LOGITS).softmax(1).numpy()
BINARY = (INDEX > 0).astype(int)

SCORERS = {
    "accuracy": ("accuracy", LOGITS, INDEX, accuracy_score(INDEX, LOGITS.argmax(1))),
    "balanced": ("balanced_accuracy", LOGITS, INDEX, balanced_accuracy_score(INDEX, LOGITS.argmax(1))),
    "log loss": ("neg_log_loss", LOGITS, INDEX, -log_loss(INDEX, PROBABILITIES)),
    "several areas": ("roc_auc_ovr", LOGITS, INDEX, roc_auc_score(INDEX, PROBABILITIES, multi_class="ovr")),
    "area, two logits": (
        "roc_auc",
        LOGITS[:, :2],
        BINARY,
        roc_auc_score(BINARY, LOGITS[:, 1] - LOGITS[:, 0]),
    ),
    "area, one logit": ("roc_auc", LOGITS[:, :1], BINARY, roc_auc_score(BINARY, LOGITS[:, 0])),
    "answers": ("f1_micro", LOGITS, ANSWERS, f1_score(ANSWERS, LOGITS > 0, average="micro")),
    "areas of answers": ("roc_auc", LOGITS, ANSWERS, roc_auc_score(ANSWERS, LOGITS)),
    "precision": ("average_precision", LOGITS, ANSWERS, average_precision_score(ANSWERS, LOGITS)),
    "own": (
        make_scorer(fbeta_score, beta=2),
        LOGITS[:, :1],
        BINARY,
        fbeta_score(BINARY, LOGITS[:, 0] > 0, beta=2),
    ),
    "error": ("neg_mean_absolute_error", LOGITS[:, :1], VALUES, -mean_absolute_error(VALUES, LOGITS[:, :1])),
    "r2": ("r2", LOGITS[:, :1], VALUES[:, 0], r2_score(VALUES, LOGITS[:, :1])),
}


@pytest.mark.parametrize("kind", SCORERS)
def test_any_scorer(kind: str) -> None:
    scorer, outputs, labels, expected = SCORERS[kind]
    found = criterion(outputs, labels, scorer)
    assert found.before == pytest.approx(expected, rel=1e-9)
    assert found.name == ("fbeta_score" if kind == "own" else scorer)


def test_without_labels_a_scorer_compares_with_the_network_itself() -> None:
    assert criterion(LOGITS, None, "accuracy").before == 1.0
    assert criterion(LOGITS[:, :1], None, "r2").before == 1.0
    assert criterion(LOGITS, None, "accuracy").value(Outputs(-LOGITS)) == np.mean(
        LOGITS.argmax(1) == LOGITS.argmin(1)
    )


def test_the_values_of_the_classes() -> None:
    model = type("Fitted", (), {"classes_": np.array(["a", "b", "c"])})()
    labels = np.array(["a", "b", "c"])[INDEX]
    scorer = make_scorer(f1_score, labels=["b"], average="macro", pos_label=None)  # None for scikit-learn 1.5
    expected = f1_score(INDEX == 1, LOGITS.argmax(1) == 1)
    assert criterion(LOGITS, labels, scorer, model=model).before == pytest.approx(expected)


def test_what_is_no_scorer_or_does_not_fit_is_refused() -> None:
    for wrong in ("no_such", f1_score, 3):
        with pytest.raises(InputError, match="expected a scorer of scikit-learn"):
            criterion(LOGITS, INDEX, wrong)
    with pytest.raises(InputError, match="criterion='roc_auc' does not fit the outputs and labels"):
        _ = criterion(LOGITS, INDEX, "roc_auc").before


def test_labels_that_fit_if_counted_from_zero_are_asked_back() -> None:
    right = np.where(LOGITS.argmax(1) == 2, 0, LOGITS.argmax(1)) + 1  # 1 and 2 of 0 to 2: within the range
    with pytest.warns(UserWarning, match=r"labels begin at 1.*pass labels - 1"):
        criterion(LOGITS, right)


def test_a_tolerance_of_real_labels_does_not_depend_on_their_units() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 3)
    removed = []
    for unit in (1.0, 1000.0):
        model = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1))
        torch.manual_seed(1)
        for values in model.parameters():
            nn.init.normal_(values)
        with torch.no_grad():
            y = unit * model(x) * 1.01
            model[2].weight *= unit
            model[2].bias *= unit
        flow = nif.measure(model, x, nif.Binned(), progress=False)
        small = nif.prune(model, flow, (x, y[:, 0]), remove="most", tolerance=0.05, progress=False)
        assert small.score == "R²" and small.score_before - small.score_after <= 0.05
        removed.append(set(small.removed["unit"]))
    assert removed[0] == removed[1] and 0 < len(removed[0]) < 12


def test_pruned_by_a_scorer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1))
    x = torch.randn(300, 3)
    y = 1000 * model(x).detach() + 5000  # an affine scale of the outputs keeps their order
    flow = nif.measure(model, x, nif.Binned(), progress=False)
    ranks = make_scorer(lambda right, found: float(np.corrcoef(right.ravel(), found.ravel())[0, 1]))
    small = nif.prune(model, flow, (x, y), remove="most", tolerance=0.01, criterion=ranks, progress=False)
    assert small.score_before == pytest.approx(1) and 0.99 <= small.score_after < 1
    assert 0 < len(small.removed) < 12
    with torch.no_grad():
        again = np.corrcoef(y.ravel(), small.model(x).ravel())[0, 1]
    assert small.score_after == pytest.approx(again, abs=1e-6)
