"""The time of a comparison, by the rows that it runs."""

from __future__ import annotations

import sys

import pytest
import torch

from nif.comparison.compare import compare
from nif.comparison.expected_time import BACK, rows_run
from nif.measures.currents.currents import Currents
from nif.pipeline import measure

CHEAP = Currents(rows=16, backgrounds=4, steps=1, by_class=False, paths=0)


class Counting(torch.nn.Module):
    """Counts the rows that run."""

    rows = 0

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counting.rows += len(x)
        return self.layer(x)


@pytest.mark.parametrize(
    ("method", "back"), [("random ranking", 1), ("SHAP", BACK), ("integrated gradients", BACK), ("SAGE", 1)]
)
def test_rows_are_those_that_run(method: str, back: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("libraries", "expected_time"):  # fewer than there are, as of most data
        monkeypatch.setattr(f"nif.comparison.{module}.ROWS_EXPLAINED", 20)
    torch.manual_seed(0)
    model, x = Counting().eval(), torch.randn(120, 5)
    y = model(x).argmax(1)
    flow = measure(model, x, CHEAP, progress=False)
    before = Counting.rows
    compare(model, flow, x, y, methods=["raw MI"], repeats=8, progress=False)
    alone, before = Counting.rows - before, Counting.rows
    compare(model, flow, x, y, methods=[method], repeats=8, progress=False)
    more = Counting.rows - before - alone
    curves = rows_run(120, 5, 3, ["raw MI"], 8)
    expected = rows_run(120, 5, 3, ["raw MI", method], 8) - curves
    if method != "random ranking":
        expected = (expected - curves) / back + curves
    assert more == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("seconds", "minutes"), [(59.0, None), (240.0, 4)])
def test_minutes_are_said_before_it_begins(
    seconds: float, minutes: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["nif.comparison.compare"], "expected_seconds", lambda *_: seconds)
    model, x = torch.nn.Linear(3, 2), torch.randn(300, 3)
    y = model(x).argmax(1)
    flow = measure(model, x, CHEAP, progress=False)
    capsys.readouterr()
    compare(model, flow, x, y, methods=["random ranking"], repeats=2)
    said = "" if minutes is None else f"nif: comparing: about {minutes} minutes are expected.\n"
    assert capsys.readouterr().err == said
