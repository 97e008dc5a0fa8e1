"""`nif estimate`: it prints what the library estimates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nif
from nif.cli.data import columns
from nif.cli.main import main


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a table; the current one."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["a", "b", "c"])
    frame["label"] = (frame["a"] > 0).astype(int)
    frame["word"] = np.where(frame["a"] > 0, "yes", "no")
    frame.to_csv("data.csv", index=False)
    np.savez("data.npz", x=frame[["a", "b", "c"]], y=frame["label"])
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_estimate_prints_what_the_library_estimates(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("estimate", "data.csv", "--x", "a", "--y", "label", "--estimator", "binned") == 0
    frame = pd.read_csv("data.csv")
    expected = nif.estimate(frame["a"], frame["label"], nif.Binned())
    printed = capsys.readouterr().out
    nats = f"{expected.nats:.4f} ± {expected.stderr:.4f} nats"
    assert f"I(a; label) = {nats}\n" in printed
    assert "200 samples, Binned()" in printed


@pytest.mark.slow
def test_estimate_given_a_third_column(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("estimate", "data.csv", "--x", "a", "--y", "a", "--given", "label", "--estimator", "ksg") == 0
    frame = pd.read_csv(room / "data.csv")
    expected = nif.estimate(frame["a"], frame["a"], nif.Ksg(), given=frame["label"])
    printed = capsys.readouterr().out
    assert f"I(a; a | label) = {expected.nats:.4f} ± {expected.stderr:.4f} nats" in printed
    assert "One side determines the other: the entropy of its values." in printed


def test_estimate_takes_words_and_several_columns(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("estimate", "data.csv", "--x", "word", "--y", "label", "--estimator", "binned") == 0
    words = capsys.readouterr().out
    assert run("estimate", "data.csv", "--x", "label", "--y", "label", "--estimator", "binned") == 0
    assert words.split(" = ")[1] == capsys.readouterr().out.split(" = ")[1]
    assert columns(Path("data.npz"), "x[0],x[2],y").shape == (200, 3)
