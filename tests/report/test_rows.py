"""Single rows beside the average, classes beside one another, known beside used, and measured paths."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.core.weights import PathCurrents
from nif.flow.flow import Flow
from nif.network.preserve import one_thread
from nif.report.content import content
from nif.report.examples import decisions, examples
from support.browsing import FLOW as ASSOCIATION
from support.browsing import column_of, find, settled
from support.flows import current_flow


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@functools.cache
def network(outputs: int, features: int = 4) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, outputs))
    for parameter in net.parameters():
        parameter.data *= 3
    return net, torch.randn(120, features)


@functools.cache
def measured(outputs: int, **options: Any) -> Flow:
    net, x = network(outputs)
    with one_thread():
        return nif.measure(net, x, nif.Currents(steps=4, **options), progress=False)


@pytest.mark.parametrize("outputs", [2, 3, 7])
def test_the_decisions_of_rows_are_the_probabilities_of_the_network(outputs: int) -> None:
    """They are found from p log p alone, of which each value has two solutions."""
    flow, (net, x) = measured(outputs), network(outputs)
    assert flow.currents is not None and flow.currents.rows is not None
    found = decisions(flow, flow.currents)
    truth = net(x[flow.currents.rows]).double().softmax(1).detach().numpy()
    np.testing.assert_allclose(found, truth, atol=2e-4)
    assert (truth.max(axis=1) > 0.5).any() and (truth.max(axis=1) < 0.9).any()


def test_rows_without_a_decision_between_classes_are_at_the_quartiles() -> None:
    flow = measured(1)
    assert flow.currents is not None and decisions(flow, flow.currents) is None
    found = examples(flow)
    assert found is not None and [row["decision"] for row in found.meta] == [None] * 5
    gained = flow.local().sum(axis=1)
    expected = np.sort(gained.to_numpy())[[0, 30, 60, 89, 119]]
    np.testing.assert_allclose([row["nats"] for row in found.meta], expected, atol=1e-5)


def test_a_usual_row_has_the_median_of_the_rows_that_are_decided_as_it_is() -> None:
    flow, (net, x) = measured(3), network(3)
    found = examples(flow)
    assert found is not None and found.values is not None
    decided, gained = net(x).argmax(1).numpy(), flow.local().sum(axis=1)
    for row, currents, values in zip(found.meta, found.currents, found.values, strict=True):
        np.testing.assert_allclose(currents, flow.local().loc[row["number"]], atol=1e-6)
        np.testing.assert_allclose(values, x[row["number"]], atol=1e-6)
        alike = np.sort(gained[decided == decided[row["number"]]])
        if row["why"].startswith("usual"):
            assert row["why"] == f"usual for output[{decided[row['number']]}]"
            assert row["nats"] == pytest.approx(alike[len(alike) // 2], abs=1e-5)
    least = net(x).softmax(1).amax(1).argmin()
    assert found.meta[-1]["why"] == "the least certain" and found.meta[-1]["number"] == int(least)


def test_flows_without_rows_have_no_such_view(show: Any) -> None:
    assert examples(ASSOCIATION) is None and examples(current_flow([3, 4, 2])) is None
    assert show(ASSOCIATION).locator("#tab-rows").is_hidden()


def test_rows_show_their_currents_beside_the_average(show: Any) -> None:
    flow = measured(3)
    page = show(flow, fragment="view=rows")
    found = examples(flow)
    assert found is not None
    cards = page.locator("#rows .card")
    assert cards.count() == len(found.meta)
    for card, row, currents in zip(cards.all(), found.meta, found.currents, strict=True):
        head = card.locator("figcaption").inner_text()
        assert f"Row {row['number']}" in head and row["why"] in head and f"{row['nats']:.3f} nats" in head
        assert f"{row['decision'][0][0]} {100 * row['decision'][0][1]:.0f}\xa0%" in head
        said = [number(text) for text in card.locator(".value").all_inner_texts()]
        np.testing.assert_allclose(said, currents[np.argsort(-np.abs(currents), kind="stable")], atol=6e-4)
        assert card.locator(".mark").count() == 4
    assert "the median of the information" in page.inner_text("#rows .note")


def test_rows_that_are_images_are_pictures_with_heat_maps(show: Any, tmp_path: Any) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    flow = nif.measure(net, torch.randn(100, 1, 4, 4), nif.Currents(steps=2), progress=False)
    page = show(flow, fragment="view=rows")
    count = page.locator("#rows .card").count()
    assert page.locator("#rows canvas").count() == 1 + 2 * (count - 1)  # of all rows there is no picture
    page.click("#tab-attribution")
    assert page.locator("#attribution .card canvas").count() == 3
    flow.save(tmp_path / "flow.safetensors")
    page = show(nif.load(tmp_path / "flow.safetensors"), fragment="view=rows")  # holds no features of rows
    assert page.locator("#rows canvas").count() == count


def test_classes_are_beside_one_another_on_one_scale(show: Any) -> None:
    flow = measured(3)
    page = show(flow, fragment="view=attribution")
    cards, table = page.locator("#attribution .card"), flow.attribution()
    assert cards.count() == 3
    scale = []
    for card, (label, column) in zip(cards.all(), table.items(), strict=True):
        assert card.locator("figcaption").inner_text() == label
        expected = column.sort_values(key=lambda nats: -nats.abs())
        said = [number(text) for text in card.locator(".value").all_inner_texts()]
        np.testing.assert_allclose(said, expected, atol=6e-4)
        width = card.locator(".bar").first.bounding_box()["width"]
        scale.append(width / card.locator(".track").first.bounding_box()["width"] / abs(expected.iloc[0]))
    np.testing.assert_allclose(scale, scale[0], rtol=0.05)
    cards.nth(1).locator("button").click()
    assert page.locator("#attribution select").input_value() == "1"
    assert page.locator("#attribution .card").count() == 0


def test_what_is_known_is_beside_what_is_used(show: Any) -> None:
    net, x = network(3)
    flow = measured(3)
    known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
    page = show(flow, fragment="view=known", association=known)
    table = nif.known_and_used(known, flow)
    assert page.locator("#known circle").count() == len(table) == 4 + 6
    units = column_of(page, "known", 1)
    for name, place in (("known", 3), ("used", 5)):
        said = [number(text) for text in column_of(page, "known", place)]
        order = [table.index.get_level_values("unit").tolist().index(unit) for unit in units]
        np.testing.assert_allclose(said, table[name].to_numpy()[order], atol=6e-4)
    page.locator("#known circle").first.dispatch_event("click")
    settled(page)
    assert page.locator("#flow").is_visible() and page.inner_text("#flowdetail h2") == units[0]
    with pytest.raises(InputError, match="expected what units tell of the decision"):
        content(flow, association=flow)


def with_paths(flow: Flow) -> Flow:
    """Three paths: two through the first hidden unit, none through the second."""
    units = np.array([[0, 0, 1], [2, 0, 0], [1, 2, 1]])
    paths = PathCurrents(units, np.array([0.05, -0.0421, 0.01]), np.full((10, 3), 0.001), 64, 8, 40)
    assert flow.currents is not None
    return replace(flow, currents=replace(flow.currents, paths=paths))


def test_paths_of_a_unit_are_the_measured_ones_where_there_are(show: Any) -> None:
    page = show(with_paths(current_flow([3, 4, 2], seed=1)))
    find(page, "relu1[0]")
    panel = page.locator("#detail")
    rows = panel.locator(".paths li").all_inner_texts()
    error = 0.001 * np.sqrt(10)
    assert [row.replace("\n", " ") for row in rows] == [
        f"input[0] → relu1[0] → output[1] 0.0500 ± {error:.4f}",
        f"input[2] → relu1[0] → output[0] −0.0421 ± {error:.4f}",
    ]
    assert "Strongest measured paths through it" in panel.inner_text()
    find(page, "relu1[1]")
    assert "from the mean graph" in panel.inner_text() and "measured" not in panel.inner_text()
    page.locator("#detail button", has_text="Unpin").click()
    page.click("#tab-flow")
    assert "Of 40 paths on 64 rows x 8 backgrounds." in page.inner_text("#flowdetail")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_view_fits_the_screen_and_axe_finds_nothing(show: Any, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    (net, x), flow = network(3), measured(3)
    known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
    page = show(flow, width, 844, scheme, association=known)
    for view in ("flow&unit=5&ribbons=class", "rows", "known", "attribution"):
        page.evaluate(f"location.hash = 'view={view}'")
        settled(page)
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        seen = axe.Axe().run(page).response
        assert len(seen["passes"]) > 12
        assert [(each["id"], each["impact"]) for each in seen["violations"]] == [], view


def test_a_probability_of_one_over_e_or_of_almost_0_is_found() -> None:
    flow = measured(3)
    assert flow.currents is not None
    truth = np.array([[np.exp(-1), 0.5, 0.5 - np.exp(-1)], [1.0, 0.0, 0.0], [1e-320, 0.3, 0.7]])
    terms = np.where(truth > 0, truth * np.log(np.where(truth > 0, truth, 1.0)), 0.0)
    found = decisions(flow, replace(flow.currents, row_value=terms))
    np.testing.assert_allclose(found, truth, atol=1e-7)
