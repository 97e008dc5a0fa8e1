"""How long a pruning will take is said before it starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nif
from nif.pruning import forecast
from nif.pruning.problem import pruning_problem


def problem():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    )
    x = torch.randn(100, 2, 8)
    flow = nif.measure(net, x, nif.GaussianCopula(), progress=False)
    return net, x, flow, pruning_problem(net, flow, x)


def test_it_counts_runs_covariances_and_solutions(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, given = problem()
    monkeypatch.setattr(forecast, "pace_of", lambda *_: (0.01, 1e6))
    reads = [(2 * 3, 20_000), (4 * 3, 20_000), (24, 100)]  # features, and rows of each layer
    squares = sum(2 * rows * width**2 + 2 * width**3 for width, rows in reads)
    expected = 2 * (2 * 100 * 0.01 + 2 * squares / 1e6) + 2 * 3 * 100 * 0.01
    assert forecast.seconds_expected(given, 2) == pytest.approx(expected)


def test_it_is_said_once_where_it_is_worth_it_and_progress_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net, x, flow, _ = problem()
    nif.prune(net, flow, x, remove=0.3, tolerance=None)
    assert "takes about" not in capsys.readouterr().err
    monkeypatch.setattr(forecast, "pace_of", lambda *_: (10.0, 1e6))
    nif.prune(net, flow, x, remove=0.3, tolerance=None)
    said = capsys.readouterr().err
    assert said.count("nif: pruning 10 units of 2 layers, judged on 100 rows, takes about") == 1
    nif.prune(net, flow, x, remove=0.3, tolerance=None, progress=False)
    assert "takes about" not in capsys.readouterr().err
