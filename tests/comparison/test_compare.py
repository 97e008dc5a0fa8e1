"""The table of the comparison: its rows, columns, ranks and correlations."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau, spearmanr

from nif.comparison.compare import Comparison, compare
from nif.comparison.methods import ATTRIBUTIONS, PUBLISHED
from nif.core.errors import InputError
from nif.measures.currents.currents import Currents
from nif.pipeline import measure
from support.comparison_cases import FLOW, QUICK, data, flow_of, linear

pytestmark = pytest.mark.usefixtures("few_rows_explained")


@pytest.fixture(scope="module")
def table() -> Comparison:
    """Every row but the published flow, whose own test is below."""
    methods = [name for name in ATTRIBUTIONS if name != PUBLISHED]
    return compare(linear(), FLOW, *data(), methods=methods, repeats=50)


@pytest.mark.slow
def test_rows_and_columns(table: Comparison) -> None:
    assert list(table.index) == [
        *("raw MI", "currents", "currents, for", "association"),
        *("SHAP", "integrated gradients", "SAGE", "random ranking"),
    ]
    assert list(table.columns) == [
        *("big", "small", "unused"),
        *("ks", "ks_p_asymptotic", "ks_p_exact", "spearman", "kendall"),
        *("deletion", "deletion_spread", "insertion", "insertion_spread"),
        *("deletion_rank", "insertion_rank"),
    ]


@pytest.mark.slow
def test_attributions_sum_to_one(table: Comparison) -> None:
    np.testing.assert_allclose(table[["big", "small", "unused"]].sum(axis=1), 1.0)
    np.testing.assert_allclose(table.attributions.groupby("method")["attribution"].sum(), 1.0)


def test_right_rankings_beat_the_random_one(table: Comparison) -> None:
    by_chance = table.loc["random ranking"]
    for method in ("currents", "association", "SHAP", "integrated gradients", "SAGE"):
        assert table.loc[method, "deletion"] < by_chance["deletion"] - 0.05
        assert table.loc[method, "insertion"] > by_chance["insertion"] + 0.05
    assert by_chance["deletion_rank"] == by_chance["insertion_rank"] == len(table)


def test_correlations_are_those_of_scipy(table: Comparison) -> None:
    wide = table[["big", "small", "unused"]]
    for method in ("association", "SHAP"):
        expected = spearmanr(wide.loc[method], wide.loc["raw MI"]).statistic
        assert table.loc[method, "spearman"] == pytest.approx(expected)
        expected = kendalltau(wide.loc[method], wide.loc["raw MI"]).statistic
        assert table.loc[method, "kendall"] == pytest.approx(expected)
    assert math.isnan(table.loc["random ranking", "spearman"])


def test_reference_agrees_with_itself(table: Comparison) -> None:
    assert table.loc["raw MI", ["ks", "ks_p_exact", "spearman"]].tolist() == [0.0, 1.0, 1.0]


def test_same_seed_same_table() -> None:
    first, again = (
        compare(linear(), FLOW, *data(50), methods=[*QUICK, "SHAP"], repeats=5, seed=3) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, again)


def test_many_features_stay_in_the_long_table() -> None:
    x = np.random.default_rng(0).normal(size=(100, 30))
    weights = torch.zeros(2, 30)
    weights[1, 0] = 1.0
    names = tuple(f"f{i}" for i in range(30))
    flow = flow_of(np.full((30, 2), 0.1), features=names)
    found = compare(linear(weights), flow, x, (x[:, 0] > 0).astype(np.int64), methods=QUICK, repeats=3)
    assert "f0" not in found.columns
    assert len(found.attributions) == 3 * 30


def test_flow_that_carries_nothing_names_no_feature() -> None:
    found = compare(linear(), flow_of(np.zeros((3, 2))), *data(), methods=QUICK)
    assert found.loc["association", ["big", "small", "unused"]].tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(found.loc["association", "deletion"])


def test_a_flow_of_currents_is_compared_without_association() -> None:
    x, y = data(100)
    flow = measure(linear(), x, Currents(rows=50, steps=2, paths=0), progress=False)
    table = compare(linear(), flow, x, y, repeats=3)
    assert list(table.index) == [
        "raw MI",
        "currents",
        "SHAP",
        "integrated gradients",
        "SAGE",
        "random ranking",
    ]
    share = flow.attribution().sum(axis=1).abs()
    np.testing.assert_allclose(table.loc["currents"].iloc[:3].astype(float), share / share.sum())
    with pytest.raises(InputError, match="the flow is one of currents; pass one measured with"):
        compare(linear(), flow, x, y, methods=["association"])


def test_what_speaks_for_the_decision_is_the_positive_part_of_each_row() -> None:
    x, y = data(200)
    flow = measure(linear(), x, Currents(rows=100, steps=2, paths=0), progress=False)
    found = compare(linear(), flow, x, y, methods=["currents, for"], repeats=2)
    rows = flow.local()
    assert (rows.to_numpy() < 0).any()
    expected = rows.attrs["weights"] @ np.maximum(rows.to_numpy(), 0)
    shares = found.loc["currents, for"].iloc[:3].astype(float)
    np.testing.assert_allclose(shares, expected / expected.sum(), rtol=1e-4)


def test_a_flow_of_currents_that_is_given_is_used_beside_association() -> None:
    x, y = data(100)
    names = ["big", "small", "unused"]
    flow = measure(linear(), x, Currents(rows=50, steps=2, paths=0), feature_names=names, progress=False)
    table = compare(linear(), FLOW, x, y, currents=flow, methods=["currents", "association"], repeats=3)
    share = flow.attribution().sum(axis=1).abs()
    np.testing.assert_allclose(table.loc["currents"].iloc[:3].astype(float), share / share.sum())
    np.testing.assert_allclose(table.loc["association"].iloc[:3].astype(float), [5 / 6, 1 / 6, 0])
    with pytest.raises(InputError, match="currents is a flow of association"):
        compare(linear(), FLOW, x, y, currents=FLOW)
    other = measure(linear(), x, Currents(rows=9, steps=2, paths=0), progress=False)
    with pytest.raises(InputError, match="features of other names"):
        compare(linear(), FLOW, x, y, currents=other)


def test_published_flow_that_is_given_is_used() -> None:
    published = flow_of([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    found = compare(linear(), FLOW, *data(), published=published, methods=[PUBLISHED])
    assert found.loc[PUBLISHED, ["big", "small", "unused"]].tolist() == [0.0, 0.0, 1.0]


def test_published_flow_is_measured_where_it_is_not_given() -> None:
    found = compare(linear(), FLOW, *data(60), methods=[PUBLISHED], repeats=2)
    assert np.isfinite(found.loc[PUBLISHED].astype(float)).all()


def test_published_flow_is_left_out_unless_named_or_given() -> None:
    large = flow_of([[0.5, 0.5], [0.1, 0.1], [0.0, 0.0]], terms=5_001)
    assert PUBLISHED not in compare(linear(), large, *data(60), repeats=2).index
    assert PUBLISHED in compare(linear(), large, *data(60), published=FLOW, repeats=2).index


def test_model_and_data_stay_as_they_were() -> None:
    model = linear().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, y = data(60)
    kept = x.copy(), y.copy()
    compare(model, FLOW, x, y, methods=["SHAP", "integrated gradients"], repeats=2)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert np.array_equal(kept[0], x)
    assert np.array_equal(kept[1], y)


def test_what_takes_long_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nif.core.progress.SECONDS_BEFORE_SHOWN", 0)
    compare(linear(), FLOW, *data(100), methods=QUICK, repeats=2)
    assert re.search(r"nif: comparing: [\w ]+, attribution \d of \d: \d s spent\n", capsys.readouterr().err)
    compare(linear(), FLOW, *data(100), methods=QUICK, repeats=2, progress=False)
    assert capsys.readouterr().err == ""


def test_a_printed_comparison_shows_every_column() -> None:
    columns = [f"column{number}" for number in range(30)]
    text = repr(Comparison(np.ones((2, 30)), columns=columns))
    assert all(name in text for name in columns) and "..." not in text


def test_the_warning_about_labels_of_another_order_names_the_line_of_the_call() -> None:
    net = linear(torch.tensor([[0.0, 0.0], [4.0, 1.0]]))
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    flow = measure(net, x, Currents(rows=20, backgrounds=8, steps=2, paths=0), progress=False)
    with pytest.warns(UserWarning, match="The labels agree with the network in 0%") as caught:
        compare(net, flow, x, net(x).argmin(1), methods="random ranking", repeats=2)
    assert caught[-1].filename == __file__
