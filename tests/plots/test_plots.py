"""Every figure shows the numbers of the flow, draws where it is told, and its texts do not overlap."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nif.comparison.compare import Comparison
from nif.core.errors import InputError
from nif.flow import communities as structure
from nif.flow.flow import Flow
from nif.flow.paths import Dag, shares, shares_stderr
from support.drawings import assert_apart, assert_readable, texts_of
from support.flows import flow_of, links_of, random_flow

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from nif import plots  # noqa: E402
from nif.plots.community_bands import bands_of  # noqa: E402
from nif.plots.palette import colours  # noqa: E402


def significant(flow: Flow) -> Flow:
    """Every third unit hears nothing that can be told from chance."""
    links = []
    for each in flow.links:
        p_value = np.full(each.nats.shape, 1e-6)
        p_value[:, ::3] = 0.9
        links.append(replace(each, p_value=p_value))
    return replace(flow, links=tuple(links))


NETWORKS = {
    "2 layers": random_flow([5, 3]),
    "4-10-3": significant(random_flow([4, 10, 3])),
    "64-32-16-10": random_flow([64, 32, 16, 10]),
    "skips": random_flow([5, 7, 7, 7, 2], [(0, 2), (1, 4)]),
    "20 layers": significant(random_flow([6] * 20)),
    "no information": flow_of([links_of([[-0.3]])], [1, 1]),
}
PLOTS: dict[str, Callable[..., Axes]] = {
    "attribution": plots.attribution,
    "links": plots.links,
    "profile": plots.profile,
    "communities": plots.communities,
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def flow(request: pytest.FixtureRequest) -> Flow:
    return request.param


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_no_text_lies_on_another_or_is_cut_off(draw: Callable[..., Axes], flow: Flow) -> None:
    assert_readable(draw(flow))


@pytest.mark.parametrize("name", ["4-10-3", "64-32-16-10", "20 layers"])
@pytest.mark.parametrize("draw", [*PLOTS.values(), plots.network], ids=[*PLOTS, "network"])
def test_no_text_lies_on_another_in_one_column_of_a_paper(draw: Callable[..., Axes], name: str) -> None:
    figure = pyplot.figure(figsize=(3.5, 2.8), layout="constrained")
    draw(NETWORKS[name], ax=figure.subplots())
    assert_apart(figure)


@pytest.mark.parametrize("draw", [*PLOTS.values(), plots.network], ids=[*PLOTS, "network"])
def test_it_draws_where_it_is_told_and_returns_that(draw: Callable[..., Axes]) -> None:
    ax = Figure(figsize=(5, 4)).subplots()
    assert draw(NETWORKS["4-10-3"], ax=ax) is ax
    assert pyplot.get_fignums() == [] and ax.has_data()


def test_names_are_taken_as_they_are() -> None:
    flow = NETWORKS["4-10-3"]
    odd = ("$x_1$ is $", "<b>", "line\nbreak", "x" * 10_000)
    named = replace(flow, layers=(replace(flow.layers[0], units=odd, name="$\\frac$"), *flow.layers[1:]))
    for draw in PLOTS.values():
        texts = [text.get_text() for text in texts_of(draw(named).figure)]
        assert max(map(len, texts)) < 150
    assert "$x_1$ is $" in [text.get_text() for text in texts_of(plots.attribution(named).figure)]


@pytest.mark.slow
def test_nif_is_imported_without_matplotlib() -> None:
    script = "import sys; sys.modules['matplotlib'] = None; import nif; nif.plots.profile"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_matplotlib_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in PLOTS.values():
        with pytest.raises(InputError, match=r"neural-information-flow\[plot\]"):
            draw(NETWORKS["2 layers"])


# Attribution


def comparison_of(flow: Flow, *methods: str) -> Comparison:
    names = list(flow.attribution().index)
    share = shares(Dag.of(flow.layers, flow.links))
    values = {"raw MI": np.roll(share, 2), "association": share} | {
        name: np.roll(share, 1) for name in methods
    }
    found = Comparison({"deletion": np.zeros(len(values))}, index=list(values))
    found.attributions = pd.concat(
        [pd.DataFrame({"method": m, "feature": names, "attribution": v}) for m, v in values.items()]
    )
    return found


def widths(container: object) -> list[float]:
    return [bar.get_width() for bar in container]  # type: ignore[attr-defined]


def test_bars_are_the_shares_of_the_flow_sorted(flow: Flow) -> None:
    ax = plots.attribution(flow)
    whole = flow.attribution().sum(axis=1)
    expected = np.sort(whole / max(whole.sum(), 1e-300))[::-1][:15]
    np.testing.assert_allclose(widths(ax.containers[0]), expected, atol=1e-12)


def test_one_class_is_drawn_with_the_interval_of_its_errors() -> None:
    flow = NETWORKS["4-10-3"]
    ax = plots.attribution(flow, label="output[1]", level=0.6827)
    whole = flow.attribution().to_numpy().sum()
    table = flow.attribution()["output[1]"].sort_values(ascending=False) / whole
    np.testing.assert_allclose(widths(ax.containers[0]), table)
    ends = [segment[1, 0] for segment in ax.containers[1].lines[2][0].get_segments()]
    half = flow.attribution_stderr()["output[1]"][table.index] / whole
    np.testing.assert_allclose(ends, table + half, rtol=1e-3)


def test_other_methods_stand_beside_in_the_order_of_the_flow() -> None:
    flow = NETWORKS["4-10-3"]
    found = comparison_of(flow, "SHAP", "integrated gradients", "random ranking")
    ax = plots.attribution(flow, found)
    bars = {each.get_label(): widths(each) for each in ax.containers if hasattr(each, "patches")}
    assert list(bars) == ["association", "SHAP", "integrated gradients", "raw MI"]
    order = np.argsort(-np.array(found.attributions.query("method == 'association'")["attribution"]))
    shap = found.attributions.query("method == 'SHAP'")["attribution"].to_numpy()
    np.testing.assert_allclose(bars["SHAP"], shap[order])
    assert_readable(ax)
    only = plots.attribution(flow, found, methods=["SHAP", "random ranking"])
    assert [c.get_label() for c in only.containers] == ["SHAP", "random ranking"]


def test_features_left_out_are_counted() -> None:
    ax = plots.attribution(NETWORKS["64-32-16-10"], most=10)
    assert len(ax.get_yticklabels()) == 10 and "54 weaker features not drawn" in ax.get_xlabel()


def test_errors_of_shares_are_those_of_perturbed_links() -> None:
    flow = random_flow([4, 6, 3], [(0, 2)], stderr=0.01)
    kept = [replace(each, nats=np.maximum(each.nats, 0) + 0.3 * (each.nats > 0)) for each in flow.links]
    stderr = shares_stderr(Dag.of(flow.layers, kept))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(2000):
        moved = [
            replace(e, nats=e.nats + e.stderr * (e.nats > 0) * rng.normal(size=e.nats.shape)) for e in kept
        ]
        drawn.append(shares(Dag.of(flow.layers, moved)))
    np.testing.assert_allclose(stderr, np.std(drawn, axis=0), rtol=0.1)


BAD_ATTRIBUTIONS: dict[str, tuple[dict[str, object], str]] = {
    "class": ({"label": "output[11]"}, "Did you mean 'output\\[1\\]'"),
    "level": ({"level": 95}, "level is 95; expected a number between 0 and 1"),
    "methods alone": ({"methods": ["SHAP"]}, "nif.compare"),
    "class and comparison": ({"label": "output[0]", "comparison": True}, "all classes"),
    "unknown method": ({"methods": ["LIME"], "comparison": True}, "no 'LIME'"),
}


@pytest.mark.parametrize(("options", "message"), BAD_ATTRIBUTIONS.values(), ids=BAD_ATTRIBUTIONS.keys())
def test_attribution_refuses(options: dict[str, object], message: str) -> None:
    flow = NETWORKS["4-10-3"]
    given = {**options, "comparison": comparison_of(flow)} if "comparison" in options else options
    with pytest.raises(InputError, match=message):
        plots.attribution(flow, **given)  # type: ignore[arg-type]


def test_a_comparison_of_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="other features"):
        plots.attribution(NETWORKS["4-10-3"], comparison_of(NETWORKS["2 layers"]))


# Links


def test_long_names_of_rows_leave_room_for_those_of_columns() -> None:
    flow = random_flow([10, 4], seed=1)
    names = (
        tuple(f"a feature with long name {i}" for i in range(10)),
        ("setosa", "versicol", "virginic", "none"),
    )
    layers = tuple(replace(layer, units=units) for layer, units in zip(flow.layers, names, strict=True))
    assert_readable(plots.links(replace(flow, layers=layers)))


def test_cells_are_links_ordered_by_community() -> None:
    flow = NETWORKS["64-32-16-10"]
    ax = plots.links(flow, "relu1", "relu2")
    community = flow.neurons()["community"]
    names = [
        [int(label.get_text()) for label in side] for side in (ax.get_yticklabels(), ax.get_xticklabels())
    ]
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(shown, flow.links[1].nats[np.ix_(*names)])
    for layer, order in zip(("relu1", "relu2"), names, strict=True):
        assert sorted(order) == list(range(len(order)))
        groups = community[layer].to_numpy()[order]
        assert (np.diff(groups[groups >= 0]) >= 0).all()
    top, side = ax.collections
    for strip, layer, order in ((top, "relu2", names[1]), (side, "relu1", names[0])):
        expected = colours(community[layer].to_numpy()[order].tolist())
        assert [to_hex(colour).upper() for colour in strip.get_facecolors()] == [c.upper() for c in expected]


def test_white_is_no_information_and_orange_less_than_none() -> None:
    image = plots.links(flow_of([links_of([[0.0, 0.6], [-0.3, 0.1]])], [2, 2])).images[0]
    assert to_hex(image.cmap(image.norm(0.0))) == "#ffffff"
    red, _, blue, _ = image.cmap(image.norm(-0.3))
    assert red > blue
    red, _, blue, _ = image.cmap(image.norm(0.6))
    assert blue > red


def test_layers_are_named_or_numbered_and_the_first_pair_is_the_default() -> None:
    flow = NETWORKS["skips"]
    expected = np.sort(flow.links[0].nats, axis=None)
    for ax in (plots.links(flow), plots.links(flow, 0, 1), plots.links(flow, "input", "relu1")):
        np.testing.assert_array_equal(np.sort(ax.images[0].get_array(), axis=None), expected)
    with pytest.raises(InputError, match="Did you mean 'relu1'"):
        plots.links(flow, "relu11")
    with pytest.raises(InputError, match="it feeds 'relu1', 'relu2'"):
        plots.links(flow, "input", "output")
    with pytest.raises(InputError, match="feeds no layer"):
        plots.links(flow, "output")
    with pytest.raises(InputError, match="There are 5 layers"):
        plots.links(flow, 7)


# Layers


def test_bars_are_the_sums_of_each_layer(flow: Flow) -> None:
    ax = plots.profile(flow)
    table = flow.neurons().groupby(level="layer", sort=False)[["inflow", "outflow"]].sum()
    bars = {
        each.get_label(): [bar.get_height() for bar in each.patches]
        for each in ax.containers
        if hasattr(each, "patches")
    }
    np.testing.assert_allclose(bars["nats in"], table["inflow"])
    np.testing.assert_allclose(bars["nats out"], table["outflow"])


def test_the_silent_share_fills_the_track_and_is_counted() -> None:
    flow = NETWORKS["4-10-3"]
    ax = plots.profile(flow)
    silent = flow.neurons()["silent"].groupby(level="layer", sort=False)
    assert 0 < silent.sum().sum() < 17
    tracks = [bar for bar in ax.patches if bar.get_height() == pytest.approx(0.045)]
    filled = [bar.get_width() / 0.76 for bar in tracks[1::2]]
    np.testing.assert_allclose(filled, silent.mean())
    for label, count in zip(ax.get_xticklabels(), silent.sum(), strict=True):
        assert (f"{count} silent" in label.get_text()) == (count > 0)


# Communities


def test_bands_conserve_the_flow_and_blocks_are_throughput(flow: Flow) -> None:
    bands = bands_of(flow)
    table = flow.neurons()
    for index, layer in enumerate(flow.layers):
        units = table.loc[[layer.name]]
        for group in range(8):
            inside = units["community"] == group
            assert bands.units[index, group] == inside.sum()
            assert bands.through[index, group] == pytest.approx(units["throughput"][inside].sum())
        into = sum(share.sum(axis=0) for (_, end), share in bands.between.items() if end == index)
        out = sum(share.sum(axis=1) for (begin, _), share in bands.between.items() if begin == index)
        if 0 < index < len(flow.layers) - 1:
            np.testing.assert_allclose(into, bands.through[index], atol=1e-12)
            np.testing.assert_allclose(out, bands.through[index], atol=1e-12)
        assert bands.through[index].sum() <= 1 + 1e-9


def test_blocks_do_not_overlap() -> None:
    ax = plots.communities(NETWORKS["64-32-16-10"])
    blocks = sorted((bar.get_x(), bar.get_y(), bar.get_y() + bar.get_height()) for bar in ax.patches)
    for (x0, _, high), (x1, low, _) in itertools.pairwise(blocks):
        assert x0 != x1 or high < low
    sizes = [len(layer) for layer in NETWORKS["64-32-16-10"].layers]
    label = structure.communities(structure.Graph.of(sizes, NETWORKS["64-32-16-10"].links)).label
    assert len({to_hex(bar.get_facecolor()) for bar in ax.patches}) == len(np.unique(label[label >= 0]))
