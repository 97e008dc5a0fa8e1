"""Checks of the inputs of an estimate; types are not checked at run time here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import nif
from nif.estimators.inputs import columns, same_length

ROWS = np.random.default_rng(0).normal(size=(60, 2))


@pytest.mark.parametrize("estimator", [nif.Flow, 3], ids=repr)
def test_an_object_that_is_no_estimator_is_refused(estimator: object) -> None:
    for call in (
        lambda: nif.estimate(ROWS[:, 0], ROWS[:, 1], estimator=estimator),
        lambda: nif.pairwise(ROWS, estimator=estimator),
    ):
        with pytest.raises(nif.InputError, match=r"expected one such as nif.Mine\(\)"):
            call()


@pytest.mark.parametrize("kind", [torch.tensor, pd.DataFrame, np.ndarray.tolist, np.copy])
def test_columns_are_a_copy_in_double_precision(kind) -> None:  # type: ignore[no-untyped-def]
    data = kind(ROWS)
    array = columns(data, "x")
    assert array.dtype == np.float64
    assert np.array_equal(array, ROWS)
    array[:] = 0
    assert np.array_equal(columns(data, "x"), ROWS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((60, 2, 2)), r"shape \(60, 2, 2\); expected \[sample\] or \[sample, column\]"),
        (np.zeros((60, 0)), r"shape \(60, 0\); expected"),
        (np.zeros(49), "49 samples; mutual information needs at least 50. Pass more rows"),
        (np.where(ROWS > 2, np.nan, ROWS), "NaN or infinite values, the first in row"),
        (pd.DataFrame({"a": range(60), "b": ["text"] * 60}), "columns that are not numbers: b. Encode"),
        (["text"] * 60, "not numeric .*; expected an array of numbers"),
    ],
    ids=["axes", "no columns", "few rows", "nan", "text column", "text"],
)
def test_columns_that_are_refused(data: object, message: str) -> None:
    with pytest.raises(nif.InputError, match=message):
        columns(data, "x")


def test_sides_of_different_length_are_refused() -> None:
    with pytest.raises(nif.InputError, match="x has 60 samples and y has 59; both sides need the same rows"):
        same_length(ROWS, ROWS[1:])
