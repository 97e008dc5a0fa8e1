"""Figures of currents: signs, the total, and labels with units."""

from __future__ import annotations

import numpy as np
import pytest

from nif.flow.flow import Flow
from support.drawings import assert_readable, texts_of
from support.flows import current_flow

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

from nif import plots  # noqa: E402
from nif.plots.community_bands import bands_of  # noqa: E402
from nif.plots.layer_profile import MOST_PARTS  # noqa: E402
from nif.plots.palette import AGAINST, FOR  # noqa: E402

FLOW = current_flow([5, 8, 6, 3], seed=4)
WIDE = current_flow([40, 30, 4], seed=1)
SKIP = current_flow([4, 6, 5, 3], [(1, 3)], seed=2)
TOTAL = float(FLOW.total or 0)

DRAWN = {
    "network": plots.network,
    "attribution": plots.attribution,
    "links": plots.links,
    "profile": plots.profile,
    "communities": plots.communities,
}


@pytest.mark.parametrize("flow", [FLOW, WIDE, SKIP], ids=["chain", "wide", "skip"])
@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_every_figure_can_be_read(draw: object, flow: Flow) -> None:
    assert callable(draw)
    assert_readable(draw(flow))


def test_bars_of_features_are_shares_of_the_total_on_their_side_of_zero() -> None:
    ax = plots.attribution(FLOW, ax=Figure().subplots())
    shares = FLOW.shares()["share"].sort_values(key=lambda values: -values.abs())
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], shares)
    assert [text.get_text() for text in ax.get_yticklabels()] == shares.index.tolist()
    sides = [AGAINST if value < 0 else FOR for value in shares]
    assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == sides and AGAINST in sides
    assert ax.get_xlim()[0] < 0 and f"share of the total of {FLOW.total}" in ax.get_xlabel()
    of_class = plots.attribution(FLOW, label="output[1]", ax=Figure().subplots())
    assert of_class.get_xlabel().startswith("current (nats)")
    assert of_class.get_title("left") == "Currents for output[1]"


def test_intervals_are_those_of_student_and_may_lie_below_zero() -> None:
    ax = plots.attribution(FLOW, ax=Figure().subplots())
    segments = ax.collections[0].get_segments()
    width = 2 * 2.2622 * 0.01 / TOTAL
    np.testing.assert_allclose([np.ptp(ends[:, 0]) for ends in segments], width, rtol=1e-4)


def test_links_against_the_decision_are_dashed_and_orange() -> None:
    ax = plots.network(FLOW, Figure(figsize=(7, 5)).subplots())
    lines = ax.collections[0]
    nats = np.concatenate([links.values("nats") for links in FLOW.links])
    below = np.sort(np.abs(nats))  # drawn from the weakest
    signs = np.sign(nats[np.argsort(np.abs(nats), kind="stable")])
    assert len(lines.get_segments()) == len(below)
    dashed = np.array([pattern is not None for _, pattern in lines.get_linestyle()])
    np.testing.assert_array_equal(dashed, signs < 0)
    colours = {
        sign: {to_hex(c) for c, s in zip(lines.get_colors(), signs, strict=True) if s == sign}
        for sign in (-1, 1)
    }
    assert colours == {-1: {AGAINST.lower()}, 1: {FOR.lower()}}
    widths = lines.get_linewidth()
    assert np.all(np.diff(widths) >= 0) and widths[-1] > 3 * widths[0]
    assert any("orange and dashed against it" in text.get_text() for text in texts_of(ax.figure))


@pytest.mark.parametrize("flow", [FLOW, WIDE], ids=["chain", "wide"])
def test_the_profile_stacks_units_to_the_total(flow: Flow) -> None:
    ax = plots.profile(flow, ax=Figure().subplots())
    shades = (FOR.lower(), AGAINST.lower())
    bars = [
        bar
        for bar in ax.patches
        if isinstance(bar, Rectangle) and bar.get_height() != 0 and to_hex(bar.get_facecolor()) in shades
    ]
    for layer in range(len(flow.layers)):
        parts = [bar for bar in bars if bar.get_x() + bar.get_width() / 2 == pytest.approx(layer)]
        assert sum(bar.get_height() for bar in parts) == pytest.approx(float(flow.total or 0))
        for sign in (1, -1):  # from 0 on, each where the one before ends
            stack = [bar for bar in parts if sign * bar.get_height() > 0]
            ends = np.cumsum([0.0, *(bar.get_height() for bar in stack)])
            np.testing.assert_allclose([bar.get_y() for bar in stack], ends[:-1], atol=1e-12)
        assert len(parts) <= 2 * (MOST_PARTS + 1)
    assert ax.get_ylabel() == "current (nats)"
    assert ax.lines[0].get_ydata()[0] == pytest.approx(float(flow.total or 0))


def test_bands_are_sums_of_currents() -> None:
    for flow in (FLOW, SKIP):
        bands, total = bands_of(flow), float(flow.total or 0)
        for links in flow.links:
            between = bands.between[links.source, links.target]
            assert between.sum() == pytest.approx(links.values("nats").sum() / total)
        np.testing.assert_allclose(bands.through[0], np.abs(bands.between[0, 1]).sum(axis=1))


def test_negative_bands_are_hatched() -> None:
    flow = current_flow([5, 8, 6, 3], seed=4, mixed=3.0)
    assert any((shares < -0.01).any() for shares in bands_of(flow).between.values())
    ax = plots.communities(flow)
    assert [part.get_hatch() for part in ax.collections[:2]] == [None, "////"]
    assert len(ax.collections[1].get_paths()) > 0
    assert any("hatched: against the decision" in text.get_text() for text in texts_of(ax.figure))


def test_the_map_has_both_signs() -> None:
    ax = plots.links(FLOW, 0, 1)
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(np.sort(drawn, axis=None), np.sort(FLOW.links[0].nats, axis=None))
    assert any(text.get_text() == "current (nats)" for text in texts_of(ax.figure))
