"""The page of a training run says what the flows of its epochs say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nif
from nif.core.errors import InputError
from nif.core.unit import shown_in
from nif.flow.flow import Flow
from nif.measures.information_plane import Plane, PlanePoint
from nif.report.charts import TEXT, Line, chart
from nif.report.run import run_page, run_table, sentence_of, write_run
from support.flows import current_flow, random_flow

HOSTILE = "</svg><script>alert(1)</script>"


def epoch_of(seed: int, value: float | None = 0.9) -> Flow:
    flow = current_flow([4, 6, 3], seed=seed)
    about: dict[str, Any] = {"model": "Sequential", "data": "wine"}
    about |= {} if value is None else {"score": "accuracy", "value": value}
    names = ("alcohol", HOSTILE, "ash", "\u202eevil")
    layers = (replace(flow.layers[0], units=names), *flow.layers[1:])
    measured = replace(flow.measurement, about=about, began="2026-11-28T10:00:00")
    return replace(flow, layers=layers, measurement=measured)


FLOWS = {0: epoch_of(1, 0.5), 5: epoch_of(2, 0.75), 10: epoch_of(3, 0.9375)}
POINTS = PlanePoint("relu1", (3.0, 4.0), (0.2, 0.4)), PlanePoint("output", (1.0, 1.5), (0.6, 1.0))
PLANES = {epoch: Plane(POINTS, 0.1, 99, "labels") for epoch in FLOWS}


def test_the_page_leads_with_what_changed_and_holds_the_numbers(tmp_path: Path) -> None:
    write_run(FLOWS, PLANES, tmp_path / "run.html", None)
    page = (tmp_path / "run.html").read_text("utf-8")
    totals = [float(flow.total or 0) for flow in FLOWS.values()]
    assert f"From epoch 0 to 10 the nats that decide went from {totals[0]:.2f} to {totals[-1]:.2f}" in page
    assert "<title>Training of Sequential on wine · 3 epochs measured · 400 rows · 2026-11-28</title>" in page
    for flow in FLOWS.values():
        assert f"<td>{flow.total.nats:.3f} ± {flow.total.stderr:.3f}</td>" in page  # type: ignore[union-attr]
    assert "total, epoch 5: " + f"{totals[1]:.3f}" in page
    assert "<td>3.00 to 4.00</td>" in page and "noise of 0.1 of a layer" in page
    assert "cannot show that a layer forgets" in page and f"{np.log(99):.2f} nats" in page


def test_names_stay_text() -> None:
    page = run_page(FLOWS, {}, data="<b>")
    assert "<script" not in page and "<b>" not in page and "\u202e" not in page
    assert "&lt;/svg&gt;" in page and "on &lt;b&gt; ·" in page


def test_without_labels_plane_and_silent_units_there_is_no_figure_of_them() -> None:
    assert not epoch_of(1).neurons()["silent"].any()
    page = run_page({0: epoch_of(1, None)}, {})
    assert page.count("<figure>") == 2 and "Information plane" not in page and "Accuracy" not in page
    assert run_page(FLOWS, PLANES).count("<figure>") == 4


def test_a_run_of_association() -> None:
    flows = {3: random_flow([4, 6, 3], seed=1), 4: random_flow([4, 6, 3], seed=2)}
    page = run_page(flows, {})
    assert "Information into each layer" in page and sentence_of(flows).startswith("At epoch 4, input[")
    assert list(run_table(flows, {}).columns) == ["epoch", "silent neurons", "modularity"]


def test_a_page_in_bits_has_no_nats(tmp_path: Path) -> None:
    with shown_in("bits"):
        page = run_page(FLOWS, PLANES)
    text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search(r"\bnats\b", text)
    totals = [float(flow.total or 0) / np.log(2) for flow in FLOWS.values()]
    assert f"the bits that decide went from {totals[0]:.2f} to {totals[-1]:.2f}" in page
    assert "total, epoch 5: " + f"{totals[1]:.3f}" in page and f"{np.log2(99):.2f} bits" in page
    assert f"<td>{3 / np.log(2):.2f} to {4 / np.log(2):.2f}</td>" in page


def test_a_watch_writes_a_page_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `Flow.report` does; one that was never called leaves no file."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    watch = nif.Watch(net, torch.randn(60, 2), nif.Currents(backgrounds=4, rows=30), plane_noise=None)
    with pytest.raises(InputError, match="Nothing has been measured yet"):
        watch.report()
    assert not list(tmp_path.iterdir())
    watch.step(0)
    path = watch.report(unit="bits")
    assert opened == [path.as_uri()] and path.parent == tmp_path
    assert capsys.readouterr().out == f"Written: {path}\n" and "bits that decide" in path.read_text("utf-8")


def test_nothing_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Nothing has been measured yet"):
        write_run({}, {}, tmp_path / "run.html", None)
    assert not (tmp_path / "run.html").exists()


def test_lines_are_at_the_places_of_their_numbers() -> None:
    values = np.array([0.2, np.nan, 1.0, 0.6])
    picture = chart(
        [Line("one", values, "c0", values - 0.1, values + 0.1)], [0, 10, 20, 40], ("epoch", "nats")
    )
    found = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert len(found) == 3  # none of NaN
    x, y = np.array(found, dtype=float).T
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.5, abs=1e-3)
    assert (y[0] - y[2]) / (y[0] - y[1]) == pytest.approx((0.6 - 0.2) / (1.0 - 0.2), abs=2e-3)
    assert "nan" not in picture.lower().replace("nats", "")


def test_names_at_the_top_and_enough_numbers_are_in_the_picture() -> None:
    lines = [Line(f"x{place}", np.array([0.0, 1.0]), "c0") for place in range(6)]
    picture = chart(lines, [0, 1], ("epoch", "nats"))
    assert ">0.25<" in chart([Line("x", np.array([0.6, 0.97]), "c0")], [0, 1], ("epoch", "part"))
    heights = [float(y) for y in re.findall(r'class="name" x="[\d.]+" y="([\d.]+)"', picture)]
    assert len(heights) == 6 and min(heights) >= TEXT


def test_names_in_the_plane_lie_beside_its_lines_whose_last_points_are_larger() -> None:
    page = run_page(FLOWS, PLANES)
    plane = page[page.index("Information plane") : page.index("What the information plane can show")]
    places = [float(x) for x in re.findall(r'class="name" x="([\d.]+)"', plane)]
    points = np.array(re.findall(r'cx="([\d.]+)" cy="[\d.]+" r="(\d)"', plane), dtype=float)
    assert min(places) > points[:, 0].max() and points[:, 1].tolist() == [3, 3, 5, 3, 3, 5]


def test_no_line_breaks_between_a_number_and_its_sign() -> None:
    heading = run_page(FLOWS, {}).split("<h1>")[1].split("</h1>")[0]
    assert "\xa0%" in heading and " %" not in heading


def test_one_epoch_is_no_change() -> None:
    assert sentence_of({0: FLOWS[0]}).startswith("At epoch 0, ")
    page = run_page({0: FLOWS[0]}, {})
    assert "1 epoch measured" in page and "From epoch" not in page


def test_paper_is_light_and_holds_the_whole_table(browser: Any, tmp_path: Path) -> None:
    points = tuple(replace(POINTS[0], layer=f"layer {number}") for number in range(6))
    write_run(
        FLOWS, {epoch: Plane(points, 0.1, 99, "labels") for epoch in FLOWS}, tmp_path / "run.html", None
    )
    page = browser.new_page(viewport={"width": 718, "height": 1000}, color_scheme="dark")
    page.goto((tmp_path / "run.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 718


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_screen_and_axe_finds_nothing(
    browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    write_run(FLOWS, PLANES, tmp_path / "run.html", None)
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto((tmp_path / "run.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen = axe.Axe().run(page).response
    context.close()
    assert len(seen["passes"]) > 10
    assert [(each["id"], each["impact"]) for each in seen["violations"]] == []
