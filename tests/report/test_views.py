"""The views beside the network in a real browser, and names that try to do something."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import nif
from nif.flow.flow import Flow
from nif.report.caveats import caveats
from support.browsing import FLOW, VIEWS, column_of, facts, find, pixels_of
from support.flows import flow_of, links_of, random_flow

HOSTILE = (
    "<script>window.ran = true</script>", "</script><script>window.ran = true</script>",
    "<img src=x onerror='window.ran = true'>", '"><b>&amp;', "=cmd()", "\u202eright to left", "🧠 émoji",
    "x" * 10_000, "twice", "twice", "", "line\nbreak", "\\u003c", "${window.ran = true}",
)  # fmt: skip


def test_choosing_a_class_shows_its_attribution_with_intervals(show: Any) -> None:
    page = show(FLOW)
    page.select_option("#class", "2")
    assert "of this class" in page.inner_text("#shown")
    page.click("#tab-attribution")
    whole = FLOW.attribution().to_numpy().sum()
    expected = FLOW.attribution()["virginica"].sort_values(ascending=False) / whole
    errors = FLOW.attribution_stderr()["virginica"][expected.index] / whole
    assert page.locator(".bars .name").all_inner_texts() == expected.index.tolist()
    for said, value, error in zip(
        page.locator(".bars .value").all_inner_texts(), expected, errors, strict=True
    ):
        numbers = [float(number) / 100 for number in re.findall(r"[\d.]+", said)]
        wanted = [value, max(value - 1.96 * error, 0), value + 1.96 * error]
        np.testing.assert_allclose(numbers, wanted, rtol=0.01, atol=6e-5)
    widths = page.evaluate("Array.from(document.querySelectorAll('.bar'), (bar) => bar.offsetWidth)")
    np.testing.assert_allclose(np.array(widths) / widths[0], expected / expected.iloc[0], atol=0.02)


def test_the_page_says_where_intervals_come_from(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-attribution")
    assert "from the errors of the links, taken as independent" in page.inner_text("#attribution")
    net = torch.nn.Linear(2, 2)
    measured = nif.measure(net, torch.randn(100, 2), nif.Binned(), progress=False)
    page = show(measured)
    page.click("#tab-attribution")
    assert "from the influence of each row of the data" in page.inner_text("#attribution")


def brightness(page: Any, rows: int, columns: int) -> np.ndarray:
    """Of the middle of each cell of the picture; the more attribution, the less."""
    drawn = pixels_of(page, "canvas.image")[..., :3].sum(axis=-1).astype(int)
    cell = drawn.shape[1] // columns
    centres = drawn[cell // 2 :: cell, cell // 2 :: cell]
    assert centres.shape == (rows, columns)
    return centres


def test_pixels_show_as_a_picture(show: Any) -> None:
    flow = flow_of([links_of([[0.0], [1.0], [0.2], [0.0], [0.0], [0.0]])], [6, 1])
    names = tuple(f"x[{row},{column}]" for row in range(2) for column in range(3))
    page = show(replace(flow, layers=(replace(flow.layers[0], units=names), flow.layers[1])))
    page.click("#tab-attribution")
    seen = brightness(page, 2, 3)
    assert seen.argmin() == 1 and seen[0, 1] < seen[0, 2] < seen[0, 0] == seen[1, 2]
    assert "maximum at row 0, column 1: 83.3 %" in page.inner_text("figure")
    box = page.locator("canvas.image").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 5 / 6, box["y"] + box["height"] / 4)
    assert "row 0, column 2: 16.7 %" in page.inner_text("figure")


def test_a_class_has_a_picture_of_its_own(show: Any) -> None:
    flow = flow_of([links_of([[0.9, 0.0], [0.0, 0.1], [0.0, 0.0], [0.0, 0.5]])], [4, 2])
    names = ("x[0,0]", "x[0,1]", "x[1,0]", "x[1,1]")
    page = show(replace(flow, layers=(replace(flow.layers[0], units=names), flow.layers[1])))
    page.click("#tab-attribution")
    assert brightness(page, 2, 2).argmin() == 0
    page.locator("#attribution select").select_option("1")
    assert brightness(page, 2, 2).argmin() == 3


def test_link_map_reads_the_links_between_two_layers(show: Any) -> None:
    weights = [[0.5, -0.1], [0.1, 0.3]]
    page = show(flow_of([links_of(weights)], [2, 2]))
    page.click("#tab-map")
    assert "0.500 nats" in page.locator("#map .scale").locator("..").inner_text().replace("\n", " ")
    box = page.locator("#cells").bounding_box()
    cell = 28
    left, up = box["x"] + box["width"] - 2 * cell, box["y"] + box["height"] - 2 * cell
    seen = set()
    for row in range(2):
        for column in range(2):
            page.mouse.move(left + cell * (column + 0.5), up + cell * (row + 0.5))
            seen.add(page.inner_text("#readout"))
    assert {text.split(",")[0] for text in seen if "nats" in text} == {
        "input[0] → output[0] · 0.500 nats", "input[1] → output[0] · 0.100 nats",
        "input[1] → output[1] · 0.300 nats",
    }  # fmt: skip
    assert "input[0] → output[1]: no link with information" in seen


def test_link_map_of_a_wide_layer_leaves_out_units_without_links(show: Any) -> None:
    weights = np.zeros((60, 3))
    weights[[4, 50]] = [[0.1, 0.2, 0.3], [0.4, 0.0, 0.5]]
    page = show(flow_of([links_of(weights)], [60, 3]))
    page.click("#tab-map")
    assert "58 units without a link here are left out." in page.inner_text("#map")
    box, cell = page.locator("#cells").bounding_box(), 28
    seen = set()
    for row in range(2):
        for column in range(3):
            at = (
                box["x"] + box["width"] - cell * (2.5 - column),
                box["y"] + box["height"] - cell * (1.5 - row),
            )
            page.mouse.move(*at)
            seen.add(page.inner_text("#readout").partition(",")[0])
    assert {text for text in seen if "nats" in text} == {
        f"input[{unit}] → output[{end}] · {weights[unit, end]:.3f} nats"
        for unit, end in zip(*np.nonzero(weights), strict=True)
    }


def test_link_map_of_a_narrow_layer_beside_a_wide_one_uses_the_room(show: Any) -> None:
    """Cells are wider than high, and each still reads as its own link."""
    weights = np.linspace(0.1, 1, 200 * 3).reshape(200, 3)
    page = show(flow_of([links_of(weights)], [200, 3]))
    page.click("#tab-map")
    canvas = page.locator("#cells")
    box = canvas.bounding_box()
    height, width = (box["height"] - 8) // 200, (box["width"] - 8) // 3
    assert height < width == 3 * height
    shown, right, bottom = {}, box["x"] + box["width"], box["y"] + box["height"]
    for row in (0, 1, 50, 90):
        for column in range(3):
            at = right + width * (column - 2.5), bottom + height * (row - 199.5)
            page.mouse.move(*at)
            pair, nats = page.inner_text("#readout").split(" · ")[:2]
            shown[pair] = float(nats.split()[0])
    assert len(shown) == 12
    for pair, nats in shown.items():
        source, target = (int(name.partition("[")[2].rstrip("]")) for name in pair.split(" → "))
        assert nats == pytest.approx(weights[source, target], abs=6e-4)


def test_layers_show_what_comes_in_and_goes_out(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-layers")
    sums = FLOW.neurons().groupby("layer", sort=False)[["silent", "inflow", "outflow"]].sum()
    for row, (name, found) in zip(page.locator("#layers tbody tr").all(), sums.iterrows(), strict=True):
        cells = row.locator("td").all_inner_texts()
        assert cells[0] == name and int(cells[4]) == found["silent"]
        assert float(cells[1]) == pytest.approx(found["inflow"], abs=6e-4)
        assert float(cells[2]) == pytest.approx(found["outflow"], abs=6e-4)
    assert f"{FLOW.modularity:.3f}" in page.inner_text("#layers")


def test_tables_sort_and_copy(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-neurons")
    page.click("#neurons th button:has-text('nats out')")
    table = FLOW.neurons()
    order = table["outflow"].sort_values(ascending=False, kind="stable")
    assert column_of(page, "neurons", 2) == [unit for _, unit in order.index]
    page.click("#neurons th button:has-text('nats out')")
    assert column_of(page, "neurons", 2)[-1] == order.index[0][1]
    page.evaluate(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    page.click("#tab-links")
    page.click("#links .copy")
    lines = page.evaluate("window.copied").split("\n")
    strongest = FLOW.edges().nlargest(1, "nats").iloc[0]
    assert lines[0] == "from,to,nats,± 95 %,p,from layer,to layer"
    source, target, nats, *_, source_layer, target_layer = lines[1].split(",")
    assert [source, target] == [f'"{strongest[name]}"' for name in ("source_unit", "target_unit")]
    assert [source_layer, target_layer] == [
        f'"{strongest[name]}"' for name in ("source_layer", "target_layer")
    ]
    assert float(nats) == pytest.approx(strongest["nats"])
    assert len(lines) == 1 + (FLOW.edges()["nats"] > 0).sum()


def test_method_tells_the_options_and_their_caveats(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-method")
    said = facts(page, "#method")
    assert said["estimator"] == "Mine() (chosen automatically)" and said["noise"] == "0.1"
    assert said["samples"] == "400" and said["seed"] == "0" and said["relevance"] == "unit"
    assert page.locator("#method li").all_inner_texts() == caveats(FLOW.measurement)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_nothing_is_cut_off_at_the_side(show: Any, width: int, height: int) -> None:
    page = show(FLOW, width, height)
    for tab in ("network", *VIEWS):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#tab-network")
    assert page.locator("#picture").bounding_box()["height"] >= 300


@pytest.mark.slow
def test_hostile_names_show_as_text_and_run_nothing(show: Any) -> None:
    flow = random_flow([len(HOSTILE), 3, 2], seed=3)
    layers = (
        replace(flow.layers[0], units=HOSTILE),
        replace(flow.layers[1], name=HOSTILE[0]),
        replace(flow.layers[2], name=HOSTILE[2], units=HOSTILE[1:3]),
    )
    page = show(replace(flow, layers=layers))
    for tab in VIEWS:
        page.click(f"#tab-{tab}")
    assert page.evaluate("window.ran") is None and page.locator("main img, main b").count() == 0
    texts = column_of(page, "neurons", 2)
    assert HOSTILE[0] in texts and HOSTILE[3] in texts and max(map(len, texts)) <= 80
    page.click("#tab-network")
    find(page, "onerror")
    assert page.inner_text("#detail h2") == HOSTILE[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    kept = json.loads(page.evaluate("document.getElementById('meta').textContent"))
    assert tuple(kept["layers"][0]["units"]) == HOSTILE


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_long_names_end_inside_the_picture_and_the_panel(show: Any, width: int, height: int) -> None:
    flow = random_flow([3, 3, 2], seed=3)
    names = ("a long name of a class, of forty letters", "w" * 300)
    last = replace(flow.layers[2], name="m" * 300, units=names)
    page = show(replace(flow, layers=(*flow.layers[:2], last)), width, height)
    assert not pixels_of(page, "#base")[60:, -2:, 3].any()
    find(page, names[0])
    wide, room = page.locator("#detail").evaluate("(panel) => [panel.scrollWidth, panel.clientWidth]")
    assert wide <= room


def test_neurons_are_listed_layer_by_layer_those_that_carry_most_first(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-neurons")
    table = FLOW.neurons()["throughput"].reset_index(level="layer")
    number = {layer.name: place for place, layer in enumerate(FLOW.layers)}
    table["place"] = table["layer"].map(number)
    table["against"] = -table["throughput"].astype("f4")
    assert column_of(page, "neurons", 2) == list(table.sort_values(["place", "against"], kind="stable").index)


def test_names_that_are_cut_keep_the_end_by_which_they_differ(show: Any) -> None:
    flow = random_flow([3, 3, 2], seed=3)
    names = tuple(f"encoder.{'layers.' * 20}attention[{unit}]" for unit in range(3))
    page = show(replace(flow, layers=(replace(flow.layers[0], units=names), *flow.layers[1:])))
    page.click("#tab-neurons")
    cut = sorted(name for name in column_of(page, "neurons", 2) if name.startswith("encoder."))
    assert [(len(name), name[-12:]) for name in cut] == [(80, f"attention[{unit}]") for unit in range(3)]


def test_the_buttons_lie_on_no_name(show: Any) -> None:
    page = show(random_flow([6] * 3), 390, 844)
    box, button = (page.locator(name).bounding_box() for name in ("#base", "#out"))
    drawn = pixels_of(page, "#base")[..., 3]
    assert not drawn[int(button["y"] - box["y"]) :, int(button["x"] - box["x"]) :].any()


ODD = {
    "one neuron a layer": flow_of([links_of([[0.3]])], [1, 1]),
    "all links 0": flow_of([links_of(np.zeros((3, 2)))], [3, 2]),
    "all constant": flow_of([links_of(np.zeros((1, 1)), p_value=1.0)], [1, 1], [(0, 0), (1, 0)]),
    "twenty layers": random_flow([3] * 20),
}


@pytest.mark.slow
@pytest.mark.parametrize("flow", ODD.values(), ids=ODD.keys())
def test_odd_flows_have_a_page_that_works(show: Any, flow: Flow) -> None:
    page = show(flow)
    for tab in (*VIEWS, "network"):
        page.click(f"#tab-{tab}")
    said = page.text_content("#method")
    assert ("No link carries information" in said) == (not (flow.edges()["nats"] > 0).any())
    assert "NaN" not in page.inner_text("body")
