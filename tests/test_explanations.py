"""Attributions as shap draws them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from flows import random_flow
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.plots import shap_bar

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
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


def intervals(ax: Axes) -> list[np.ndarray]:
    """Both ends of each, as the figure has them."""
    drawn = [bars for bars in ax.containers if isinstance(bars, ErrorbarContainer)]
    return [np.array(segment) for segment in drawn[0][2][0].get_segments()]


def bars(ax: Axes) -> dict[int, float]:
    """Ends of the bars by their row."""
    return {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}


@pytest.mark.filterwarnings("ignore")
def test_the_bar_plot_shows_values_and_error_bars(flow: Flow) -> None:
    one = flow.to_shap()["output[1]"]
    ax = shap_bar(one)
    np.testing.assert_allclose(sorted(bars(ax).values()), np.sort(one.values))
    drawn = sorted((segment[0][0], segment[1][0]) for segment in intervals(ax))
    np.testing.assert_allclose(drawn, sorted(zip(one.lower_bounds, one.upper_bounds, strict=True)))
    for segment in intervals(ax):
        assert segment[:, 0].mean() == pytest.approx(bars(ax)[round(segment[0][1])])


@pytest.mark.filterwarnings("ignore")
def test_numbers_stand_behind_the_intervals_and_nothing_is_cut_off(flow: Flow) -> None:
    _, ax = plt.subplots(figsize=(8, 4))
    assert shap_bar(replaced_errors(flow, 0.1).to_shap()["output[1]"], ax) is ax
    ax.figure.canvas.draw()
    for text, segment in zip(ax.texts, intervals(ax), strict=True):
        assert text.get_position()[0] > segment[1][0]
        box = text.get_window_extent().transformed(ax.transData.inverted())
        assert ax.get_xlim()[0] <= segment[0][0] and box.x1 <= ax.get_xlim()[1]


def replaced_errors(flow: Flow, stderr: float) -> Flow:
    links = [replace(each, stderr=np.full_like(each.nats, stderr)) for each in flow.links]
    return replace(flow, links=tuple(links))


@pytest.mark.filterwarnings("ignore")
def test_the_last_bar_is_the_sum_of_the_rest() -> None:
    one = random_flow([12, 5, 2], seed=1).to_shap()["output[0]"]
    ax = shap_bar(one, max_display=5)
    assert len(intervals(ax)) == 5
    for segment in intervals(ax):
        assert segment[:, 0].mean() == pytest.approx(bars(ax)[round(segment[0][1])])


def test_an_explanation_without_errors_is_refused() -> None:
    with pytest.raises(InputError, match="no standard errors"):
        shap_bar(shap.Explanation(np.ones(3), base_values=0.0))


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
