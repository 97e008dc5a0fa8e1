"""Attributions as shap draws them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from nif.flow.flow import Flow
from support.flows import random_flow

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.container import ErrorbarContainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap


@pytest.fixture
def flow() -> Flow:
    return random_flow([4, 5, 3], seed=3)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_each_class_has_its_explanation_with_errors(flow: Flow) -> None:
    found, table, errors = flow.to_shap(), flow.attribution(), flow.attribution_stderr()
    assert list(found) == list(table.columns)
    for label, one in found.items():
        assert isinstance(one, shap.Explanation) and list(one.feature_names) == list(table.index)
        np.testing.assert_array_equal(one.values, table[label])
        np.testing.assert_array_equal(one.error_std, errors[label])
        np.testing.assert_allclose(one.upper_bounds - one.values, 1.959964 * errors[label], rtol=1e-6)
        np.testing.assert_allclose(one.values - one.lower_bounds, 1.959964 * errors[label], rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_all_classes_go_into_one_bar_plot_and_the_waterfall_has_intervals(flow: Flow) -> None:
    found = flow.to_shap()
    assert len(shap.plots.bar(found, show=False).patches) == 4 * 3
    plt.figure()
    one = found["output[2]"]
    shap.plots.waterfall(one, show=False)
    bars = [bar for ax in plt.gcf().axes for bar in ax.containers if isinstance(bar, ErrorbarContainer)]
    lengths = [abs(np.diff(bar[2][0].get_segments()[0][:, 0])[0]) for bar in bars]
    np.testing.assert_allclose(sorted(lengths), np.sort(one.upper_bounds - one.lower_bounds), rtol=1e-6)


def test_equal_names_are_told_apart(flow: Flow) -> None:
    names = replace(flow.layers[0], units=("a", "b", "a", "c"))
    outputs = replace(flow.layers[2], units=("y", "y", "z"))
    found = replace(flow, layers=(names, flow.layers[1], outputs)).to_shap()
    assert list(found) == ["y #0", "y #1", "z"]
    assert list(found["z"].feature_names) == ["a #0", "b", "a #2", "c"]
