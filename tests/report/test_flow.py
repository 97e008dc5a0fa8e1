"""The Flow view: ribbons as wide as their nats, what is said of them, and picking a unit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nif.flow.flow import Flow
from nif.flow.headline import headline
from nif.plots.sankey_layout import sankey_layout
from nif.report.content import content
from nif.report.ribbons import ribbons
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


def test_the_page_holds_the_numbers_of_the_layout() -> None:
    found = content(FLOW).meta["sankey"]
    assert found == ribbons(FLOW)
    assert [bar["nats"] for bar in found["bars"]] == [bar.nats for bar in LAYOUT.bars]
    assert [link["nats"] for link in found["ribbons"]] == [ribbon.nats for ribbon in LAYOUT.ribbons]
    spans = [span for link in found["ribbons"] for span in link["spans"]]
    np.testing.assert_allclose(spans, [span for link in LAYOUT.ribbons for span in link.spans], atol=1e-5)
    assert any(link["stderr"] is None for link in found["ribbons"])  # several links together


def test_a_deep_network_has_fewer_bars_of_each_layer() -> None:
    found = ribbons(current_flow([30] * 25, seed=1))
    assert len(found["bars"]) == 25 * 5


def test_the_head_leads_with_the_answer_and_the_title_names_rows_and_date(show: Any) -> None:
    dated = replace(FLOW, measurement=replace(FLOW.measurement, began="2026-11-28T10:00:00"))
    page = show(dated)
    assert page.title() == "Neural information flow · 400 rows · 2026-11-28"
    assert page.inner_text("#headline") == headline(dated)
    assert show(FLOW).title() == "Neural information flow · 400 rows"


def test_association_has_no_such_view(show: Any) -> None:
    page = show(ASSOCIATION)
    assert page.locator("#tab-flow").is_hidden() and page.inner_text("#headline") == headline(ASSOCIATION)
    page.focus("#tab-network")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-attribution").get_attribute("aria-selected") == "true"


def test_ribbons_are_as_wide_as_their_nats(show: Any) -> None:
    page = opened(show)
    ends = page.evaluate(
        "Array.from(document.querySelectorAll('.ribbon'), (path) => path.getAttribute('d').split(/[ L]+/))"
    )
    widths = sorted(
        abs(float(path[0].split(",")[1]) - float(path[-2].split(",")[1])) for path in ends if path
    )
    nats = sorted(abs(ribbon.nats) for ribbon in LAYOUT.ribbons)
    scale = widths[-1] / nats[-1]
    np.testing.assert_allclose(widths, scale * np.array(nats), atol=0.03)
    against = page.locator(".ribbon.against").count()
    assert against == sum(ribbon.nats < 0 for ribbon in LAYOUT.ribbons) > 0
    skips = page.locator(".ribbon.skips").count()
    assert skips == sum(len(ribbon.spans) > 2 for ribbon in LAYOUT.ribbons) > 0


def test_units_say_their_nats_and_a_picked_one_dims_the_others(show: Any) -> None:
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
    assert page.locator("#flow .unit.on").count() == 1 + len({ribbon.source for ribbon in joined})
    assert unit.get_attribute("aria-pressed") == "true"
    listed = page.locator("#flow .rows .value").all_inner_texts()
    numbers = [float(text.split(" ± ")[0].replace("−", "-")) for text in listed]
    expected = sorted((ribbon.nats for ribbon in joined), key=lambda nats: -abs(nats))
    np.testing.assert_allclose(numbers, expected, atol=6e-4)
    unit.click(force=True)
    assert page.locator("#flow .picked").count() == 0


def test_a_unit_without_currents_can_be_picked_on_a_phone(show: Any) -> None:
    flow = current_flow([3, 4, 2], seed=1)
    links = [replace(found, nats=found.nats.copy()) for found in flow.links]
    links[0].nats[:, 3], links[1].nats[3] = 0.0, 0.0
    page = opened(show, replace(flow, links=tuple(links)), 390, 500, "dark")
    unit = page.locator("#flow .unit").nth(6)
    unit.locator(".whole").click(force=True)
    assert unit.get_attribute("aria-pressed") == "true" and page.locator("#flow .picked").count() == 1
    assert page.inner_text("#flow [aria-live]").startswith("relu1[3]: ")


def test_a_tip_says_what_is_pointed_at(show: Any) -> None:
    page = opened(show)
    page.locator("#flow .unit .whole").nth(0).hover(force=True)
    assert re.search(r"nats, .* of the total; out: .* for, .* against", page.inner_text("#flow .tip"))
    page.mouse.move(5, 5)
    assert page.locator("#flow .tip").is_hidden()


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
    assert page.locator("#flow .note[aria-live]").inner_text().find(" nats, ") > 0
    page.keyboard.press("Enter")
    assert page.locator("#flow .picked").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#flow .picked").count() == 0


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
