"""Large networks: what a page holds, what it leaves out, and what writing it takes."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from nif.core.errors import InputError
from nif.flow import betweenness as centrality
from nif.flow.strongest import strongest
from support.browsing import FLOW, VIEWS, facts, find, pixels_of, shown_number
from support.flows import flow_of, links_of, random_flow

MANY = [640, 500, 10]
WRITE = f"""
from pathlib import Path
from support.flows import random_flow
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
flow, before = random_flow({MANY}, seed=4), peak()
flow.report("flow.html")
print(peak() - before)
"""
"""The peak is that of this program; `getrusage` includes that of the process that started it."""


@pytest.mark.slow
def test_many_links_are_written_in_little_memory(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parent.parent), *sys.path]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}\n{WRITE}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(run.stdout) * 1024 < 150_000_000  # 460 bytes a link
    text = (tmp_path / "flow.html").read_text("utf-8")
    positive = sum(int((found.nats > 0).sum()) for found in random_flow(MANY, seed=4).links)
    assert positive > 200_000
    assert re.search(
        f"holds the strongest 200,000 links, .* and leaves out {positive - 200_000:,} weaker ones", text
    )
    summary = re.search(r'"summary": "([^"]*)"', text)
    assert summary and f"325,000 links, {positive:,} of them with information" in summary[1]


@pytest.mark.parametrize("most", [1, 7, 40, 10_000])
def test_the_links_that_stay_are_the_strongest(most: int) -> None:
    found = strongest(FLOW.links, [4, 10, 6, 3], most)
    every = np.sort(np.concatenate([each.nats[each.nats > 0] for each in FLOW.links]))[::-1]
    np.testing.assert_array_equal(found.nats, every[:most])
    assert found.of == len(every)
    first = np.concatenate([[0], np.cumsum([4, 10, 6, 3])])
    for source, target, nats in zip(found.source, found.target, found.nats, strict=True):
        assert any(
            nats == each.nats[source - first[each.source], target - first[each.target]]
            for each in FLOW.links
            if first[each.source] <= source < first[each.source + 1]
            and first[each.target] <= target < first[each.target + 1]
        )


@pytest.mark.slow
def test_ten_thousand_neurons_can_be_explored(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And more than 20,000 links, from where the page draws them straight."""
    monkeypatch.setattr(centrality.betweenness, "__defaults__", (0, 1e6))
    generator = np.random.default_rng(0)
    links = []
    for layer in range(99):
        nats = np.zeros(10_000)
        nats[generator.permutation(10_000)[:203]] = generator.exponential(0.1, 203)
        links.append(links_of(nats.reshape(100, 100), layer, layer + 1))
    page = show(flow_of(links, [100] * 100))
    assert "100 layers of 100-100-100-…-100-100 units" in page.inner_text("#summary")
    assert page.inner_text("#shown").startswith(f"{shown_number(page):,} of {99 * 203:,} links")
    for view in (*VIEWS, "network"):
        page.click(f"#tab-{view}")
    page.fill("#find", "relu50[7]")
    page.press("#find", "Enter")
    assert page.inner_text("#detail h2") == "relu50[7]"


@pytest.mark.slow
def test_a_network_that_reads_pictures_of_28_by_28_pixels(show: Any) -> None:
    made = random_flow([784, 300, 100, 10], seed=2)
    flow = replace(made, layers=(replace(made.layers[0], shape=(1, 28, 28)), *made.layers[1:]))
    page = show(flow)
    page.select_option("#class", "7")
    page.click("#tab-attribution")
    said = flow.attribution()["output[7]"].to_numpy()
    row, column = divmod(int(said.argmax()), 28)
    assert page.inner_text("figcaption .note").startswith(f"maximum at row {row}, column {column}: ")
    drawn = pixels_of(page, "canvas.image")[..., :3].sum(axis=-1).astype(int)
    cell = drawn.shape[0] // 28
    shades = drawn[cell // 2 :: cell, cell // 2 :: cell].ravel()
    assert spearmanr(shades, -said).statistic > 0.98  # shades are of 8 bits


def test_a_page_says_where_betweenness_is_estimated(show: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = show(FLOW)
    assert exact.locator("#size option").first.inner_text() == "betweenness"
    monkeypatch.setattr(centrality.betweenness, "__defaults__", (0, 500.0))
    flow = random_flow([20, 20, 20], seed=3)
    starts = flow.neurons().attrs["betweenness_starts"]
    assert 1 <= starts < 60
    page = show(flow)
    assert page.locator("#size option").first.inner_text() == "betweenness, estimated"
    find(page, "relu1[3]")
    assert "betweenness, estimated" in facts(page)
    page.click("#tab-neurons")
    assert "betweenness, estimated" in page.inner_text("#neurons thead")
    page.click("#tab-method")
    assert f"paths that start at {starts} of 60 units" in page.inner_text("#method")


def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    from nif.flow.flow import Flow

    def work(flow: Flow) -> None:
        raise AssertionError("it was computed first")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="cannot be written"):
        patch.setattr(Flow, "neurons", work)
        FLOW.report(tmp_path / "missing" / "flow.html")


def test_the_share_of_all_information_counts_links_that_are_left_out(
    show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 10)
    page = show(FLOW)
    page.fill("#share", "1000")
    nats = np.sort(FLOW.edges().query("nats > 0")["nats"])[::-1]
    expected = 100 * nats[:10].sum() / nats.sum()
    assert page.inner_text("#shown") == f"10 of 10 links, {expected:.1f} % of all information"


def test_the_table_of_estimated_betweenness_copies_as_whole_rows(
    show: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centrality.betweenness, "__defaults__", (0, 500.0))
    page = show(random_flow([20, 20, 20], seed=3))
    page.click("#tab-neurons")
    page.evaluate(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    page.click("#neurons .copy")
    head, first, *_ = csv.reader(io.StringIO(page.evaluate("window.copied")))
    assert len(head) == len(first) and "betweenness, estimated" in head


@pytest.mark.parametrize("nats", [0.002, 40.0], ids=["weak", "strong"])
def test_attributions_of_deep_networks_leave_no_range(show: Any, nats: float) -> None:
    weights = nats * np.random.default_rng(0).uniform(0.5, 1, (3, 3))
    flow = flow_of([links_of(weights, each, each + 1, stderr=nats / 100) for each in range(29)], [3] * 30)
    expected = flow.attribution()["output[1]"].sort_values(ascending=False)
    assert not 1e-45 < expected.iloc[0] < 3e38
    page = show(flow)
    page.select_option("#class", "1")
    assert shown_number(page) == 29 * 9 - 6  # the other two outputs
    page.click("#tab-attribution")
    assert page.locator(".bars .name").all_inner_texts() == expected.index.tolist()
    said = [float(text.split()[0]) / 100 for text in page.locator(".bars .value").all_inner_texts()]
    np.testing.assert_allclose(said, expected / flow.attribution().to_numpy().sum(), rtol=0.01, atol=6e-5)
