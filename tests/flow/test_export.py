"""Attributions, and currents of single rows, as shap draws them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nif
from nif.core.errors import InputError
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


# Currents


def trained(outputs: int, *, layer: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs), *([layer] if layer else []))
    net[2].weight.data *= 4
    return net.double()


X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).double()
ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double()
EVERY = nif.Currents(backgrounds=40, steps=8)


def of_classes(net: nn.Module) -> tuple[Tensor, Tensor]:
    """The terms of v at the mean decision of the backgrounds, and at the rows."""
    mean, p = net(X).softmax(1).mean(0), net(ROWS).softmax(1)
    return (p * mean.log()).detach(), (p * p.log()).detach()


def test_base_values_and_currents_add_up_to_the_information_of_each_row() -> None:
    net = trained(3)
    flow = nif.measure(net, X, EVERY, explain=ROWS, class_names=["a", "b", "c"], progress=False)
    base, value = of_classes(net)
    found, whole = flow.to_shap(), flow.to_shap(by_class=False)
    assert isinstance(found, shap.Explanation) and isinstance(whole, shap.Explanation)
    assert found.shape == (6, 4, 3) and whole.shape == (6, 4) and list(found.output_names) == ["a", "b", "c"]
    np.testing.assert_allclose(found.base_values, base, atol=1e-7)
    np.testing.assert_allclose(found.base_values + found.values.sum(1), value, atol=1e-6)
    np.testing.assert_allclose(whole.base_values, base.sum(1), atol=1e-7)
    entropy = torch.distributions.Categorical(logits=net(ROWS)).entropy().detach()
    np.testing.assert_allclose(whole.base_values + whole.values.sum(1), -entropy, atol=1e-6)
    for one in (found, whole):
        np.testing.assert_array_equal(one.data, ROWS)
        assert list(one.feature_names) == list(flow.local().columns)
    np.testing.assert_allclose(whole.values, flow.local(), atol=0)
    np.testing.assert_allclose(found.values.sum(2), whole.values, atol=1e-6)


def test_a_value_has_the_density_of_its_noise() -> None:
    """At the row minus the differential entropy of a normal; at the backgrounds by 9 nodes of its density."""
    net = trained(1)
    found = nif.measure(net, X, EVERY, explain=ROWS, progress=False).to_shap()
    assert isinstance(found, shap.Explanation) and found.shape == (6, 4)
    noise = 0.2 * net(X).detach().std()
    normal = torch.distributions.Normal(net(X).detach()[:, 0], noise)
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    seen = net(ROWS).detach() + noise * torch.as_tensor(nodes)
    base = normal.log_prob(seen[..., None]).exp().mean(2).log() @ torch.as_tensor(weights / weights.sum())
    np.testing.assert_allclose(found.base_values, base, atol=1e-6)
    entropy = torch.distributions.Normal(0.0, noise).entropy()
    np.testing.assert_allclose(found.base_values + found.values.sum(1), -entropy.expand(6), atol=1e-6)


def test_answers_labels_and_masks_of_kinds_add_up_too() -> None:
    answers = trained(2, layer=nn.Sigmoid())
    found = nif.measure(answers, X, EVERY, explain=ROWS, progress=False).to_shap()
    assert isinstance(found, shap.Explanation) and found.shape == (6, 4, 2)
    entropy = torch.distributions.Bernoulli(answers(ROWS)).entropy().detach()
    np.testing.assert_allclose(found.base_values + found.values.sum(1), -entropy, atol=1e-6)
    net, labels = trained(3), torch.arange(6) % 3
    data, rows = (torch.utils.data.TensorDataset(x, torch.arange(len(x)) % 3) for x in (X, ROWS))
    method = nif.Currents("labels", backgrounds=40, steps=8)
    whole = nif.measure(net, data, method, explain=rows, progress=False).to_shap(by_class=False)
    assert isinstance(whole, shap.Explanation)
    known = net(ROWS).log_softmax(1)[torch.arange(6), labels].detach()
    np.testing.assert_allclose(whole.base_values + whole.values.sum(1), known, atol=1e-6)


def test_rows_of_the_data_weigh_themselves_and_are_in_order() -> None:
    net = trained(3)
    flow = nif.measure(net, X, EVERY, progress=False)
    whole = flow.to_shap(by_class=False)
    assert isinstance(whole, shap.Explanation)
    np.testing.assert_array_equal(whole.data, X)
    p = net(X).softmax(1).detach()
    np.testing.assert_allclose(whole.base_values, (p * p.mean(0).log()).sum(1), atol=1e-6)
    np.testing.assert_allclose(whole.base_values + whole.values.sum(1), (p * p.log()).sum(1), atol=1e-6)
    np.testing.assert_allclose(whole.values.mean(0), flow.neurons().loc["input", "current"], atol=1e-6)


def test_groups_have_the_mean_of_their_pixels() -> None:
    torch.manual_seed(0)
    net, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), torch.randn(30, 1, 4, 4)
    found = nif.measure(net, images, EVERY, input_groups=2, explain=images[:3], progress=False).to_shap()
    assert isinstance(found, shap.Explanation) and found.shape == (3, 4, 2)
    np.testing.assert_allclose(found.data, nn.functional.avg_pool2d(images[:3], 2).flatten(1), atol=1e-6)
    value = net(images[:3]).log_softmax(1).detach()
    np.testing.assert_allclose(found.base_values + found.values.sum(1), value.exp() * value, atol=1e-5)


def test_a_file_keeps_what_rows_gain_and_not_the_rows(tmp_path: Path) -> None:
    flow = nif.measure(trained(3), X, EVERY, explain=ROWS, progress=False)
    flow.save(tmp_path / "flow.safetensors")
    loaded = nif.load(tmp_path / "flow.safetensors")
    assert loaded == flow
    found, expected = loaded.to_shap(), flow.to_shap()
    assert isinstance(found, shap.Explanation) and isinstance(expected, shap.Explanation)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.base_values, expected.base_values)
    assert found.data is None


def test_rows_that_were_drawn_unequally_are_named() -> None:
    flow = nif.measure(trained(3), X, nif.Currents(rows=8, backgrounds=39, steps=4), progress=False)
    with pytest.warns(UserWarning, match="drawn with unequal chances"):
        flow.to_shap()
    assert flow.currents is not None
    with pytest.raises(InputError, match="no information of rows"):
        replace(flow, currents=replace(flow.currents, row_base=None)).to_shap()


@pytest.mark.filterwarnings("ignore")
def test_plots_of_shap_draw_rows() -> None:
    flow = nif.measure(trained(3), X, EVERY, explain=ROWS, class_names=["a", "b", "c"], progress=False)
    found, whole = flow.to_shap(), flow.to_shap(by_class=False)
    assert isinstance(found, shap.Explanation) and isinstance(whole, shap.Explanation)
    shap.plots.beeswarm(whole, show=False)
    dots = [of for of in plt.gca().collections if len(of.get_offsets()) == 6]
    assert len(dots) == 4
    plt.figure()
    heights = [bar.get_width() for bar in shap.plots.bar(whole, show=False).patches]
    np.testing.assert_allclose(sorted(heights), np.sort(np.abs(whole.values).mean(0)), rtol=1e-6)
    plt.figure()
    shap.plots.waterfall(found[0, :, "b"], show=False)
    shap.plots.waterfall(whole[2], show=False)
    plt.figure()
    shap.plots.beeswarm(found[:, :, "a"], show=False)
