"""The Flow view: ribbons as wide as their nats, what is said of them, and picking a unit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nif.core.text import unbroken
from nif.flow.flow import Flow
from nif.flow.headline import headline
from nif.plots.sankey_layout import sankey_layout
from nif.report.sankey import sankey_content
from support.browsing import FLOW as ASSOCIATION
from support.browsing import settled
from support.flows import current_flow

HOSTILE = ("$x$", "<img src=x onerror=alert(1)>", "\u202eevil", "w" * 300, "plain")


def named() -> Flow:
    flow = current_flow([5, 20, 6, 3], [(1, 3)], seed=4)
    classes = ("setosa", "versicolor", "virginica")
    layers = (
        replace(flow.layers[0], units=HOSTILE),
        *flow.layers[1:-1],
        replace(flow.layers[-1], units=classes),
    )
    return replace(flow, layers=layers)


FLOW = named()
LAYOUT = sankey_layout(FLOW)


def opened(show: Any, flow: Flow = FLOW, *screen: Any) -> Any:
    page = show(flow, *screen)
    page.click("#tab-flow")
    settled(page)
    return page


def test_a_deep_network_has_fewer_bars_of_each_layer() -> None:
    found = sankey_content(current_flow([30] * 25, seed=1), 0)
    assert found["most"] == 4 and [len(alone) for alone in found["alone"]] == [4] * 25


def test_bars_of_several_units_have_the_errors_of_their_sums() -> None:
    """As of correlated currents: those without each group of rows are added up first."""
    assert FLOW.currents is not None
    deviations = np.random.default_rng(0).normal(size=(10, 20))
    units = list(FLOW.currents.units)
    units[1] = replace(units[1], deviations=deviations)
    flow = replace(FLOW, currents=replace(FLOW.currents, units=tuple(units)))
    found = sankey_content(flow, 0)
    rest = np.setdiff1d(np.arange(20), found["alone"][1])
    assert found["rest_stderr"][1] == pytest.approx(np.sqrt((deviations[:, rest].sum(1) ** 2).sum()))
    labels = flow.communities.label[5:25]
    for label, stderr in found["community_stderr"][1].items():
        of_label = deviations[:, labels == int(label)].sum(1)
        if (labels == int(label)).sum() > 1:
            assert stderr == pytest.approx(np.sqrt((of_label**2).sum()))
    assert found["rest_stderr"][2] == 0.0 and sankey_content(FLOW, 0)["rest_stderr"][1] is None


@pytest.mark.slow
def test_the_head_leads_with_the_answer_and_the_title_names_model_data_score_and_date(show: Any) -> None:
    about = {"model": "Sequential", "data": "wine", "score": "accuracy", "value": 0.9667}
    dated = replace(FLOW.measurement, began="2026-11-28T10:00:00", about=about)
    page = show(replace(FLOW, measurement=dated))
    title = "Sequential on wine · accuracy 96.7 % · 400 rows · 2026-11-28"
    assert page.title() == page.inner_text("#title") == title
    assert page.inner_text("h1") == unbroken(headline(FLOW))
    assert show(FLOW).title() == "Neural information flow · 400 rows"
    assert show(FLOW, data="<b>iris</b>").title() == "a network on <b>iris</b> · 400 rows"


def test_currents_open_with_their_flow_and_association_with_its_network(show: Any) -> None:
    assert selected(show(FLOW, fragment="")) == "flow"
    assert selected(show(ASSOCIATION, fragment="")) == "network"


def selected(page: Any) -> str:
    return str(page.locator("[role=tab][aria-selected=true]").get_attribute("aria-controls"))


def test_association_has_no_such_view(show: Any) -> None:
    page = show(ASSOCIATION)
    assert page.locator("#tab-flow").is_hidden() and page.inner_text("#headline") == unbroken(
        headline(ASSOCIATION)
    )
    page.focus("#tab-network")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-attribution").get_attribute("aria-selected") == "true"


def test_ribbons_are_as_wide_as_their_nats(show: Any) -> None:
    page = opened(show)
    widths = np.sort(widths_of(page))
    nats = sorted(abs(ribbon.nats) for ribbon in LAYOUT.ribbons)
    scale = widths[-1] / nats[-1]
    np.testing.assert_allclose(widths, scale * np.array(nats), atol=0.03)
    against = page.locator(".ribbon.against").count()
    assert against == sum(ribbon.nats < 0 for ribbon in LAYOUT.ribbons) > 0
    skips = page.locator(".ribbon.skips").count()
    assert skips == sum(len(ribbon.spans) > 2 for ribbon in LAYOUT.ribbons) > 0
    assert "Paler ribbons pass layers by" in page.inner_text("#flowmeaning")


@pytest.mark.slow
def test_shares_have_the_digits_that_their_errors_leave(show: Any) -> None:
    assert FLOW.currents is not None and FLOW.total is not None
    total, said = float(FLOW.total), {}
    for stderr in (0.3, 0.03, 0.003):
        units = list(FLOW.currents.units)
        units[0] = replace(units[0], stderr=np.full(5, stderr * total))
        page = opened(show, replace(FLOW, currents=replace(FLOW.currents, units=tuple(units))))
        said[stderr] = page.locator("#ribbons text").filter(has_text="plain").text_content()
    share = 100 * FLOW.currents.units[0].nats[4] / total
    assert said == {
        stderr: f"plain · {share:.{digits}f} ± {100 * stderr:.{digits}f} %".replace("-", "−")
        for stderr, digits in ((0.3, 0), (0.03, 0), (0.003, 1))
    }


def widths_of(page: Any) -> np.ndarray:
    """Of the ribbons at their beginnings, in the order of the page."""
    ends = page.evaluate(
        "Array.from(document.querySelectorAll('.ribbon'), (path) => path.getAttribute('d').split(/[ L]+/))"
    )
    return np.array([abs(float(path[0].split(",")[1]) - float(path[-2].split(",")[1])) for path in ends])


@pytest.mark.slow
def test_links_that_are_not_in_the_page_are_in_its_first_picture(
    show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.sort(widths_of(opened(show)))
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 60)
    page = opened(show)
    np.testing.assert_allclose(np.sort(widths_of(page)), whole, atol=0.03)
    assert "weaker links" not in page.inner_text("#flowmeaning")
    page.locator("#flow .several").first.click(force=True)
    assert "weaker links are not in this page" in page.inner_text("#flowmeaning")


def test_a_bar_of_several_units_opens_and_everything_still_adds_up(show: Any) -> None:
    page = opened(show)
    before = page.locator("#flow .unit").count()
    several = page.locator("#flow .several")
    assert several.count() == 1 and several.get_attribute("aria-label").startswith("8 more of relu1: ")
    several.click(force=True)
    assert page.locator("#flow .several").count() == 0
    assert page.locator("#flow .unit").count() == before - 1 + 8
    names = page.evaluate("[...document.querySelectorAll('#flow .unit')].map((bar) => bar.ariaLabel)")
    for unit, row in FLOW.neurons().loc["relu1"].iterrows():
        assert any(
            name.replace("−", "-").startswith(f"{unit}: {row['current']:.3f} ± 0.010") for name in names
        )
    sums = [re.findall(r"(-?[\d.]+(?:e-\d+)?) (?:for|against)", name.replace("−", "-")) for name in names]
    balanced = [list(map(float, four)) for four in sums if len(four) == 4]
    assert len(balanced) == 20 + 6  # what flows into a hidden unit flows out of it
    np.testing.assert_allclose([a + b - c - d for a, b, c, d in balanced], 0, atol=2.1e-3)
    page.click("#flowclose")
    assert page.locator("#flow .unit").count() == before and page.locator("#flowclose").is_hidden()


def test_communities_are_bars_that_open(show: Any) -> None:
    page = opened(show, current_flow([5, 60, 6, 3], seed=4))
    page.select_option("#wide", "communities")
    bars = page.locator("#flow .several")
    label = bars.first.get_attribute("aria-label")
    assert re.match(r"community \d+: \d+ of relu1: ", label)
    size = int(re.match(r"community \d+: (\d+)", label)[1])
    before = page.locator("#flow .unit").count()
    bars.first.click(force=True)
    opened_units = size if size <= 13 else 12 + 1
    assert page.locator("#flow .unit").count() == before - 1 + opened_units


def test_ribbons_have_the_colour_of_the_class_that_they_reach(show: Any) -> None:
    page = opened(show)
    page.select_option("#ribboncolour", "class")
    fills = page.evaluate(
        "[...document.querySelectorAll('.ribbon')].map((path) => getComputedStyle(path).fill)"
    )
    of_classes = {"rgb(0, 114, 178)", "rgb(230, 159, 0)", "rgb(0, 158, 115)"}
    assert of_classes < set(fills)  # ribbons into a class reach no other; those before are greyer
    assert "colour of the class" in page.inner_text("#flowmeaning")
    page.select_option("#ribboncolour", "sign")
    assert "Blue speaks for" in page.inner_text("#flowmeaning")


def test_what_flows_through_a_picked_unit_is_shown_and_the_rest_is_dim(show: Any) -> None:
    page = opened(show)
    number = next(place for place, bar in enumerate(LAYOUT.bars) if bar.name == "versicolor")
    unit = page.locator("#flow .unit").nth(number)
    said = unit.get_attribute("aria-label")
    row = FLOW.neurons().loc[("output", "versicolor")]
    assert said.startswith(f"versicolor of output: {row['current']:.3f} ± 0.010 nats, ".replace("-", "−"))
    assert "in: " in said and "out: " not in said
    unit.click(force=True)
    joined = [ribbon for ribbon in LAYOUT.ribbons if ribbon.target == number]
    assert page.locator(".ribbon.on").count() == len(joined)
    assert unit.get_attribute("aria-pressed") == "true"
    drawn = page.evaluate("[...document.querySelectorAll('.ribbon')].map((path) => path.style.fillOpacity)")
    parts = np.sort([(float(opacity) - 0.05) / 0.65 for opacity in drawn])
    np.testing.assert_allclose(parts, np.sort(parts_that_reach(number)), atol=1e-5)
    assert page.inner_text("#flowdetail h2") == "versicolor"
    unit.click(force=True)
    assert page.locator("#flow .picked").count() == 0
    assert page.inner_text("#flowdetail").startswith("Choose a unit")


def parts_that_reach(number: int) -> list[float]:
    """Of the ribbons, if every unit divides what passes it as its absolute currents are divided."""
    reach = [float(place == number) for place in range(len(LAYOUT.bars))]
    for place in sorted(range(len(reach)), key=lambda bar: -LAYOUT.bars[bar].column):
        out = [ribbon for ribbon in LAYOUT.ribbons if ribbon.source == place]
        if out:
            whole = sum(abs(ribbon.nats) for ribbon in out)
            reach[place] = sum(abs(ribbon.nats) * reach[ribbon.target] for ribbon in out) / whole
    return [reach[ribbon.target] for ribbon in LAYOUT.ribbons]


def test_a_unit_without_currents_can_be_picked_on_a_phone(show: Any) -> None:
    flow = current_flow([3, 4, 2], seed=1)
    links = [replace(found, nats=found.nats.copy()) for found in flow.links]
    links[0].nats[:, 3], links[1].nats[3] = 0.0, 0.0
    page = opened(show, replace(flow, links=tuple(links)), 390, 500, "dark")
    unit = page.locator("#flow .unit").nth(6)
    unit.locator(".whole").click(force=True)
    assert unit.get_attribute("aria-pressed") == "true" and page.locator("#flow .picked").count() == 1
    assert page.inner_text("#flowsay").startswith("relu1[3]: ")


def test_a_tip_says_what_is_pointed_at(show: Any) -> None:
    page = opened(show)
    page.locator("#flow .unit .whole").nth(0).hover(force=True)
    assert re.search(r"nats, .* of the total; out: .* for, .* against", page.inner_text("#flowtip"))
    page.mouse.move(5, 5)
    assert page.locator("#flowtip").is_hidden()


def test_keys_move_between_units_and_pick(show: Any) -> None:
    page = opened(show)
    assert page.locator("#flow .unit[tabindex='0']").count() == 1
    page.locator("#flow .unit[tabindex='0']").focus()

    def focused() -> int:
        return int(
            page.evaluate("[...document.querySelectorAll('#flow .unit')].indexOf(document.activeElement)")
        )

    first = LAYOUT.bars[focused()]
    page.keyboard.press("ArrowRight")
    assert LAYOUT.bars[focused()].column == first.column + 1
    page.keyboard.press("ArrowLeft")
    before = LAYOUT.bars[focused()]
    lowest = min(bar.base for bar in LAYOUT.bars if bar.column == 0)
    page.keyboard.press("ArrowUp" if before.base == lowest else "ArrowDown")
    after = LAYOUT.bars[focused()]
    assert after.column == 0 and (after.base > before.base) == (before.base == lowest)
    assert page.locator("#flowsay").inner_text().find(" nats, ") > 0
    page.keyboard.press("Enter")
    assert page.locator("#flow .picked").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#flow .picked").count() == 0


def test_five_layers_fit_on_a_phone(show: Any) -> None:
    page = opened(show, current_flow([5, 8, 8, 6, 3], seed=4), 390, 844)
    drawn, room = (page.locator(name).bounding_box()["width"] for name in ("#ribbons svg", "#ribbons"))
    assert drawn <= room
    assert "Paler" not in page.inner_text("#flowmeaning")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_screen_and_axe_finds_nothing(show: Any, width: int, scheme: str) -> None:
    page = opened(show, FLOW, width, 844, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "(() => { const svg = document.querySelector('#flow svg').getBoundingClientRect();"
        "const texts = Array.from(document.querySelectorAll('#flow svg text'));"
        "return texts.map((text) => text.getBoundingClientRect())"
        ".map((box) => [box.left - svg.left, svg.right - box.right]); })()"
    )
    assert len(boxes) > 10 and np.min(boxes) >= -1
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    seen = axe.Axe().run(page).response
    assert [(each["id"], each["impact"]) for each in seen["violations"]] == []


def test_the_colours_follow_the_theme(show: Any) -> None:
    page = opened(show)

    def fill(kind: str) -> str:
        return str(page.evaluate(f"getComputedStyle(document.querySelector('{kind}')).fill"))

    assert (
        fill(".ribbon:not(.against)") == "rgb(0, 114, 178)" and fill(".ribbon.against") == "rgb(193, 68, 14)"
    )
    page.click("#theme")
    assert fill(".ribbon:not(.against)") == "rgb(86, 180, 233)"
