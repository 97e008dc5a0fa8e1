"""The picture shows what the flow says, and its texts do not lie on one another."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest

from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.flow.strongest import strongest
from nif.plots.attribution_bars import COLOURS
from nif.plots.layout import heights
from nif.plots.network_graph import MOST_LINKS, THINNEST_LINK
from nif.plots.palette import COMMUNITIES, COMMUNITIES_ON_DARK, OTHER, colours
from support.flows import flow_of, links_of, random_flow

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex, to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402


def deep(layers: int, width: int) -> Flow:
    return random_flow([width] * layers)


NETWORKS = {
    "4-10-3": random_flow([4, 10, 3]),
    "64-32-16-10": random_flow([64, 32, 16, 10]),
    "skips": random_flow([5, 7, 7, 7, 2], [(0, 2), (1, 4)]),
    "20 layers": deep(20, 6),
    "one link": flow_of([links_of([[0.3]])], [1, 1]),
    "no information": flow_of([links_of([[-0.3]])], [1, 1]),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def flow(request: pytest.FixtureRequest) -> Flow:
    return request.param


def test_no_text_lies_on_another_or_outside(flow: Flow) -> None:
    ax = flow.plot()
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts if text.get_text()]
    assert len(boxes) >= 2 * len(flow.layers)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    edge = ax.figure.bbox
    assert all(edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 for box in boxes)


def test_every_unit_is_drawn_in_the_colour_of_its_community(flow: Flow) -> None:
    discs = flow.plot().collections[1]
    table = flow.neurons()
    edges = [to_hex(colour).upper() for colour in np.broadcast_to(discs.get_edgecolors(), (len(table), 4))]
    assert edges == [colour.upper() for colour in colours(table["community"].tolist())]
    faces = discs.get_facecolors()
    hollow = (np.broadcast_to(faces, (len(table), 4)) == 1).all(axis=1)
    np.testing.assert_array_equal(hollow, table["silent"])


def test_size_grows_with_betweenness_within_a_layer() -> None:
    flow = NETWORKS["4-10-3"]
    sizes = flow.plot().collections[1].get_sizes()[4:14]
    central = flow.neurons()["betweenness"].to_numpy()[4:14]
    np.testing.assert_array_equal(np.argsort(sizes, kind="stable"), np.argsort(central, kind="stable"))


def test_width_and_opacity_grow_with_nats() -> None:
    flow = NETWORKS["4-10-3"]
    lines = flow.plot().collections[0]
    edges = np.sort(flow.edges().query("nats > 0")["nats"])
    widths = np.asarray(lines.get_linewidths())
    assert len(widths) == len(edges)
    wider = widths - THINNEST_LINK
    np.testing.assert_allclose(wider / wider.max(), edges / edges.max(), atol=1e-9)
    assert (np.diff(lines.get_colors()[:, 3]) >= 0).all()


def test_links_run_between_the_discs_of_their_units() -> None:
    flow = flow_of([links_of([[0.0, 0.7], [0.2, 0.0]])], [2, 2])
    ax = flow.plot()
    places = ax.collections[1].get_offsets()
    ends = {tuple(np.round([*path[0], *path[-1]], 6)) for path in ax.collections[0].get_segments()}
    expected = {tuple(np.round([*places[a], *places[b]], 6)) for a, b in ((0, 3), (1, 2))}
    assert ends == expected


def test_only_the_strongest_links_of_a_wide_network_are_drawn_and_that_is_said() -> None:
    flow = random_flow([90, 90, 3])
    ax = flow.plot()
    assert len(ax.collections[0].get_segments()) == MOST_LINKS
    total = int((flow.edges()["nats"] > 0).sum())
    assert any(f"the strongest {MOST_LINKS:,} of {total:,} links" in text.get_text() for text in ax.texts)


def test_the_strongest_links_are_the_first_of_all_links_sorted() -> None:
    flow = random_flow([20, 30, 3], [(0, 2)])
    edges = flow.edges().query("nats > 0").sort_values("nats", ascending=False, kind="stable")
    names = [unit for layer in flow.layers for unit in layer.units]
    for most in (1, 50, 10_000):
        found = strongest(flow.links, [20, 30, 3], most)
        first = edges.head(most)
        np.testing.assert_array_equal(found.nats, first["nats"])
        np.testing.assert_array_equal(found.p_value, first["p_value"])
        assert [names[unit] for unit in found.source] == first["source_unit"].tolist()
        assert [names[unit] for unit in found.target] == first["target_unit"].tolist()
        assert found.of == len(edges)


def test_names_are_taken_as_they_are() -> None:
    flow = NETWORKS["4-10-3"]
    odd = ("$x_1$ is $", "<b>", "line\nbreak", "x" * 10_000)
    named = replace(flow, layers=(replace(flow.layers[0], units=odd), *flow.layers[1:]))
    ax = named.plot()
    ax.figure.canvas.draw()
    texts = [text.get_text() for text in ax.texts]
    assert "$x_1$ is $" in texts and "line break" in texts and max(map(len, texts)) < 150


def test_it_draws_where_it_is_told_and_returns_that() -> None:
    ax = Figure(figsize=(4, 3)).subplots()
    assert NETWORKS["64-32-16-10"].plot(ax) is ax and isinstance(ax, Axes)
    assert pyplot.get_fignums() == []


def test_matplotlib_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"neural-information-flow\[plot\]"):
        NETWORKS["one link"].plot()


def test_units_stand_where_they_listen() -> None:
    links = [links_of([[0.0, 1.0], [1.0, 0.0]])]
    np.testing.assert_array_equal(heights([2, 2], links)[1], heights([2, 2], links)[0][::-1])
    np.testing.assert_array_equal(heights([2, 2], links, fixed=[1])[1], heights([2, 2], links)[0])


def test_units_that_hear_nothing_stand_below() -> None:
    """In the midst they would leave a hole that all links go around."""
    placed = heights([2, 3], [links_of([[0.0, 0.0, 1.0], [0.5, -1.0, 0.0]])])[1]
    assert placed.argmin() == 1 and placed[2] > placed[0]


def test_classes_of_a_wide_network_stand_apart() -> None:
    tall, narrow = heights([784, 10], [])
    assert np.ptp(tall) == 1 and np.ptp(narrow) == pytest.approx(10 / 32)
    assert np.ptp(heights([20, 5], [])[1]) == pytest.approx(0.5)  # by the square root, as others


PALETTES = {
    "on light": (*COMMUNITIES, OTHER),
    "on dark": (*COMMUNITIES_ON_DARK, OTHER),
    "methods": (*COLOURS.values(),),
}
SIGHT = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""How linear red, green and blue are seen (Machado, Oliveira & Fernandes, 2009, severity 1)."""

XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, sight: str) -> np.ndarray:
    """CIELAB of a colour as it is seen: the distance of two that can just be told apart is about 2.3."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(XYZ @ np.clip(np.array(SIGHT[sight]) @ linear, 0, 1) / XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES.keys())
def test_colours_stay_apart_with_any_kind_of_colour_vision(palette: tuple[str, ...], sight: str) -> None:
    for one, other in itertools.combinations(palette, 2):
        assert np.linalg.norm(lab(one, sight) - lab(other, sight)) > 12, (one, other)


def test_small_communities_share_one_colour() -> None:
    assert len(set(colours(range(8)))) == 8 and set(colours([8, 99, -1])) == {OTHER}
