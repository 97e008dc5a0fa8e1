"""Names from strangers act on nothing: terminal, spreadsheet, figure, notebook and page show them as text."""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nif import plots
from nif.cli import sections
from nif.cli.experiment.files import _guarded
from nif.cli.main import main
from nif.core.text import guarded, visible
from nif.flow.flow import Flow
from support.flows import current_flow, random_flow

ACTS = (
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "a\rb",
    "bell\x07",
    "two\nlines",
    "\x9b2J",
    "\u2028",
    "\u2066x",
)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/c calc'!A0", "\uff1d1")


def named(flow: Flow, names: tuple[str, ...]) -> Flow:
    layers = (replace(flow.layers[0], units=names), *flow.layers[1:])
    return replace(flow, layers=(*layers[:1], replace(layers[1], name=names[0] + "h"), *layers[2:]))


def acting(text: str) -> list[str]:
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf") and letter != "\n"]


@pytest.mark.parametrize("name", ACTS)
def test_what_acts_is_shown_as_its_escape(name: str) -> None:
    assert visible(name).isprintable() and visible(name) != name
    assert visible(name, keep=name) == name


def test_other_text_stays() -> None:
    for name in (
        "petal width",
        "émoji 🧠",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "שלום",
        "日本\u3000",
    ):
        assert visible(name) == name


@pytest.mark.parametrize("make", [random_flow, current_flow])
def test_a_terminal_and_a_notebook_show_names_as_text(make: object, tmp_path: Path) -> None:
    flow = named(make([len(ACTS), 3, 2]), ACTS)  # type: ignore[operator]
    for text in (repr(flow), flow._repr_html_(), *sections.measured(flow)):
        assert acting(text) == [], text
    assert "\\x1b[31mred" in "".join(sections.measured(flow))


def test_errors_of_the_command_show_names_as_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["report", "none\x1b[31m\u202e.safetensors", "-o", str(tmp_path / "flow.html")])
    said = capsys.readouterr().err
    assert acting(said) == [] and "none\\x1b[31m\\u202e" in said


def test_a_spreadsheet_calculates_no_name_and_every_number_stays() -> None:
    frame = pd.DataFrame({"name": FORMULAS, "=nats": [-1.5] * len(FORMULAS), "whole": -3})
    written = io.StringIO()
    _guarded(frame).to_csv(written, index=False, quoting=csv.QUOTE_NONNUMERIC)
    header, *rows = csv.reader(io.StringIO(written.getvalue(), newline=""))
    assert header == ["name", "'=nats", "whole"]
    assert [row[0] for row in rows] == [f"'{name}" for name in FORMULAS]
    assert all(row[1:] == ["-1.5", "-3"] for row in rows)
    assert guarded(["a=b", "", 2, None]) == ["a=b", "", 2, None]


@pytest.mark.parametrize(
    "draw", [plots.network, plots.attribution, plots.communities, plots.profile, plots.links]
)
def test_figures_show_names_as_text(draw: object) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    names = ("$x^2$", "$\\frac$", "$$", "a_b$c$", "\x1b[1m")
    flow = named(current_flow([len(names), 3, 2]), names)
    draw(flow, ax=figure.subplots())  # type: ignore[operator]
    figure.canvas.draw()
    shown = [text for text in figure.findobj(pytest.importorskip("matplotlib.text").Text) if text.get_text()]
    assert [text.get_text() for text in shown if "$" in text.get_text() and text.get_parse_math()] == []
    assert [text.get_text() for text in shown if acting(text.get_text())] == []
