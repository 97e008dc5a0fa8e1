"""What notebooks are shown: the numbers of the results, names as text, and the report in a frame."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import nif
from nif.core.errors import InputError
from nif.core.html import table
from nif.estimators.estimate import BELOW_0, Estimate, Outcome
from support.browsing import FLOW
from support.flows import flow_of, links_of, random_flow

HOSTILE = "<script>alert(1)</script>\"'& " + "x" * 10_000


class Reader(HTMLParser):
    """The cells of a table, row by row, and the tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and dict(attrs).get("class", "").split()[0] != "blank":
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def read(shown: str) -> list[list[str]]:
    """Rows of the table; the markup is whole and holds nothing but a table."""
    reader = Reader()
    reader.feed(shown)
    parts = {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "br"}
    assert reader.open == [] and reader.tags <= parts
    assert len({len(row) for row in reader.rows}) <= 1
    return reader.rows


def test_a_flow_is_shown_layer_by_layer() -> None:
    head, *rows = read(FLOW._repr_html_())
    assert head == ["layer", "kind", "units", "silent", "nats in", "nats out"]
    sums = FLOW.neurons().groupby(level="layer", sort=False)[["silent", "inflow", "outflow"]].sum()
    assert [row[0] for row in rows] == list(sums.index)
    np.testing.assert_allclose([[float(cell) for cell in row[3:]] for row in rows], sums, atol=6e-4)


def test_the_features_with_most_attribution_are_named() -> None:
    whole = FLOW.attribution().sum(axis=1)
    best = whole.sort_values(ascending=False)
    assert f"Most attribution: {best.index[0]} {best.iloc[0] / whole.sum():.1%}" in FLOW._repr_html_()
    nothing = flow_of([links_of([[-0.3]])], [1, 1])
    assert "No path from a feature to an output carries information." in nothing._repr_html_()


def test_the_middle_of_a_deep_network_is_left_out_and_that_is_said() -> None:
    rows = read(random_flow([2] * 60)._repr_html_())
    assert len(rows) == 1 + 24 + 1 and rows[13][0] == "… 36 layers …"
    assert rows[1][0] == "input" and rows[-1][0] == "output"


def estimate(shape: tuple[int, ...]) -> Estimate:
    nats = np.random.default_rng(0).uniform(0, 1, shape)
    return Estimate.of(nats, stderr=0.05, p_value=0.04, samples=300, estimator="Ksg()")


def test_one_estimate_is_a_row() -> None:
    one = Estimate.of(0.4, stderr=0.02, p_value=1e-9, samples=500, estimator="Ksg()")
    head, row = read(one._repr_html_())
    assert dict(zip(head, row, strict=True)) == {
        "nats": "0.4000",
        "error": "± 0.0200",
        "95% interval": "0.361 – 0.439",
        "bits": "0.577",
        "p": "<.001",
        "outcome": "converged",
    }
    assert "500 samples; Ksg()" in one._repr_html_()


def test_it_is_said_why_an_estimate_is_below_its_interval() -> None:
    below = Estimate.of(-0.005, stderr=0.006, p_value=0.7, samples=500, estimator="Ksg()")
    head, row = read(below._repr_html_())
    shown = dict(zip(head, row, strict=True))
    assert shown["nats"] == "-0.0050" and shown["95% interval"] == "0.000 – 0.007"
    assert BELOW_0 in below._repr_html_() and BELOW_0 not in estimate((3,))._repr_html_()
    several = Estimate.of([0.4, -0.005], stderr=0.006, p_value=0.7, samples=500, estimator="Ksg()")
    assert several._repr_html_().count(BELOW_0) == 1


def test_a_list_of_pairs_shows_the_first_and_says_how_many() -> None:
    found = estimate((30,))
    rows = read(found._repr_html_())
    assert len(rows) == 13 and "the first 12 of 30 pairs" in found._repr_html_()
    np.testing.assert_allclose([float(row[1]) for row in rows[1:]], found.nats[:12], atol=6e-5)
    assert [row[5] for row in rows[1:]] == [".040"] * 12


def test_all_pairs_are_a_map() -> None:
    found = estimate((20, 3))
    head, *rows = read(found._repr_html_())
    assert head == ["", "0", "1", "2"] and len(rows) == 12
    np.testing.assert_allclose(
        [[float(cell) for cell in row[1:]] for row in rows], found.nats[:12], atol=6e-4
    )
    assert "the first 12 x 3 of 20 x 3 pairs" in found._repr_html_()


def test_columns_of_one_table_are_shaded_by_their_information() -> None:
    """Their entropies, on the diagonal, would leave all else white."""
    nats = np.array([[6.0, 0.5, 0.25], [0.5, 6.0, 0.0], [0.25, 0.0, 6.0]])
    shown = Estimate.of(nats, stderr=0, p_value=0.5, samples=300, estimator="Ksg()")._repr_html_()
    rules = re.findall(r"([^{}]*)\{[^{}]*rgba\(0,114,178,([\d.]+)\)", shown)
    shades = {float(shade): re.findall(r"row\d_col\d", cells) for cells, shade in rules}
    assert shades == {0.6: ["row0_col2", "row1_col1"], 0.3: ["row0_col3", "row2_col1"]}
    assert "mean 0.2500 nats" in shown and "on the diagonal: the entropy" in shown
    two = Estimate.of(nats[:2], stderr=0, p_value=0.5, samples=300, estimator="Ksg()")._repr_html_()
    assert "diagonal" not in two and f"mean {nats[:2].mean():.4f} nats" in two


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), (1, 1)], ids=str)
def test_few_pairs_or_none_are_no_trouble(shape: tuple[int, ...]) -> None:
    read(estimate(shape)._repr_html_())


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.name)
def test_the_outcome_is_said(outcome: Outcome) -> None:
    found = Estimate.of(0.0, stderr=0, p_value=1, samples=60, estimator="Mine()", outcome=outcome)
    said = read(found._repr_html_())[1][-1]
    assert {0: "converged", 1: "not converged", 2: "constant", 3: "determines"}[outcome] in said


@pytest.fixture(scope="module")
def pruned() -> nif.Pruned:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3))
    with torch.no_grad():
        model[0].weight[[1, 5]] = 0
    x = torch.randn(300, 4)
    flow = nif.measure(model, x, nif.Binned(), progress=False)
    return nif.prune(model, flow, TensorDataset(x, model(x).argmax(1)), progress=False)


def test_a_pruning_shows_before_and_after(pruned: nif.Pruned) -> None:
    rows = {row[0]: row[1:] for row in read(pruned._repr_html_())}
    assert rows["parameters"][:2] == [str(pruned.size_before.parameters), str(pruned.size_after.parameters)]
    share = pruned.size_after.parameters / pruned.size_before.parameters
    assert rows["parameters"][2] == f"{share - 1:+.0%}"
    assert float(rows["accuracy"][1]) == pytest.approx(pruned.score_after, abs=1e-4)
    assert f"Removed from 1 {len(pruned.removed)}" in pruned._repr_html_()


def test_a_watch_shows_the_first_epoch_and_the_last() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    watch = nif.Watch(model, torch.randn(100, 4), every=5)
    assert "no epoch yet" in watch._repr_html_()
    watch.step(0)
    with torch.no_grad():
        model[0].bias[:3] = -100
    watch.step(5)
    head, *rows = read(watch._repr_html_())
    assert head[2:] == ["nats in, epoch 0", "nats in, epoch 5", "silent, epoch 0", "silent, epoch 5"]
    wide = watch.table().pivot(index="layer", columns="epoch", values=["inflow", "silent"])
    shown = {row[0]: [float(cell) for cell in row[2:]] for row in rows}
    for layer, numbers in shown.items():
        np.testing.assert_allclose(numbers, wide.loc[layer].to_numpy(float), atol=6e-4)


def test_names_are_shown_as_text(pruned: nif.Pruned) -> None:
    layers = (replace(FLOW.layers[0], name=HOSTILE, units=(HOSTILE,) * 4), *FLOW.layers[1:])
    flow = replace(FLOW, layers=layers)
    named = replace(
        pruned, removed=pruned.removed.assign(layer=HOSTILE), score=HOSTILE, notes=(HOSTILE[:40],)
    )
    told = replace(estimate((2,)), estimator=HOSTILE[:40])
    for shown in (flow._repr_html_(), named._repr_html_(), told._repr_html_(), flow.show()._repr_html_()):
        assert "<script" not in shown
    assert len(flow._repr_html_()) < 20_000


def test_bars_and_shades_are_as_large_as_their_numbers() -> None:
    cells = pd.DataFrame({"a": ["1", "2"], "b": ["3", "4"]})
    shown = table(cells, bars={"a": [0.25, 0]}, shades={"b": [0.5, 0]})
    assert shown.count("25.0%,transparent 25.0%") == 1 and shown.count(",0.300)") == 1


# The report in a cell


def test_the_frame_holds_the_page_of_the_report(tmp_path: Path) -> None:
    FLOW.report(tmp_path / "flow.html")
    frame = FLOW.show(height=500)._repr_html_()
    found = re.search(r'srcdoc="([^"]*)"', frame)
    assert found and html.unescape(found[1]) == (tmp_path / "flow.html").read_text("utf-8")
    assert "height:500px" in frame and "allow-same-origin" not in frame


def test_a_frame_that_is_too_low_is_refused() -> None:
    with pytest.raises(InputError, match="height is 10"):
        FLOW.show(height=10)


@pytest.fixture
def cell(browser: Any) -> Any:
    """A page like a notebook's, with what a cell shows; at the end no error and no request."""
    troubles: list[str] = []

    def shown(markup: str, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": 1000, "height": 800}, color_scheme=scheme)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda asked: troubles.append(asked.url) if asked.url[:5] != "about" else None)
        ink, ground = ("#1c1c1c", "#ffffff") if scheme == "light" else ("#dddddd", "#111111")
        page.set_content(f"<body style='color:{ink};background:{ground}'>{markup}</body>")
        return page

    yield shown
    for context in browser.contexts:
        context.close()
    assert troubles == []


@pytest.mark.slow
def test_the_report_works_inside_a_cell(cell: Any) -> None:
    page = cell(FLOW.show()._repr_html_())
    inside = page.frame_locator("iframe")
    inside.locator("#summary").wait_for()
    assert "4-10-6-3 units" in inside.locator("#summary").inner_text()
    inside.locator("#tab-neurons").click()
    assert inside.locator("#neurons tbody tr").count() == len(FLOW.neurons())
    with pytest.raises(Exception, match=r"cross-origin|SecurityError|Blocked"):
        page.evaluate("() => window.frames[0].document.body.innerText")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_every_tint(cell: Any, scheme: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, AA), over the strongest tint a cell can have."""
    cells = pd.DataFrame({"bar": ["1"], "shade": ["2"], "plain": ["3"]})
    full = table(cells, bars={"bar": [1.0]}, shades={"shade": [1.0]})
    page = cell(full, scheme)
    contrasts = page.evaluate(CONTRAST)
    assert len(contrasts) == 3 and min(contrasts) > 4.5


CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.map((c) => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = parts(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  return [...document.querySelectorAll("td")].map((cell) => {
    const style = getComputedStyle(cell), ink = parts(style.color).slice(0, 3);
    const tint = style.backgroundImage === "none" ? style.backgroundColor
      : style.backgroundImage.match(/rgba?\\([^)]*\\)/)[0];
    const [r, g, b, a = 1] = parts(tint);
    const behind = ground.map((c, i) => c * (1 - a) + [r, g, b][i] * a);
    const [low, high] = [light(ink), light(behind)].sort((x, y) => x - y);
    return (high + .05) / (low + .05);
  });
}"""
