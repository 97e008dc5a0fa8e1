"""The view is in the address; a phone shows the picture first; words are explained; and what is printed."""

from __future__ import annotations

from typing import Any

import pytest

from nif.flow.flow import Flow
from support.browsing import FLOW as ASSOCIATION
from support.browsing import find, settled, unfolded
from support.flows import current_flow

FLOW: Flow = current_flow([5, 30, 6, 3], seed=4)


def fragment(page: Any) -> dict[str, str]:
    text = page.evaluate("location.hash.slice(1)")
    return dict(part.split("=") for part in text.split("&"))


def test_what_the_reader_chooses_is_in_the_address(show: Any) -> None:
    page = show(FLOW)
    find(page, "relu1[3]")
    page.select_option("#size", "absolute")
    page.check("#hide")
    assert fragment(page) == {"view": "network", "unit": "8", "size": "absolute", "hide": "1"}
    page.click("#tab-flow")
    page.select_option("#ribboncolour", "class")
    page.locator("#flow .several").first.click(force=True)
    assert fragment(page)["opened"] == "r1" and fragment(page)["ribbons"] == "class"


def test_an_address_leads_back_to_the_view(show: Any) -> None:
    page = show(FLOW, fragment="view=flow&unit=8&ribbons=class&wide=communities&opened=c1.0")
    assert page.locator("#flow").is_visible() and page.input_value("#wide") == "communities"
    assert page.input_value("#ribboncolour") == "class" and page.locator("#flowclose").is_visible()
    assert page.inner_text("#flowdetail h2") == "relu1[3]"
    page = show(ASSOCIATION, fragment="view=attribution&class=1")
    assert page.locator("#attribution select").input_value() == "1"
    page.evaluate("location.hash = 'view=layers'")
    settled(page)
    assert page.locator("#layers").is_visible()


@pytest.mark.parametrize(
    "wrong",
    ["view=<img>&unit=99999&class=-1&size=x&links=2e9", "view=pruning", "%%%", "opened=constructor%20r99"],
)
def test_an_address_that_means_nothing_is_passed_over(show: Any, wrong: str) -> None:
    page = show(FLOW, fragment=wrong)
    assert page.locator("#flow").is_visible() and page.locator("#flow .unit").count() > 10


def test_a_phone_shows_the_picture_first_and_folds_the_controls(show: Any) -> None:
    page = show(FLOW, 390, 844)
    picture = page.locator("#picture").bounding_box()
    folded = page.locator("#network summary").first.bounding_box()
    assert picture["y"] + picture["height"] <= folded["y"] and not page.is_visible("#size")
    unfolded(page)
    assert page.is_visible("#size")
    page.click("#tab-flow")
    settled(page)
    ribbons = page.locator("#ribbons").bounding_box()
    assert ribbons["y"] < 844 / 2 and ribbons["y"] < page.locator("#flow summary").first.bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_words_are_explained_where_they_are_met(show: Any) -> None:
    page = show(FLOW)
    page.locator("#detail .words summary").click()
    text = page.inner_text("#detail .words")
    assert "betweenness" in text and "Leiden's algorithm" in text and "throughput" not in text
    page = show(ASSOCIATION, fragment="view=neurons")
    assert page.locator("#neurons .words dt").all_text_contents()[0] == "throughput"
    page.click("#neurons th button:has-text('nats out')")
    assert page.locator("#neurons .words").count() == 1


def test_on_paper_there_are_no_controls_and_the_ground_is_light(show: Any) -> None:
    page = show(FLOW, 1280, 800, "dark", fragment="view=flow")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    for hidden in ("nav", "#ribboncolour", "#theme"):
        assert not page.is_visible(hidden)
    assert page.is_visible("#flow svg") and page.is_visible("#headline")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_network_is_on_paper(show: Any, scheme: str) -> None:
    page = show(FLOW, scheme=scheme)
    assert b"/Subtype /Image" in page.pdf()
    page.evaluate("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    assert page.locator("#picture canvas").count() == 2


def test_bars_are_on_paper_though_browsers_leave_out_backgrounds(show: Any) -> None:
    page = show(FLOW, fragment="view=attribution")
    page.emulate_media(media="print")
    for bar in ("#attribution .bars .bar", "#attribution .mini .bar"):
        exact = page.locator(bar).first.evaluate("bar => getComputedStyle(bar).printColorAdjust")
        assert exact == "exact"
