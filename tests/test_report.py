"""The page in a real browser: what it shows is what the flow says, and names can do nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import flow_of, links_of, random_flow
from nif.contracts import InputError
from nif.flow import Flow
from nif.report.caveats import caveats
from nif.report.pixels import pixels

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
HOSTILE = (
    "<script>window.ran = true</script>", "</script><script>window.ran = true</script>",
    "<img src=x onerror='window.ran = true'>", '"><b>&amp;', "=cmd()", "\u202eright to left", "🧠 émoji",
    "x" * 10_000, "twice", "twice", "", "line\nbreak", "\\u003c", "${window.ran = true}",
)  # fmt: skip


def named() -> Flow:
    """4 features with names, a skip, and one constant unit."""
    flow = random_flow([4, 10, 6, 3], [(1, 3)], seed=1)
    flow.constant[1][4] = True
    silenced = [
        replace(
            found,
            nats=np.where(
                np.add.outer(flow.constant[found.source], flow.constant[found.target]), 0, found.nats
            ),
        )
        for found in flow.links
    ]
    features = ("sepal length", "sepal width", "petal length", "petal width")
    layers = (replace(flow.layers[0], units=features), *flow.layers[1:-1])
    output = replace(flow.layers[-1], units=("setosa", "versicolor", "virginica"))
    return replace(flow, layers=(*layers, output), links=tuple(silenced))


FLOW = named()


# The file


def embedded(path: Path, name: str, kind: str) -> np.ndarray:
    found = re.search(f'id="data-{name}">([^<]*)<', path.read_text("utf-8"))
    assert found
    return np.frombuffer(base64.b64decode(found[1]), dtype=kind)


def test_the_page_holds_the_numbers_of_the_flow(tmp_path: Path) -> None:
    FLOW.report(tmp_path / "flow.html")
    page, table = tmp_path / "flow.html", FLOW.neurons()
    for name in ("betweenness", "throughput", "inflow", "outflow", "p_value", "q_value"):
        np.testing.assert_allclose(embedded(page, name, "<f4"), table[name], rtol=1e-6, atol=1e-30)
    np.testing.assert_array_equal(embedded(page, "community", "<i4"), table["community"])
    np.testing.assert_array_equal(embedded(page, "silent", "u1"), table["silent"])
    edges = FLOW.edges().query("nats > 0").sort_values("nats", ascending=False)
    np.testing.assert_allclose(embedded(page, "nats", "<f4"), edges["nats"], rtol=1e-6)
    by_class = embedded(page, "attribution", "<f4").reshape(4, 4)
    np.testing.assert_allclose(by_class[:, :3], FLOW.attribution(), rtol=1e-5)
    np.testing.assert_allclose(by_class[:, 3], FLOW.attribution().sum(axis=1), rtol=1e-5)
    errors = embedded(page, "attribution_stderr", "<f4").reshape(4, 4)
    np.testing.assert_allclose(errors[:, :3], FLOW.attribution_stderr(), rtol=1e-5)


def test_the_error_of_all_classes_counts_what_they_share() -> None:
    one = flow_of([links_of([[0.5]], stderr=0.1), links_of([[1.0, 1.0]], 1, 2, stderr=0.0)], [1, 1, 2])
    from nif.paths import Dag, attribution_stderr

    both = attribution_stderr(Dag((1, 1, 2), one.links), of=np.ones((2, 1)))
    np.testing.assert_allclose(both, [[0.2]])  # not the 0.1 * sqrt(2) of two independent ones


def test_a_path_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be written"):
        FLOW.report(tmp_path / "missing" / "flow.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="can not be written"):
        FLOW.report(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_links_left_out_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 10)
    FLOW.report(tmp_path / "flow.html")
    text = (tmp_path / "flow.html").read_text("utf-8")
    total = int((FLOW.edges()["nats"] > 0).sum())
    assert f"strongest 10 links and leaves out {total - 10} weaker ones" in text
    assert len(embedded(tmp_path / "flow.html", "nats", "<f4")) == 10


def test_the_page_itself_is_small(tmp_path: Path) -> None:
    flow_of([links_of([[0.1]])], [1, 1]).report(tmp_path / "flow.html")
    assert (tmp_path / "flow.html").stat().st_size < 300_000


CAVEATS = {
    "layer": ({"relevance": "layer"}, {}, "the same for all its units"),
    "index": ({"order": "index"}, {}, "renumbering"),
    "joint": ({"critic": "joint"}, {}, "no maximum"),
    "beta": ({"beta": 1.0}, {}, "fixed beta of 1.0"),
    "no noise": ({}, {"noise": 0.0}, "No noise channel"),
    "noise": ({}, {"noise": 0.25}, "0.25 of its standard deviation"),
    "not converged": ({}, {"not_converged": 7}, "7 of 40 terms"),
    "few": ({}, {"samples": 60}, "60 rows of data are few"),
}


@pytest.mark.parametrize(("options", "changes", "said"), CAVEATS.values(), ids=CAVEATS.keys())
def test_caveats_fit_the_options(options: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    plain = replace(FLOW.measurement, decomposition={}, noise=0.1, not_converged=0, samples=5000)
    other = replace(plain, decomposition=options, **changes)
    assert any(said in sentence for sentence in caveats(other))
    if said != "0.25 of its standard deviation":
        assert not any(said in sentence for sentence in caveats(plain))


def test_pixels_are_read_from_names() -> None:
    assert pixels([f"pixel_{i}_{j}" for i in range(2) for j in range(3)]) == {
        "shape": [2, 3], "place": [0, 1, 2, 3, 4, 5],
    }  # fmt: skip
    channels = pixels([f"x[{c},{i},{j}]" for c in range(3) for i in range(2) for j in range(2)])
    assert channels == {"shape": [2, 2], "place": [0, 1, 2, 3] * 3}
    for names in (["a 1 2"], ["x1", "x2"], ["x[0,0]", "x[0,1]", "x[1,0]"], ["x[0,0]", "width"]):
        assert pixels(names) is None


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the report of a flow; at the end there was no message, no error and no request."""
    troubles: list[str] = []

    def opened(flow: Flow, width: int = 1280, height: int = 800, scheme: str = "light") -> Any:
        flow.report(tmp_path / "flow.html")
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        address = (tmp_path / "flow.html").as_uri()
        page.on("request", lambda asked: troubles.append(asked.url) if asked.url != address else None)
        page.goto(address)
        page.wait_for_timeout(50)
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert troubles == []


def pixels_of(page: Any, canvas: str) -> np.ndarray:
    """Red, green, blue and opacity, 0 to 255."""
    image = pytest.importorskip("matplotlib.image")
    address = page.evaluate("(id) => document.getElementById(id).toDataURL('image/png')", canvas)
    drawn = image.imread(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.round(drawn * 255).astype(np.uint8)


def place_of(page: Any, colour: str, column: float) -> tuple[float, float]:
    """A point of the picture that has this colour, in the given share of its width."""
    drawn = pixels_of(page, "base")
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    hits = np.argwhere(
        (np.abs(drawn[..., :3].astype(int) - wanted).sum(axis=-1) < 6) & (drawn[..., 3] == 255)
    )
    hits = hits[np.abs(hits[:, 1] / drawn.shape[1] - column) < 0.1]
    box = page.locator("#picture").bounding_box()
    row, at = np.median(hits, axis=0)
    return box["x"] + at + 1, box["y"] + row + 1


def test_the_network_is_drawn_with_its_colours(show: Any) -> None:
    page = show(FLOW)
    drawn = pixels_of(page, "base")
    colours = {tuple(pixel) for pixel in drawn[drawn[..., 3] == 255][:, :3]}
    from nif.report.palette import COMMUNITIES

    for label in set(FLOW.neurons().query("not silent")["community"]):
        wanted = tuple(int(COMMUNITIES[label][i : i + 2], 16) for i in (1, 3, 5))
        assert wanted in colours
    assert "4-10-6-3 units" in page.inner_text("#summary")


def shown_number(page: Any) -> int:
    return int(page.inner_text("#shown").split(" of ")[0].replace(",", ""))


def test_the_slider_keeps_the_strongest_links_up_to_a_share(show: Any) -> None:
    page = show(FLOW)
    nats = np.sort(FLOW.edges().query("nats > 0")["nats"])[::-1]
    assert shown_number(page) == len(nats)
    page.locator("#share").fill("500")
    expected = int(np.searchsorted(np.cumsum(nats), nats.sum() / 2) + 1)
    assert shown_number(page) == expected
    half = f"{expected} of {len(nats)} links, {100 * nats[:expected].sum() / nats.sum():.1f} %"
    assert page.inner_text("#shown").startswith(half)


def find(page: Any, text: str) -> None:
    page.fill("#find", text)
    page.press("#find", "Enter")


def facts(page: Any, panel: str = "#detail") -> dict[str, str]:
    terms = page.locator(f"{panel} dt").all_inner_texts()
    return dict(zip(terms, page.locator(f"{panel} dd").all_inner_texts(), strict=True))


def test_search_pins_a_neuron_with_its_numbers_links_and_paths(show: Any) -> None:
    page = show(FLOW)
    find(page, "relu2[3]")
    row, said = FLOW.neurons().loc[("relu2", "relu2[3]")], facts(page)
    assert page.inner_text("#detail h2") == "relu2[3]" and said["layer"] == "relu2"
    assert float(said["nats in"]) == pytest.approx(row["inflow"], abs=5e-4)
    assert float(said["nats out"]) == pytest.approx(row["outflow"], abs=5e-4)
    assert float(said["throughput"].rstrip(" %")) == pytest.approx(100 * row["throughput"], abs=0.06)
    assert float(said["q"]) == pytest.approx(row["q_value"], abs=6e-4)
    assert said["community"] == str(row["community"]) and said["silent"] == ("yes" if row["silent"] else "no")

    strongest = FLOW.edges().query("target_unit == 'relu2[3]' and nats > 0").nlargest(8, "nats")
    into = page.locator("#detail .rows").first.locator("li")
    assert [item.split("\n")[0] for item in into.all_inner_texts()] == strongest["source_unit"].tolist()
    value = into.first.locator(".value").inner_text()
    assert value.startswith(f"{strongest['nats'].iloc[0]:.3f} ± {1.96 * strongest['stderr'].iloc[0]:.3f}, p")

    best = max(
        (FLOW.paths(feature, ("relu2", 3), k=1) for feature in FLOW.layers[0].units),
        key=lambda found: found["product"].iloc[0] if len(found) else 0.0,
    ).iloc[0]
    first = page.locator("#detail .paths").first.locator("li").first
    assert first.locator(".name").inner_text() == " → ".join(unit for _, unit in best["path"])
    assert float(first.locator(".value").inner_text()) == pytest.approx(best["product"], abs=5e-4)


def test_search_lists_what_it_finds_and_says_when_there_is_nothing(show: Any) -> None:
    page = show(FLOW)
    page.fill("#find", "sepal")
    assert [text.split(" · ")[0] for text in page.locator("#found button").all_inner_texts()] == [
        "sepal length", "sepal width",
    ]  # fmt: skip
    page.locator("#found button").nth(1).click()
    assert page.inner_text("#detail h2") == "sepal width"
    page.fill("#find", "tulip")
    assert "no such neuron" in page.inner_text("#found")


def test_hover_shows_and_click_pins_the_neuron_under_the_pointer(show: Any) -> None:
    bottleneck = flow_of([links_of(np.ones((3, 1))), links_of(np.ones((1, 2)), 1, 2)], [3, 1, 2])
    page = show(bottleneck)
    from nif.report.palette import COMMUNITIES

    at = place_of(page, COMMUNITIES[bottleneck.neurons()["community"].loc[("relu1", "relu1[0]")]], 0.5)
    page.mouse.move(*at)
    tip = page.inner_text("#tip")
    error = 1.96 * 0.01 * np.sqrt(3)
    assert "relu1[0]" in tip and f"in 3.000 nats, 95 %: {3 - error:.3f} to {3 + error:.3f}" in tip
    assert "p .0001" in tip or "p < .0001" in tip
    page.mouse.click(*at)
    assert page.inner_text("#detail h2") == "relu1[0]"
    assert pixels_of(page, "over")[..., 3].any()


def test_choosing_a_class_shows_its_attribution_with_intervals(show: Any) -> None:
    page = show(FLOW)
    page.select_option("#class", "2")
    assert "of this class" in page.inner_text("#shown")
    page.click("#tab-attribution")
    expected = FLOW.attribution()["virginica"].sort_values(ascending=False)
    errors = FLOW.attribution_stderr()["virginica"][expected.index]
    assert page.locator(".bars .name").all_inner_texts() == expected.index.tolist()
    for said, value, error in zip(
        page.locator(".bars .value").all_inner_texts(), expected, errors, strict=True
    ):
        numbers = [float(number) for number in re.findall(r"[\d.]+(?:e-\d+)?", said)]
        wanted = [value, max(value - 1.96 * error, 0), value + 1.96 * error]
        np.testing.assert_allclose(numbers, wanted, rtol=0.06, atol=1e-9)
    widths = page.evaluate("Array.from(document.querySelectorAll('.bar'), (bar) => bar.offsetWidth)")
    np.testing.assert_allclose(np.array(widths) / widths[0], expected / expected.iloc[0], atol=0.02)


def test_pixels_show_as_a_picture(show: Any) -> None:
    flow = flow_of([links_of([[0.0], [1.0], [0.2], [0.0], [0.0], [0.0]])], [6, 1])
    names = tuple(f"x[{row},{column}]" for row in range(2) for column in range(3))
    page = show(replace(flow, layers=(replace(flow.layers[0], units=names), flow.layers[1])))
    page.click("#tab-attribution")
    drawn = pixels_of(page, "image")[..., :3].sum(axis=-1).astype(int)
    cell = drawn.shape[1] // 3
    centres = drawn[cell // 2 :: cell, cell // 2 :: cell]
    assert centres.shape == (2, 3) and centres.argmin() == 1
    assert centres[0, 1] < centres[0, 2] < centres[0, 0] == centres[1, 2]


def test_silent_neurons_can_be_hidden(show: Any) -> None:
    page = show(FLOW)
    before = pixels_of(page, "base")
    page.check("#hide")
    page.wait_for_timeout(50)
    assert (pixels_of(page, "base") != before).any()
    find(page, "relu1[4]")  # silent: searching for it brings it back
    assert not page.is_checked("#hide") and facts(page)["silent"] == "yes"


def test_link_map_reads_the_links_between_two_layers(show: Any) -> None:
    weights = [[0.5, -0.1], [0.1, 0.3]]
    page = show(flow_of([links_of(weights)], [2, 2]))
    page.click("#tab-map")
    box = page.locator("#cells").bounding_box()
    cell = (box["width"] - 8) / 2
    seen = set()
    for row in range(2):
        for column in range(2):
            page.mouse.move(box["x"] + 8 + cell * (column + 0.5), box["y"] + 8 + cell * (row + 0.5))
            seen.add(page.inner_text("#readout"))
    assert {text.split(",")[0] for text in seen if "nats" in text} == {
        "input[0] → output[0] · 0.500 nats", "input[1] → output[0] · 0.100 nats",
        "input[1] → output[1] · 0.300 nats",
    }  # fmt: skip
    assert "input[0] → output[1]: no link with information" in seen


def test_layers_show_what_comes_in_and_goes_out(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-layers")
    sums = FLOW.neurons().groupby("layer", sort=False)[["silent", "inflow", "outflow"]].sum()
    for row, (name, found) in zip(page.locator("#layers tbody tr").all(), sums.iterrows(), strict=True):
        cells = row.locator("td").all_inner_texts()
        assert cells[0] == name and int(cells[3]) == found["silent"]
        assert float(cells[5]) == pytest.approx(found["inflow"], abs=6e-4)
        assert float(cells[6]) == pytest.approx(found["outflow"], abs=6e-4)
    assert f"{FLOW.modularity:.3f}" in page.inner_text("#layers")


def test_tables_sort_and_copy(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-neurons")
    page.click("#neurons th button:has-text('nats out')")
    table = FLOW.neurons()
    order = table["outflow"].sort_values(ascending=False, kind="stable")
    assert column(page, "neurons", 2) == [unit for _, unit in order.index]
    page.click("#neurons th button:has-text('nats out')")
    assert column(page, "neurons", 2)[-1] == order.index[0][1]
    page.evaluate(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    page.click("#tab-links")
    page.click("#links .copy")
    lines = page.evaluate("window.copied").split("\n")
    strongest = FLOW.edges().nlargest(1, "nats").iloc[0]
    assert lines[1].startswith(
        f'"{strongest["source_layer"]}","{strongest["source_unit"]}","{strongest["target_layer"]}",'
    )
    assert len(lines) == 1 + (FLOW.edges()["nats"] > 0).sum()


def column(page: Any, section: str, number: int) -> list[str]:
    texts: list[str] = page.locator(f"#{section} tbody td:nth-child({number})").all_inner_texts()
    return texts


def test_method_tells_the_options_and_their_caveats(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-method")
    said = facts(page, "#method")
    assert said["estimator"] == "Mine() (chosen automatically)" and said["noise"] == "0.1"
    assert said["samples"] == "400" and said["seed"] == "0" and said["relevance"] == "unit"
    assert page.locator("#method li").all_inner_texts() == caveats(FLOW.measurement)


def test_the_keyboard_reaches_everything(show: Any) -> None:
    page = show(FLOW)
    page.focus("#picture")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#tip").startswith("setosa")
    page.keyboard.press("ArrowLeft")
    assert "layer relu2" in page.inner_text("#tip")
    page.keyboard.press("Enter")
    pinned = page.inner_text("#detail h2")
    assert pinned.startswith("relu2[") and pinned in page.inner_text("#tip")
    assert pinned in page.text_content("#say")
    page.keyboard.press("Escape")
    assert page.locator("#detail h2").count() == 0 and not page.is_visible("#tip")
    page.focus("#tab-network")
    for name in ("attribution", "map", "layers", "neurons", "links", "method"):
        page.keyboard.press("ArrowRight")
        assert page.is_visible(f"#{name}") and not page.is_visible("#network")
        assert page.get_attribute(f"#tab-{name}", "aria-selected") == "true"


def test_zoom_and_fit(show: Any) -> None:
    page = show(FLOW)
    before = pixels_of(page, "base")
    page.click("#in")
    page.wait_for_timeout(250)
    assert (pixels_of(page, "base") != before).any()
    page.click("#fit")
    page.mouse.move(2, 2)
    np.testing.assert_array_equal(pixels_of(page, "base"), before)


def test_dark_follows_the_reader_and_the_button(show: Any) -> None:
    page = show(FLOW, scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 22, 26)"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_nothing_is_cut_off_at_the_side(show: Any, width: int, height: int) -> None:
    page = show(FLOW, width, height)
    for tab in ("network", "attribution", "map", "layers", "neurons", "links", "method"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#tab-network")
    assert page.locator("#picture").bounding_box()["height"] >= 300


def test_hostile_names_show_as_text_and_run_nothing(show: Any) -> None:
    flow = random_flow([len(HOSTILE), 3, 2], seed=3)
    layers = (
        replace(flow.layers[0], units=HOSTILE),
        replace(flow.layers[1], name=HOSTILE[0]),
        replace(flow.layers[2], name=HOSTILE[2], units=HOSTILE[1:3]),
    )
    page = show(replace(flow, layers=layers))
    for tab in ("attribution", "map", "layers", "neurons", "links", "method"):
        page.click(f"#tab-{tab}")
    assert page.evaluate("window.ran") is None and page.locator("main img, main b").count() == 0
    texts = column(page, "neurons", 2)
    assert HOSTILE[0] in texts and HOSTILE[3] in texts and max(map(len, texts)) <= 80
    page.click("#tab-network")
    find(page, "onerror")
    assert page.inner_text("#detail h2") == HOSTILE[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    kept = json.loads(page.evaluate("document.getElementById('meta').textContent"))
    assert tuple(kept["layers"][0]["units"]) == HOSTILE


ODD = {
    "one neuron a layer": flow_of([links_of([[0.3]])], [1, 1]),
    "all links 0": flow_of([links_of(np.zeros((3, 2)))], [3, 2]),
    "all constant": flow_of([links_of(np.zeros((1, 1)), p_value=1.0)], [1, 1], [(0, 0), (1, 0)]),
    "twenty layers": random_flow([3] * 20),
}


@pytest.mark.parametrize("flow", ODD.values(), ids=ODD.keys())
def test_odd_flows_have_a_page_that_works(show: Any, flow: Flow) -> None:
    page = show(flow)
    for tab in ("attribution", "map", "layers", "neurons", "links", "method", "network"):
        page.click(f"#tab-{tab}")
    said = page.text_content("#method")
    assert ("No link carries more than 0 nats" in said) == (not (flow.edges()["nats"] > 0).any())
    assert "NaN" not in page.inner_text("body")
