"""The network in a real browser: what it shows is what the flow says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from support.browsing import FLOW, facts, find, pixels_of, place_of, settled, shown_number
from support.flows import flow_of, links_of


def test_the_network_is_drawn_with_its_colours(show: Any) -> None:
    page = show(FLOW)
    drawn = pixels_of(page, "#base")
    colours = {tuple(pixel) for pixel in drawn[drawn[..., 3] == 255][:, :3]}
    from nif.plots.palette import COMMUNITIES

    for label in set(FLOW.neurons().query("not silent")["community"]):
        wanted = tuple(int(COMMUNITIES[label][i : i + 2], 16) for i in (1, 3, 5))
        assert wanted in colours
    assert "4-10-6-3 units" in page.inner_text("#summary")


def test_the_slider_keeps_the_strongest_links_up_to_a_share(show: Any) -> None:
    page = show(FLOW)
    nats = np.sort(FLOW.edges().query("nats > 0")["nats"])[::-1]
    assert shown_number(page) == len(nats)
    page.locator("#share").fill("500")
    expected = int(np.searchsorted(np.cumsum(nats), nats.sum() / 2) + 1)
    assert shown_number(page) == expected
    half = f"{expected} of {len(nats)} links, {100 * nats[:expected].sum() / nats.sum():.1f} %"
    assert page.inner_text("#shown").startswith(half)


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

    best = FLOW.paths(None, ("relu2", 3), k=1).iloc[0]
    first = page.locator("#detail .paths").first.locator("li").first
    assert first.locator(".name").inner_text() == " → ".join(unit for _, unit in best["path"])
    said = first.locator(".value").inner_text().removesuffix(" %")
    assert float(said) / 100 == pytest.approx(best["share"], abs=5e-4)


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


def test_search_lists_the_very_name_first_then_names_that_begin_with_it(show: Any) -> None:
    layer = FLOW.layers[1]
    renamed = replace(layer, units=("a3", "b1", "13", "1", *layer.units[4:]))
    page = show(replace(FLOW, layers=(FLOW.layers[0], renamed, *FLOW.layers[2:])))
    page.fill("#find", "1")
    texts = page.locator("#found button").all_inner_texts()
    assert [text.split(" · ")[0] for text in texts[:3]] == ["1", "13", "b1"]


def test_an_overview_tells_the_colours_and_the_strongest_links(show: Any) -> None:
    page = show(FLOW)
    rows = [text.split("\n") for text in page.locator("#detail .rows").first.locator("li").all_inner_texts()]
    sizes = FLOW.neurons()["community"].value_counts()
    shown = {("none" if "none" in name else name.removeprefix("community ")): number for name, number in rows}
    wanted = {"none" if label < 0 else str(label): size for label, size in sizes.items()}
    assert {name: int(number.split()[0]) for name, number in shown.items()} == wanted
    best = FLOW.edges().nlargest(8, "nats")
    links = [
        text.split("\n") for text in page.locator("#detail .rows").nth(1).locator("li").all_inner_texts()
    ]
    assert [name for name, _ in links] == [
        f"{source} → {target}"
        for source, target in zip(best["source_unit"], best["target_unit"], strict=True)
    ]
    np.testing.assert_allclose([float(nats) for _, nats in links], best["nats"], atol=6e-4)
    page.locator("#detail .rows").nth(1).locator("button").first.click()
    assert page.inner_text("#detail h2") == best["source_unit"].iloc[0]


def test_hover_shows_and_click_pins_the_neuron_under_the_pointer(show: Any) -> None:
    bottleneck = flow_of([links_of(np.ones((3, 1))), links_of(np.ones((1, 2)), 1, 2)], [3, 1, 2])
    page = show(bottleneck)
    from nif.plots.palette import COMMUNITIES

    at = place_of(page, COMMUNITIES[bottleneck.neurons()["community"].loc[("relu1", "relu1[0]")]], 0.5)
    page.mouse.move(*at)
    tip = page.inner_text("#tip")
    error = 1.96 * 0.01 * np.sqrt(3)
    assert "relu1[0]" in tip and f"in 3.000 nats, 95 %: {3 - error:.3f} to {3 + error:.3f}" in tip
    assert "p .0001" in tip or "p < .0001" in tip
    page.mouse.click(*at)
    assert page.inner_text("#detail h2") == "relu1[0]"
    assert pixels_of(page, "#over")[..., 3].any()


def test_silent_neurons_can_be_hidden(show: Any) -> None:
    page = show(FLOW)
    before = pixels_of(page, "#base")
    page.check("#hide")
    settled(page)
    assert (pixels_of(page, "#base") != before).any()
    find(page, "relu1[4]")  # silent: searching for it brings it back
    assert not page.is_checked("#hide") and facts(page)["silent"] == "yes"


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
    assert "Choose a neuron" in page.inner_text("#detail") and not page.is_visible("#tip")
    page.focus("#tab-network")
    for name in ("attribution", "map", "layers", "neurons", "links", "method"):
        page.keyboard.press("ArrowRight")
        assert page.is_visible(f"#{name}") and not page.is_visible("#network")
        assert page.get_attribute(f"#tab-{name}", "aria-selected") == "true"


def test_zoom_and_fit(show: Any) -> None:
    page = show(FLOW)
    before = pixels_of(page, "#base")
    page.click("#in")
    settled(page)
    assert (pixels_of(page, "#base") != before).any()
    page.click("#fit")
    page.mouse.move(2, 2)
    np.testing.assert_array_equal(pixels_of(page, "#base"), before)


def test_dark_follows_the_reader_and_the_button(show: Any) -> None:
    page = show(FLOW, scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 22, 26)"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_hover_reads_the_link_under_the_pointer(show: Any) -> None:
    page = show(flow_of([links_of([[0.5]], p_value=0.02)], [1, 1]))
    box = page.locator("#picture").bounding_box()
    drawn = np.argwhere(pixels_of(page, "#base")[:, int(box["width"] / 2), 3] > 0)
    page.mouse.move(box["x"] + 1 + int(box["width"] / 2), box["y"] + 1 + float(np.median(drawn[drawn > 60])))
    tip = page.inner_text("#tip")
    assert "input[0] → output[0]" in tip
    assert f"0.500 nats, 95 %: {0.5 - 0.0196:.3f} to {0.5 + 0.0196:.3f}" in tip and "p .020" in tip


def test_a_class_shows_the_links_that_lead_to_it(show: Any) -> None:
    page = show(FLOW)
    page.select_option("#class", "1")
    nats = [np.maximum(each.nats, 0) for each in sorted(FLOW.links, key=lambda each: each.target)]
    into = {(each.source, each.target): np.maximum(each.nats, 0) for each in FLOW.links}
    onward = {3: np.eye(3)[:, 1]}
    for layer in (2, 1, 0):
        ways = [values @ onward[target] for (source, target), values in into.items() if source == layer]
        onward[layer] = np.sum(ways, axis=0)
    before = {0: np.ones(4)}
    for layer in (1, 2, 3):
        ways = [before[source] @ values for (source, target), values in into.items() if target == layer]
        before[layer] = np.sum(ways, axis=0)
    carried = [np.outer(before[source], onward[target]) * values for (source, target), values in into.items()]
    assert shown_number(page) == sum(int((each > 0).sum()) for each in carried)
    assert sum(each.size for each in nats) > shown_number(page)
    page.locator("#share").fill("300")
    strongest = np.sort(np.concatenate([each.ravel() for each in carried]))[::-1]
    expected = int(np.searchsorted(np.cumsum(strongest), 0.3 * strongest.sum()) + 1)
    assert shown_number(page) == expected


def test_size_can_be_chosen(show: Any) -> None:
    page = show(FLOW)
    seen = []
    for size in ("betweenness", "throughput", "attribution"):
        page.select_option("#size", size)
        seen.append(pixels_of(page, "#base"))
    assert (seen[0] != seen[1]).any()


def test_dragging_moves_the_network(show: Any) -> None:
    bottleneck = flow_of([links_of(np.ones((3, 1))), links_of(np.ones((1, 2)), 1, 2)], [3, 1, 2])
    page = show(bottleneck)
    from nif.plots.palette import COMMUNITIES

    colour = COMMUNITIES[bottleneck.neurons()["community"].loc[("relu1", "relu1[0]")]]
    x, y = place_of(page, colour, 0.5)
    page.mouse.move(x + 60, y + 90)
    page.mouse.down()
    page.mouse.move(x + 90, y + 140, steps=4)
    page.mouse.up()
    settled(page)
    page.mouse.move(x + 30, y + 50)
    assert "relu1[0]" in page.inner_text("#tip")
    assert "Choose a neuron" in page.inner_text("#detail")  # a drag is no click
