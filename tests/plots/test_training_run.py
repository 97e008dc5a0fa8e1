"""The picture of a training run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.plots.training_run import apart
from support.training_runs import dying, rows

pytest.importorskip("matplotlib").use("Agg")


def test_the_picture_shows_the_table_and_who_is_silent() -> None:
    watch, _ = dying(nif.Binned())
    information, silent, communities = watch.plot()
    table = watch.table()
    hidden = table.query("layer == '1'")
    np.testing.assert_allclose(information.lines[0].get_ydata(), hidden["inflow"])
    np.testing.assert_allclose(silent.lines[1].get_ydata(), hidden["silent"] / 8)
    codes = np.asarray(communities.collections[0].get_array()).reshape(-1, 5)
    assert codes.shape == (4 + 8 + 2, 5)
    quiet = [flow.by_unit.silent().sum() for flow in watch.flows.values()]
    np.testing.assert_array_equal((codes == 0).sum(axis=0), quiet)
    assert {text.get_text() for text in information.texts} == {"1", "output"}
    assert [text.get_text() for text in silent.texts] == ["input"]


@pytest.mark.slow
@pytest.mark.parametrize("method", [nif.Binned(), nif.Currents(rows=40, backgrounds=4, steps=2, paths=0)])
def test_names_do_not_overlap_in_a_deep_network_and_axes_are_used(method: Any) -> None:
    torch.manual_seed(0)
    layers = itertools.chain.from_iterable((nn.Linear(4, 4), nn.ReLU()) for _ in range(18))
    watch = nif.Watch(nn.Sequential(*layers, nn.Linear(4, 2)), rows()[0], method)
    watch()
    axes = watch.plot()
    figure = axes[0].figure
    figure.canvas.draw()
    texts = [text for ax in axes for text in ax.texts] + axes[-1].get_yticklabels()
    boxes = [text.get_window_extent() for text in texts]
    assert not any(one.padded(-0.5).overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x1 <= figure.bbox.x1 and box.x0 >= 0 for box in boxes)
    again = watch.plot(axes)
    assert list(again) == list(axes)
    alone = type(figure)().subplots(len(axes), 1)  # without shared epochs
    watch.plot(alone)
    assert len({ax.get_xlim() for ax in alone}) == 1
    with pytest.raises(InputError, match=f"expected {len(axes)}, one below another: .*, silent neurons"):
        watch.plot(axes[:2])


def test_names_are_moved_apart_and_no_further() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 9):
        places = rng.uniform(0, 100, count)
        moved = apart(places, 10.0, 100.0)
        assert (np.diff(np.sort(moved)) >= 10 - 1e-9).all() and moved.min() >= 0 and moved.max() <= 100 + 1e-9
        np.testing.assert_array_equal(np.argsort(moved), np.argsort(places))
    np.testing.assert_array_equal(apart(np.array([10.0, 50.0]), 10.0, 100.0), [10.0, 50.0])


def test_a_run_of_currents_shows_the_total_and_its_features() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    watch = nif.Watch(
        net, rows()[0], nif.Currents(rows=40, backgrounds=4, steps=4), feature_names=list("abcd")
    )
    for epoch in range(3):
        watch.step(epoch)
        with torch.no_grad():
            net[2].weight.mul_(2)
    above, below, *_ = watch.plot()
    flows = list(watch.flows.values())
    np.testing.assert_allclose(above.lines[1].get_ydata(), [float(flow.total or 0) for flow in flows])
    last = flows[-1].attribution().sum(axis=1)
    order = last.abs().sort_values(ascending=False).index
    assert [text.get_text() for text in above.texts] == ["total"]
    assert [text.get_text() for text in below.texts] == list(order)
    lines = [line for line in below.lines if len(line.get_xdata()) == 3]
    for line, band, name in zip(lines, below.collections, order, strict=True):
        assert line.get_ydata()[-1] == pytest.approx(last[name], abs=1e-8)  # of float32
        _, at_end = interval = flows[-1].importance().loc[name, ["low", "high"]] * float(flows[-1].total or 0)
        drawn = band.get_paths()[0].vertices
        assert drawn[drawn[:, 0] == 2, 1].max() == pytest.approx(at_end), interval
    assert below.get_ylim()[1] < 0.7 * above.get_ylim()[1]  # a scale of its own
