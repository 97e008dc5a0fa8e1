"""The Sankey figure: what is drawn is the layout, and it can be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.flow.headline import headline
from nif.plots.palette import AGAINST, AGAINST_ON_DARK, COMMUNITIES, FOR, FOR_ON_DARK
from nif.plots.sankey_layout import sankey_layout
from support.drawings import assert_apart, assert_readable, texts_of
from support.flows import current_flow, flow_of, links_of, random_flow, with_currents

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import PathPatch, Rectangle  # noqa: E402

from nif import plots  # noqa: E402

FLOWS = {
    "small": current_flow([4, 10, 3], seed=4),
    "wide": current_flow([64, 32, 10], seed=1),
    "skips": current_flow([5, 7, 7, 7, 2], [(0, 2), (1, 4)], seed=2),
    "12 layers": current_flow([6] * 12, seed=3),
    "linear": current_flow([3, 1]),
}


@pytest.fixture(params=FLOWS.values(), ids=FLOWS.keys())
def flow(request: pytest.FixtureRequest) -> Flow:
    return request.param


def axes(width: float = 7.2, ground: str = "white") -> Axes:
    return Figure(figsize=(width, 5), facecolor=ground).add_axes((0.01, 0.01, 0.98, 0.98))


def ribbons_of(ax: Axes) -> list[PathPatch]:
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def bars_of(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if (patch.get_gid() or "").startswith("bar")]


def test_the_figure_can_be_read(flow: Flow) -> None:
    assert_readable(plots.sankey(flow))
    pyplot.close("all")


def test_it_can_be_read_in_one_column_of_a_paper() -> None:
    for name in ("small", "wide"):
        assert_apart(plots.sankey(FLOWS[name], ax=axes(3.5)).figure)


def test_letters_are_ten_pixels_high_at_640() -> None:
    figure = plots.sankey(FLOWS["small"]).figure
    pixels = 640 / figure.get_size_inches()[0] / 72
    named = [text for text in texts_of(figure) if "put[" in text.get_text() and "·" in text.get_text()]
    assert len(named) == 7 and min(text.get_fontsize() for text in named) * pixels >= 10
    pyplot.close("all")


def test_ribbons_and_bars_are_drawn_where_the_layout_has_them() -> None:
    flow = FLOWS["skips"]
    ax = plots.sankey(flow, ax=axes())
    drawn = ribbons_of(ax)
    layout = sankey_layout(flow)
    nats = sorted(abs(ribbon.nats) for ribbon in layout.ribbons)
    scale = bars_of(ax)[0].get_height() / layout.bars[0].nats
    widths = sorted(np.ptp(_at_start(patch)) for patch in drawn)
    np.testing.assert_allclose(np.array(widths) / scale, nats, rtol=1e-6)
    heights = [bar.get_height() / scale for bar in bars_of(ax)]
    np.testing.assert_allclose(heights, flow.neurons()["current"], atol=1e-9)
    behind = {patch.get_zorder() for patch in drawn if len(patch.get_path().vertices) > 11}
    before = {patch.get_zorder() for patch in drawn if len(patch.get_path().vertices) <= 11}
    assert len(behind) == len(before) == 1 and max(behind) < min(before)


def _at_start(patch: PathPatch) -> np.ndarray:
    points = patch.get_path().vertices
    return points[points[:, 0] == points[:, 0].min(), 1]


@pytest.mark.parametrize(
    ("ground", "shades"),
    [("white", {FOR, AGAINST}), ("#111111", {FOR_ON_DARK, AGAINST_ON_DARK})],
    ids=["light", "dark"],
)
def test_signs_have_the_colours_of_the_ground(ground: str, shades: set[str]) -> None:
    ax = plots.sankey(FLOWS["small"], ax=axes(ground=ground))
    assert {to_hex(patch.get_facecolor()).upper() for patch in ribbons_of(ax)} == {s.upper() for s in shades}
    light = [np.mean(matplotlib.colors.to_rgb(text.get_color())) for text in texts_of(ax.figure)]
    assert min(light) > 0.5 if ground == "#111111" else max(light) < 0.5


def test_a_transparent_figure_follows_the_style() -> None:
    with pyplot.style.context("dark_background"):
        ax = plots.sankey(FLOWS["small"], ax=axes(ground="none"))
    assert FOR_ON_DARK.lower() in {to_hex(patch.get_facecolor()) for patch in ribbons_of(ax)}


def test_by_class_a_ribbon_has_the_colour_of_the_class_it_ends_in() -> None:
    """Two units of one class each, and a feature that feeds only one, against the other class."""
    links = [links_of([[0.6, 0.0], [0.0, -0.2]]), links_of([[0.6, 0.0], [0.0, -0.2]], 1, 2)]
    nats = np.array([0.6, -0.2])
    flow = with_currents(flow_of(links, [2, 2, 2]), [nats, nats, nats])
    drawn = ribbons_of(plots.sankey(flow, by_class=True, ax=axes()))
    colours = sorted((to_hex(patch.get_facecolor()).upper(), patch.get_linewidth() > 0) for patch in drawn)
    assert colours == sorted([(COMMUNITIES[0], False)] * 2 + [(COMMUNITIES[1], True)] * 2)


def test_numbers_at_the_bars_are_shares_with_errors_or_nats() -> None:
    flow = FLOWS["small"]
    shares = flow.shares()
    assert (shares["share"] > 0).all()
    wanted = [f"{name} · {100 * row['share']:.1f} ± 0.5 %" for name, row in shares.iterrows()]
    texts = {text.get_text() for text in texts_of(plots.sankey(flow, ax=axes()).figure)}
    assert set(wanted) <= texts
    nats = {text.get_text() for text in texts_of(plots.sankey(flow, nats=True, ax=axes()).figure)}
    current = flow.neurons()["current"].loc["input"]
    assert {f"{name} · {value:.2f} ± 0.01" for name, value in current.items()} <= nats


def test_the_largest_hidden_units_have_their_shares_too() -> None:
    flow = current_flow([5, 12, 8, 6, 3], seed=0)
    texts = [text.get_text() for text in texts_of(plots.sankey(flow, ax=axes()).figure)]
    shares = flow.neurons()["throughput"]
    for layer in ("relu1", "relu2"):
        name, share = shares.loc[layer].idxmax(), shares.loc[layer].max()
        assert f"{name.split('[')[1][:-1]} · {100 * share:.0f} %" in texts


def test_no_error_is_rounded_to_0() -> None:
    flow = FLOWS["small"]
    assert flow.currents is not None
    units = tuple(replace(each, stderr=each.stderr / 20) for each in flow.currents.units)
    exact = replace(flow, currents=replace(flow.currents, units=units))
    texts = {text.get_text() for text in texts_of(plots.sankey(exact, ax=axes()).figure)}
    wanted = [f"{name} · {100 * share:.2f} ± 0.02 %" for name, share in flow.shares()["share"].items()]
    assert set(wanted) <= texts


def test_the_title_is_the_answer_in_a_sentence() -> None:
    for width in (7.2, 3.5):
        texts = texts_of(plots.sankey(FLOWS["small"], ax=axes(width)).figure)
        bold = [text.get_text() for text in texts if text.get_weight() == "bold"]
        assert " ".join(bold) == headline(FLOWS["small"])


def test_names_are_taken_as_they_are() -> None:
    flow = FLOWS["small"]
    odd = ("$x_1$ is $", "<b>", "line\nbreak", "x" * 10_000)
    classes = (r"\frac", "$", "_^{}")
    layers = (replace(flow.layers[0], units=odd), flow.layers[1], replace(flow.layers[2], units=classes))
    ax = plots.sankey(replace(flow, layers=layers), ax=axes())
    texts = [text.get_text() for text in texts_of(ax.figure)]
    for name in ("$x_1$ is $", "<b>", "line break", *classes):
        assert any(text.startswith(f"{name} · ") for text in texts), name
    assert max(map(len, texts)) < 150


def test_it_draws_where_asked_and_makes_no_figure() -> None:
    ax = axes()
    assert plots.sankey(FLOWS["small"], ax=ax) is ax
    assert pyplot.get_fignums() == []


def test_what_cannot_be_drawn_is_refused_before_there_is_a_figure() -> None:
    with pytest.raises(InputError, match="association, whose links do not add up"):
        plots.sankey(random_flow([3, 2]))
    with pytest.raises(InputError, match=r"most is 2\.5"):
        plots.sankey(FLOWS["small"], most=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected the result of nif\.measure"):
        plots.sankey("flow")  # type: ignore[arg-type]
    assert pyplot.get_fignums() == []
