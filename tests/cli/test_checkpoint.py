"""`nif measure --checkpoint`: the command goes on after a crash; the file stays until the flow is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nif
from nif.cli.main import main
from nif.core.errors import InputError
from nif.estimators.pairs import Tables

FACTORY = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
"""
COMMAND = (
    "measure",
    "nets_of_checkpoint:net",
    "x.npy",
    "--estimator",
    "binned",
    "--checkpoint",
    "run.nif-part",
)


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([*COMMAND, *arguments, "-o", "flow.safetensors"])
    return ended.value.code


@pytest.fixture
def estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A directory with a network and data; lists the blocks that are computed there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("nets_of_checkpoint.py").write_text(FACTORY)
    np.save("x.npy", np.random.default_rng(0).normal(size=(100, 3)))
    found, estimate = list[int](), Tables.estimate
    monkeypatch.setattr(
        Tables, "estimate", lambda *given, **named: (found.append(1), estimate(*given, **named))[1]
    )
    return found


def test_a_flow_that_cannot_be_written_leaves_the_checkpoint(
    estimates: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise InputError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(nif.Flow, "save", full)
        assert run() == 2
    assert Path("run.nif-part").exists()
    count = len(estimates)
    assert count > 0
    assert run("--seed", "1") == 2
    assert "of other work: seed was 0 and is 1." in capsys.readouterr().err
    assert run() == 0
    assert len(estimates) == count
    assert not Path("run.nif-part").exists()
    assert nif.load("flow.safetensors").measurement.seed == 0


def test_without_a_crash_nothing_stays(estimates: list[int]) -> None:
    assert run() == 0
    assert sorted(path.name for path in Path().glob("*") if path.is_file()) == [
        "flow.safetensors",
        "nets_of_checkpoint.py",
        "x.npy",
    ]
