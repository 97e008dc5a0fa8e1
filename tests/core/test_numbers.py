"""Numbers lose nothing on the way in, or are refused."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch import nn

import nif
from nif.core.numbers import check_same_order, real_array, real_tensor

X = np.random.default_rng(0).normal(size=(60, 2))
LARGE = np.full((60, 2), 2**53 + 1)

REFUSED: dict[str, tuple[Any, str]] = {
    "dates": (np.array([["2020-01-01", "NaT"]] * 60, dtype="datetime64[s]"), "dates; expected real numbers"),
    "time differences": (np.full((60, 2), 5, dtype="timedelta64[s]"), "time differences; expected real"),
    "dates of Python": ([[1.0, datetime.date(2020, 1, 1)]] * 60, "not numeric"),
    "frame of dates": (pd.DataFrame({"a": pd.to_datetime(["2020-01-01", None] * 30)}), "not numbers: a"),
    "word in a frame": (
        pd.DataFrame({"a": X[:, 0], "b": ["1"] * 50 + ["?"] * 10}),
        r"not numbers: b \(the word '\?' in row 50\)",
    ),
    "masked": (np.ma.masked_greater(X, X.max() - 1e-9), "1 masked values, the first in row"),
    "complex": (X + 1j, "complex numbers; expected real"),
    "complex frame": (pd.DataFrame(X + 1j), "complex numbers; expected real"),
    "large": (LARGE, r"whole numbers of 2\*\*53 and more, the first in row 0"),
    "large, unsigned": (np.full((60, 2), 2**63 + 5, dtype=np.uint64), r"whole numbers of 2\*\*53"),
    "large, of Python": (np.array([[1.5, -(2**60)]] * 60, dtype=object), r"whole numbers of 2\*\*53"),
    "large, frame": (pd.DataFrame(LARGE), r"whole numbers of 2\*\*53"),
    "large, frame with gaps": (pd.DataFrame({"a": pd.array([2**60, None] * 30, dtype="Int64")}), "whole num"),
    "large, tensor": (torch.from_numpy(LARGE), r"whole numbers of 2\*\*53"),
    "sparse matrix": (scipy.sparse.csr_array(X), "sparse; pass x.toarray"),
    "sparse tensor": (torch.from_numpy(X).to_sparse(), "sparse or nested; pass a dense tensor"),
    "meta tensor": (torch.from_numpy(X).to("meta"), "meta device, which has shapes and no values"),
    "fields": (np.zeros(60, dtype=[("a", "f4"), ("b", "f4")]), "fields, such as 'a'; pass pd.Data"),
    "ragged": ([[1.0], [1.0, 2.0]] * 30, "not numeric"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_lost_is_refused_by_estimates_and_measurements(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(nif.InputError, match=message):
        nif.pairwise(data, estimator=nif.GaussianCopula())
    with pytest.raises(nif.InputError, match=message):
        nif.measure(nn.Linear(2, 2), data, progress=False)


@pytest.mark.parametrize(
    "data",
    [
        np.ma.masked_array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], dtype=object),
        np.array([[1, 2], [3, 4]], dtype=np.uint64),
        pd.DataFrame({"a": pd.array([1, 3], dtype="Int64"), "b": [2, 4]}),
        [[1, 2], [3, 4]],
        [[1, 2], [3, 2**53 - 1]],
    ],
)
def test_other_numbers_are_what_they_were(data: Any) -> None:
    expected = [[1, 2], [3, 2**53 - 1 if isinstance(data, list) and data[1][1] > 4 else 4]]
    assert real_array(data, "x").astype(np.float64).tolist() == expected


def test_a_tensor_stays_as_it_is() -> None:
    x = torch.tensor([[2**53 - 1]])
    assert real_tensor(x, "x") is x


def test_rows_in_another_order_are_refused() -> None:
    x, y = pd.DataFrame(X), pd.Series(X[::-1, 0], index=range(59, -1, -1))
    for call in (
        lambda: nif.estimate(x[0], y),
        lambda: nif.pairwise(x, pd.DataFrame(y)),
        lambda: nif.measure(nn.Bilinear(1, 1, 2), (x[[0]], y.to_frame()), progress=False),
    ):
        with pytest.raises(nif.InputError, match="have the same index in another order"):
            call()
    assert nif.estimate(x[0], y.reset_index(drop=True), nif.GaussianCopula()).nats >= 0


@pytest.mark.parametrize("index, said", [(range(1, 61), "1 row behind"), (range(-2, 58), "2 rows before")])
def test_an_index_that_lost_its_first_rows_is_warned_of(index: range, said: str) -> None:
    x, y = pd.DataFrame(X, columns=["a", "b"]), pd.Series(np.arange(60.0), index=index)
    with pytest.warns(UserWarning, match=f"The index of y is that of x from {said}"):
        nif.estimate(x["a"], y, nif.GaussianCopula())


@pytest.mark.parametrize("kept", [range(60, 120), np.random.default_rng(0).permutation(70)[:60]])
def test_an_index_of_a_part_is_not_warned_of(kept: Any) -> None:
    """Rows that were drawn, and a table whose index was numbered anew."""
    check_same_order({"x": pd.DataFrame(X), "y": pd.Series(np.arange(60.0), index=kept)})
