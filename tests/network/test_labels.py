"""Labels in every form become the same classes, or are asked back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from nif.core.errors import InputError
from nif.network.decision import Decision, Scale
from nif.network.labels import class_indices, doubt_of, doubt_of_scale, labels_of, values_of_classes

THREE, TWO = Decision(Scale.LOGIT, 3, exclusive=True), Decision(Scale.LOGIT, 2, exclusive=True)
CHOICE = Decision(Scale.PROBABILITY, 3, exclusive=True)
ANSWERS = Decision(Scale.PROBABILITY, 3)
ONE, VALUE = Decision(Scale.PROBABILITY, 1), Decision(Scale.VALUE, 1)
INDEX = np.array([2, 0, 1, 2])
ONE_HOT = np.eye(3)[INDEX]

FORMS = {
    "index": (THREE, INDEX),
    "column": (THREE, INDEX[:, None]),
    "floats": (THREE, INDEX.astype(np.float32)),
    "tensor": (THREE, torch.from_numpy(INDEX)),
    "from one": (THREE, INDEX + 1),
    "one-hot": (THREE, ONE_HOT),
    "one-hot integers": (CHOICE, ONE_HOT.astype(int)),
    "one-hot truth values": (ANSWERS, ONE_HOT.astype(bool)),
    "probabilities": (CHOICE, 0.9 * ONE_HOT + 0.1 / 3),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_the_same_classes(form: str) -> None:
    decision, labels = FORMS[form]
    found = class_indices(decision, labels, 4)
    assert found is not None and found.dtype == np.int64 and found.tolist() == INDEX.tolist()


@pytest.mark.parametrize("decision", [TWO, ONE, VALUE], ids=["two logits", "sigmoid", "value"])
@pytest.mark.parametrize(
    "labels", [[0, 1, 1], [-1, 1, 1], [1, 2, 2], [-1.0, 1.0, 1.0], [False, True, True]], ids=str
)
def test_two_classes(decision: Decision, labels: list[Any]) -> None:
    found = class_indices(decision, labels, 3)
    assert found is not None and found.tolist() == [0, 1, 1]


def test_names_of_classes() -> None:
    assert class_indices(THREE, ["b", "a"], 2, ["a", "b", "c"]).tolist() == [1, 0]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="'d' is no class of this model"):
        class_indices(THREE, ["b", "d"], 2, ["a", "b", "c"])
    with pytest.raises(InputError, match="labels are text, such as 'b'; expected the index"):
        class_indices(THREE, ["b", "a"], 2)
    assert values_of_classes(None, ["c", "a"], pd.Series(["a", "c"], dtype="category")).tolist() == ["c", "a"]  # type: ignore[union-attr]
    assert values_of_classes(None, "yes", ["no", "yes"]).tolist() == ["no", "yes"]  # type: ignore[union-attr]
    assert values_of_classes(None, ["a", "b"], [0, 1]) is None
    numbered = SimpleNamespace(classes_=np.array([0, 1]))  # as scikit-learn, fitted with numbers
    assert values_of_classes(numbered, ["c", "a"], ["a", "c"]).tolist() == ["c", "a"]  # type: ignore[union-attr]
    assert values_of_classes(numbered, ["c", "a"], ["a", "d"]).tolist() == [0, 1]  # type: ignore[union-attr]
    # Values of classes are not read otherwise.
    assert class_indices(TWO, [1, -1], 2, [-1, 1]).tolist() == [1, 0]  # type: ignore[union-attr]


def test_several_answers_a_row() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]])
    for decision in (THREE, ANSWERS):
        for form in (labels, labels.astype(float), labels.astype(bool), 2 * labels - 1):
            found = labels_of(decision, form, 3)
            assert found is not None and found.several and found.index.tolist() == labels.tolist()
    with pytest.raises(InputError, match=r"several answers a row.* probabilities of 3 classes, of which one"):
        labels_of(CHOICE, labels, 3)
    with pytest.raises(InputError, match="expected one class a row"):
        class_indices(THREE, labels, 3)


def test_rows_without_a_label() -> None:
    found = labels_of(THREE, [0, -100, 2, -100], 4)
    assert found is not None and found.known.tolist() == [True, False, True, False]
    assert found.index[found.known].tolist() == [0, 2]
    shifted = labels_of(THREE, [1, -100, 3], 3)
    assert shifted is not None and shifted.index[shifted.known].tolist() == [0, 2]
    with pytest.raises(InputError, match="2 rows have the label -100, which is none"):
        class_indices(THREE, [0, -100, 2, -100], 4)
    with pytest.raises(InputError, match="All labels are -100"):
        labels_of(THREE, [-100, -100], 2)
    with pytest.raises(InputError, match="NaN in 1 rows, the first in row 1"):
        labels_of(THREE, [0.0, np.nan], 2)


@pytest.mark.parametrize("labels", [[0, 1, 255, 2], [-1, 0, 1, 2]], ids=str)
def test_a_value_that_may_mark_rows_without_a_label_is_asked_back(labels: list[int]) -> None:
    with pytest.raises(InputError, match=r"if (255|-1) stands for no label, leave out these 1 rows"):
        labels_of(THREE, labels, 4)


def test_real_numbers_are_no_classes() -> None:
    assert labels_of(THREE, None, 2) is None
    for decision, labels in (
        (THREE, [0.5, 1.0]),
        (VALUE, [100.0, 50.0, 70.0]),
        (VALUE, [100, 50, 70]),
        (THREE, [[0.5, 1.0, 2.0], [1.0, 0.0, -3.0]]),
        (THREE, [[0.5, 1.0], [1.0, 0.0]]),
        (THREE, [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]),  # logits are no probabilities
    ):
        assert labels_of(decision, labels, len(labels)) is None
    with pytest.raises(InputError, match="expected class indices 0 to 1, or 1 to 2"):
        labels_of(ONE, [0, 3, 5], 3)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="expected one class a row"):
        labels_of(THREE, [1, 0, 2], 2)
    with pytest.raises(InputError, match="expected one class a row"):
        labels_of(THREE, [[1, 0], [0, 1]], 2)
    with pytest.raises(InputError, match="expected class indices 0 to 2"):
        labels_of(THREE, [3, 0], 2)


def test_of_very_many_classes_no_other_numbering_is_looked_for() -> None:
    """The table of all pairs of 200,000 tokens would take 320 GB."""
    right = np.arange(100)
    assert doubt_of(right + 1, right, 200_000) == ""


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_another_numbering_is_doubted_where_labels_would_fit(share: float) -> None:
    generator = np.random.default_rng(0)
    right = generator.integers(0, 4, 400)
    predicted = np.where(generator.uniform(size=400) < share, np.array([2, 0, 1, 3])[right], right)
    said = doubt_of(predicted, right, 4)
    best = (np.array([2, 0, 1, 3])[right] == predicted).mean()
    assert f"in {(right == predicted).mean():.0%} of the rows, and would in {best:.0%}" in said
    assert "if 0 were 2, 1 were 0, 2 were 1. Are" in said


def test_a_network_that_knows_nothing_or_is_right_is_not_doubted() -> None:
    generator = np.random.default_rng(1)
    for count, rows in ((2, 30), (3, 60), (10, 500)):
        right = generator.integers(0, count, rows)
        assert doubt_of(generator.integers(0, count, rows), right, count) == ""
        assert doubt_of(right, right, count) == ""
    assert doubt_of(np.array([1, 0] * 10), np.array([0, 1] * 10), 2) == ""  # few rows


@pytest.mark.parametrize("step, which", [(1, "behind"), (-1, "before")])
@pytest.mark.parametrize("share", [0.85, 1.0])
def test_labels_of_the_row_beside_are_doubted(step: int, which: str, share: float) -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 400)
    predicted = np.where(generator.uniform(size=400) < share, truth, 1 - truth)
    said = doubt_of(predicted, np.roll(truth, -step), 2)
    best = (truth[1:-1] == predicted[1:-1]).mean()
    assert f"would in {best:.0%} with the row {which} each" in said
    assert doubt_of(predicted, truth, 2) == ""
    in_time = np.repeat(truth, 5)  # neighbours have the same label
    assert doubt_of(np.roll(in_time, 1), in_time, 2) == ""


def test_labels_on_another_scale_are_doubted() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(200, 2))
    outputs = truth + 0.3 * generator.normal(size=(200, 2))
    assert doubt_of_scale(truth, outputs) == ""
    for scaled in (5 * truth + 3, truth / 50, -truth):
        explained = max(0, 1 - (np.square(scaled - outputs).mean(0) / scaled.var(0)).mean())
        assert f"these explain {explained:.0%} of their variance, and would explain 9" in doubt_of_scale(
            scaled, outputs
        )
    assert doubt_of_scale(generator.normal(size=(200, 2)), outputs) == ""
