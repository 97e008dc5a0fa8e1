"""The page of a flow of currents: signs, shares of the total, paths, and nothing that does not apply."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nif.flow.flow import Flow
from nif.report.caveats import caveats_of_currents
from nif.report.content import content
from support.browsing import VIEWS, facts, find, pixels_of, settled
from support.flows import CURRENTS, current_flow, with_currents

T = float(stats.t.ppf(0.975, 9))


def named() -> Flow:
    """5 features, one of them against the decision; and links of either sign."""
    flow = current_flow([5, 8, 6, 3], [(1, 3)], seed=4)
    features = ("width", "length", "depth", "weight", "age")
    outputs = ("setosa", "versicolor", "virginica")
    layers = (
        replace(flow.layers[0], units=features),
        *flow.layers[1:-1],
        replace(flow.layers[-1], units=outputs),
    )
    assert flow.currents is not None
    return replace(flow, layers=layers, currents=replace(flow.currents, classes=outputs))


FLOW = named()
TABLE = FLOW.neurons()
TOTAL = float(FLOW.total or 0)


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_the_flow_has_both_signs() -> None:
    nats = np.concatenate([links.values("nats") for links in FLOW.links])
    assert (nats < 0).sum() > 10 and (nats > 0).sum() > 10 and (TABLE["current"][:5] < 0).any()


def test_the_page_holds_the_currents() -> None:
    found = content(FLOW)
    for name, column in (("current", "current"), ("current_stderr", "stderr"), ("absolute", "absolute")):
        np.testing.assert_allclose(found.arrays[name], TABLE[column], rtol=1e-6)
    edges = FLOW.edges()
    order = np.argsort(-np.abs(edges["nats"].to_numpy()), kind="stable")
    np.testing.assert_allclose(found.arrays["nats"], edges["nats"].to_numpy()[order], rtol=1e-6)
    np.testing.assert_allclose(found.arrays["attribution"][:, :3], FLOW.attribution())
    np.testing.assert_allclose(found.arrays["attribution"][:, 3], TABLE["current"][:5])
    assert found.meta["links"]["all_nats"] == pytest.approx(edges["nats"].abs().sum())
    assert not {"inflow", "outflow", "throughput"} & found.arrays.keys()


@pytest.mark.slow
def test_numbers_beyond_32_bits_are_shown_as_they_are(show: Any) -> None:
    """As of values on a scale of their own; the shares stay what they are."""
    flow = current_flow([3, 4, 2], seed=1)
    assert flow.currents is not None
    large = with_currents(flow, [1e40 * units.nats for units in flow.currents.units])
    found, known = content(large).arrays, content(flow).arrays
    assert found["current"].dtype == "<f8" and known["current"].dtype == "<f4"
    np.testing.assert_allclose(found["current"], large.neurons()["current"], rtol=1e-12)
    np.testing.assert_allclose(found["current"] / 1e40, known["current"], rtol=1e-6)
    page = show(large)
    find(page, large.layers[0].units[0])
    said = facts(page)
    assert number(said["current, nats"]) == pytest.approx(large.neurons()["current"].iloc[0], rel=1e-3)
    assert number(said["of the total"].rstrip(" %")) == pytest.approx(
        100 * flow.currents.units[0].nats[0] / float(flow.total or 0), abs=0.06
    )


@pytest.mark.slow
def test_the_summary_and_the_method_say_what_was_measured(show: Any) -> None:
    page = show(FLOW)
    summary = page.inner_text("#summary")
    assert summary.startswith(f"Currents: {FLOW.total} about one of 3 classes (logits of 3 classes); 5-8-6-3")
    page.click("#tab-method")
    said = facts(page, "#method")
    assert said["measure"] == "currents" and said["the total is"] == "I(X; Y)"
    assert said["total"].startswith(f"{FLOW.total} (95 %: {TOTAL - T * 0.05:.3f} to ")
    assert said["error of the steps"] == "at most 0.4 % of the total for a unit"
    assert said["steps of the way"] == "8" and said["backgrounds of each"] == "32"
    assert "noise of a value" not in said
    assert "whose effects cancel" in page.inner_text("#method")


def test_a_neuron_shows_its_current_and_what_does_not_apply_is_not_there(show: Any) -> None:
    page = show(FLOW)
    assert not page.is_visible("#class") and page.is_visible("#colour")
    options = page.locator("#size option").all_inner_texts()
    assert options == ["current", "absolute current", "betweenness"]
    find(page, "length")
    row = TABLE.loc[("input", "length")]
    said = facts(page)
    assert number(said["current, nats"]) == pytest.approx(row["current"], abs=6e-4)
    ends = [number(end) for end in said["95 %"].split(" to ")]
    np.testing.assert_allclose(ends, [row["current"] - T * 0.01, row["current"] + T * 0.01], atol=6e-4)
    assert number(said["of the total"].removesuffix(" %")) == pytest.approx(
        100 * row["current"] / TOTAL, abs=0.06
    )
    assert number(said["absolute, nats"]) == pytest.approx(row["absolute"], abs=6e-4)
    assert not {"nats in", "nats out", "throughput"} & said.keys()


def test_paths_are_those_of_the_flow(show: Any) -> None:
    page = show(FLOW)
    find(page, "relu1[3]")
    lists = page.locator("#detail .paths")
    for place, table in enumerate(
        [
            max_paths([FLOW.paths(name, ("relu1", 3), k=3) for name in FLOW.layers[0].units]),
            max_paths([FLOW.paths(("relu1", 3), k=3)]),
        ]
    ):
        said = lists.nth(place).locator("li")
        names = said.locator(".name").all_inner_texts()
        assert names == [" → ".join(unit for _, unit in path) for path, _ in table]
        np.testing.assert_allclose(
            [number(text) for text in said.locator(".value").all_inner_texts()],
            [current for _, current in table],
            atol=6e-4,
        )


def max_paths(tables: list[Any]) -> list[tuple[Any, float]]:
    found = [
        (path, current)
        for table in tables
        for path, current in zip(table["path"], table["current"], strict=True)
    ]
    return sorted(found, key=lambda one: -abs(one[1]))[:3]


def test_features_are_drawn_on_their_side_of_zero(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-attribution")
    assert f"sum to the total of {TOTAL:.3f} ± 0.050 nats" in page.inner_text("#attribution")
    expected = TABLE["current"].loc["input"].sort_values(key=lambda nats: -nats.abs())
    assert page.locator(".bars .name").all_inner_texts() == expected.index.tolist()
    boxes = page.evaluate(
        "Array.from(document.querySelectorAll('.bars .row'), (row) => ['.bar', '.zero'].map((part) => "
        "row.querySelector(part).getBoundingClientRect()).map(({ left, right }) => [left, right]))"
    )
    for ((left, right), (zero, _)), value in zip(boxes, expected, strict=True):
        assert (right if value < 0 else left) == pytest.approx(zero, abs=1.5)
        assert right - left == pytest.approx(
            (boxes[0][0][1] - boxes[0][0][0]) * abs(value / expected.iloc[0]), abs=2
        )
    assert page.locator(".bars .bar.against").count() == (expected < 0).sum() > 0
    page.locator("#attribution select").select_option("1")
    said = [number(text.split(" ")[0]) for text in page.locator(".bars .value").all_inner_texts()]
    by_class = FLOW.attribution()["versicolor"].sort_values(key=lambda nats: -nats.abs())
    np.testing.assert_allclose(said, by_class, atol=6e-4)


def test_a_flow_with_one_column_has_no_choice_of_a_class(show: Any) -> None:
    assert FLOW.currents is not None
    tables = replace(
        FLOW.currents, classes=("decision",), attribution=FLOW.currents.attribution.sum(1)[:, None]
    )
    tables = replace(tables, attribution_stderr=np.full((5, 1), 0.01))
    page = show(replace(FLOW, currents=tables))
    page.click("#tab-attribution")
    assert page.locator("#attribution select").count() == 0 and page.locator(".bars .row").count() == 5


def test_every_layer_sums_to_the_total(show: Any) -> None:
    page = show(current_flow([5, 8, 6, 3], seed=4))
    page.click("#tab-layers")
    cells = page.locator("#layers tbody tr td:nth-child(4)").all_inner_texts()
    assert len(cells) == 4 and len(set(cells)) == 1
    against = page.locator("#layers tbody tr td:nth-child(3)").all_inner_texts()
    assert any(text.startswith("−") for text in against)


def test_links_against_the_decision_have_their_own_colour(show: Any) -> None:
    page = show(FLOW)
    legend = page.locator("#detail .rows").first.inner_text()
    below = sum(int((links.values("nats") < 0).sum()) for links in FLOW.links)
    assert f"against it\n{below} links" in legend
    assert orange(page) > 50
    page.select_option("#colour", "community")
    settled(page)
    assert "community 0" in page.locator("#detail .rows").first.inner_text()
    page.select_option("#colour", "sign")
    settled(page)
    assert orange(page) > 50


def orange(page: Any) -> int:
    """Pixels of the picture with much more red than blue."""
    drawn = pixels_of(page, "#base").astype(int)
    return int(((drawn[..., 0] - drawn[..., 2] > 60) & (drawn[..., 3] > 40)).sum())


def test_tables_and_tips_have_signs(show: Any) -> None:
    page = show(FLOW)
    page.click("#tab-links")
    header = page.locator("#links th").all_inner_texts()
    assert header[:6] == ["from", "to", "current, nats", "± 95 %", "of the total", "p"]
    first = number(page.locator("#links tbody td:nth-child(3)").first.inner_text())
    strongest = max((links.values("nats") for links in FLOW.links), key=lambda nats: np.abs(nats).max())
    assert abs(first) == pytest.approx(np.abs(strongest).max(), abs=6e-4)
    page.click("#tab-neurons")
    assert "absolute, nats" in page.locator("#neurons th").all_inner_texts()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_every_view_fits_and_the_search_box_is_beside_the_others(show: Any, width: int) -> None:
    page = show(FLOW)
    page.set_viewport_size({"width": width, "height": 800})
    settled(page)
    if width == 1280:
        boxes = [page.locator(f"#{name}").bounding_box() for name in ("size", "find")]
        assert abs(boxes[0]["y"] - boxes[1]["y"]) < 6
    for view in ("network", *VIEWS):
        page.click(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(show: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    page = show(FLOW, 1280, 800, scheme)
    for view in ("network", *VIEWS):
        page.click(f"#tab-{view}")
        seen = axe.Axe().run(page).response
        assert len(seen["passes"]) > 15
        assert [(each["id"], each["impact"]) for each in seen["violations"]] == [], view


def test_units_that_no_path_leads_through_are_named(tmp_path: Path) -> None:
    assert FLOW.currents is not None
    units = list(FLOW.currents.units)
    units[1] = replace(units[1], absolute=np.full(8, 9.0))
    flow = replace(FLOW, currents=replace(FLOW.currents, units=tuple(units)))
    flow.report(tmp_path / "flow.html")
    assert re.search(
        "Paths through 8 units whose currents onward nearly cancel", (tmp_path / "flow.html").read_text()
    )


def test_a_file_that_does_not_say_what_is_not_measured_has_a_page(tmp_path: Path) -> None:
    options = {**FLOW.measurement.options, "not_measured": None}
    flow = replace(FLOW, measurement=replace(FLOW.measurement, options=options))
    flow.report(tmp_path / "flow.html")
    assert '["ran and is not measured", "none"]' in (tmp_path / "flow.html").read_text()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"decision": "the label, one of 2"}, "about the labels that came with the data"),
        ({}, "about the decision of the network, not about the truth"),
        (
            {"total_is": "mean divergence from the mean decision of the background"},
            "no mutual information but a",
        ),
        ({"in_proportion": ["q to k"]}, "Several weights lie between some layers (q to k)"),
        ({"not_measured": ["lstm"]}, "not measured: lstm."),
        ({"step_error": 0.034}, "off by 3.4% of the total"),
        ({"decision": "a value, behind noise of 0.2 deviations"}, "A value is seen through noise"),
    ],
)
def test_caveats_follow_the_options(changed: dict[str, Any], says: str) -> None:
    plain = replace(CURRENTS, samples=2000)
    without = " ".join(caveats_of_currents(plain))
    found = " ".join(caveats_of_currents(replace(plain, options=plain.options | changed)))
    assert says in found
    assert not changed or says not in without
