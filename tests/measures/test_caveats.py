"""Warnings of data for which errors, or a comparison of features, would mislead; and where there are none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import datasets
from torch import nn

import nif
from nif.data.rows import Rows
from nif.measures.caveats import warn_of_few_values, warn_of_many_pairs, warn_of_order, warn_of_redundancy

GENERATOR = np.random.default_rng(0)


def follows(x: np.ndarray) -> bool:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_order(Rows((torch.from_numpy(np.asarray(x, dtype=np.float64)),)), 1)
    return bool(found)


def series(rows: int, features: int, slope: float) -> np.ndarray:
    x, steps = np.zeros((rows, features)), GENERATOR.normal(size=(rows, features))
    for row in range(1, rows):
        x[row] = slope * x[row - 1] + steps[row]
    return x


@pytest.mark.parametrize("slope", [0.7, 0.9, 0.99])
def test_series_are_found(slope: float) -> None:
    assert np.mean([follows(series(400, 2, slope)) for _ in range(20)]) >= 0.9


@pytest.mark.parametrize(
    "draw",
    [
        lambda: GENERATOR.normal(size=(300, 64)),
        lambda: GENERATOR.integers(0, 2, size=(300, 64)),
        lambda: GENERATOR.random((100, 64)) < 0.12,
        lambda: GENERATOR.standard_cauchy((100, 64)),
        lambda: np.repeat(np.arange(3), 50)[:, None] + GENERATOR.normal(size=(150, 8)),
    ],
    ids=["normal", "binary", "rare", "heavy tails", "sorted by class"],
)
def test_independent_rows_are_none(draw) -> None:  # type: ignore[no-untyped-def]
    assert np.mean([follows(draw()) for _ in range(40)]) <= 0.025


def test_tables_that_are_sorted_by_class_are_none() -> None:
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer, datasets.load_digits):
        assert not follows(load().data)


@pytest.mark.parametrize("method", [nif.GaussianCopula(), nif.Currents(rows=20, backgrounds=4, steps=2)])
def test_both_measures_warn_of_series(method: object) -> None:
    torch.manual_seed(0)
    data = torch.from_numpy(series(300, 3, 0.9))
    with pytest.warns(UserWarning, match="Neighbouring rows are alike in 3 of 3 features") as found:
        nif.measure(nn.Linear(3, 2), data, method, progress=False)
    assert found[0].filename == __file__


def test_a_flag_that_decides_is_behind_a_number_by_association_and_ahead_by_currents() -> None:
    torch.manual_seed(0)
    x = torch.stack([(torch.rand(1000) < 0.5).float(), torch.randn(1000)], 1)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    flag, number = x.T
    y = (torch.rand(1000) < (3 * (flag - 0.5) + 0.5 * number).sigmoid()).float()[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(net(x), y).backward()
        optimizer.step()
    with pytest.warns(
        UserWarning, match=r"1 of 2 features have few values, such as 'x1' with 2.*ln 2 = 0.69"
    ):
        association = nif.measure(net, x, nif.Binned(), progress=False).shares()["share"]
    currents = nif.measure(net, x, nif.Currents(rows=100, backgrounds=16), progress=False).shares()["share"]
    assert association["x1"] < association["x2"]
    assert currents["x1"] > 3 * currents["x2"]


def test_a_category_beside_numbers_is_warned_of_whether_it_is_one_column_or_a_group() -> None:
    generator = np.random.default_rng(0)
    category, number = generator.integers(0, 4, 300), generator.normal(size=300)
    frame = pd.get_dummies(pd.Series(category.astype(str), name="kind"), prefix="kind", dtype=float)
    frame["number"] = number
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    said = r"1 of 2 features have few values, such as 'kind' with 4.*ln 4 = 1.39 nats.*nif.Currents\(\) can"
    with pytest.warns(UserWarning, match=said):
        nif.measure(net, frame, nif.GaussianCopula(), input_groups="one-hot", progress=False)
    with pytest.warns(UserWarning, match="such as 'x1' with 4"):
        warn_of_few_values(np.stack([category, number], 1), ["x1", "x2"], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edge = np.where(np.arange(300) < 20, np.arange(300) % 4, 0)  # as at the edge of an image
        for other in (generator.integers(0, 25, 300), np.zeros(300), np.arange(300) == 5, edge):
            warn_of_few_values(np.stack([other, number], 1), ["x1", "x2"], 1)
        warn_of_few_values(np.stack([category % 2, category > 2], 1), ["x1", "x2"], 1)
        pixel, edge, length = (generator.integers(0, values, 300) for values in (17, 9, 20))
        warn_of_few_values(np.stack([pixel, edge], 1), ["x1", "x2"], 1)
        warn_of_few_values(np.stack([length, number], 1), ["x1", "x2"], 1)


def test_months_columns_of_a_block_and_tables_of_categories_are_warned_of() -> None:
    month, number = GENERATOR.integers(0, 12, 400), GENERATOR.normal(size=400)
    with pytest.warns(UserWarning, match=r"1 of 2 features .* with 12, and others are continuous"):
        warn_of_few_values(np.stack([month, number], 1), ["month", "x2"], 1)
    block = [month == value for value in range(12)]
    with pytest.warns(UserWarning, match="12 of 13 features have few values, such as 'm0' with 2"):
        warn_of_few_values(np.stack([*block, number], 1), [f"m{value}" for value in range(13)], 1)
    said = r"'sex' with 2, and others have up to 3.*ln 2 = 0.69 nats and one of 3 at most 1.10, so"
    with pytest.warns(UserWarning, match=said):
        warn_of_few_values(np.stack([month % 3, month < 6], 1), ["class", "sex"], 1)


def test_a_layer_without_a_link_above_zero_names_the_remedy() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 1) + 0.1 * torch.randn(300, 12)  # all tell the same
    net = nn.Sequential(nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 2))
    with pytest.warns(UserWarning, match="None of the links from 'input' to '1' is above 0.*input_groups="):
        flow = nif.measure(net, x, nif.Association(nif.GaussianCopula(), beta=1.0), progress=False)
    with pytest.warns(UserWarning, match="36 are significant"):
        warn_of_redundancy(flow.layers, flow.links[:1], 1)


def test_association_of_token_ids_points_to_currents() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 10, (100, 4))
    net = nn.Sequential(nn.Embedding(10, 3), nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="ids of categories, which association takes as ordered numbers"):
        nif.measure(net, ids, nif.GaussianCopula(), progress=False)


def test_very_many_pairs_of_inputs_are_told_before_they_are_measured() -> None:
    """As warnings are errors here, the measurement ends before its first term."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    images = torch.randn(60, 3, 41, 41)
    terms = 5043 * 5042 // 2 + 1 + 5043 * 2 + 4
    said = f"12,713,403 of {terms:,} terms are those of the 5,043 inputs .*=3 for patches of 3 x 3"
    with pytest.raises(UserWarning, match=said):
        nif.measure(net, images, nif.GaussianCopula(), progress=False)
    grouped = nif.measure(net, images, nif.GaussianCopula(), input_groups=8, progress=False)
    assert len(grouped.layers[0]) == 36
    with pytest.warns(UserWarning, match="Pass input_groups=, an array of numbers, or nif.Currents"):
        warn_of_many_pairs(Rows((torch.randn(3, 5043),)), 0, 1)
