"""`nif show`: the tables of a flow, as text and as JSON."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import nif
from nif.cli.main import main


@pytest.fixture(params=["currents", "association"])
def flow(request: pytest.FixtureRequest) -> nif.Flow:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    method = nif.Currents(backgrounds=8) if request.param == "currents" else nif.Association(nif.Binned())
    return nif.measure(net, x, method, progress=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["show", *arguments])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_text(flow: nif.Flow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.save(tmp_path / "flow.safetensors")
    text = shown(capsys, str(tmp_path / "flow.safetensors"))
    assert text.startswith(flow.summary())
    assert ("strongest paths" in text) == (flow.currents is not None)


def test_json(flow: nif.Flow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.save(tmp_path / "flow.safetensors")
    found = json.loads(shown(capsys, str(tmp_path / "flow.safetensors"), "--json"))
    assert found["headline"] == flow.summary().splitlines()[0] and found["unit"] == "nats"
    assert (found["total"] is None) == (flow.total is None)
    if flow.total is not None:
        assert found["total"]["nats"] == flow.total.nats
    importance = flow.importance()
    assert [feature["feature"] for feature in found["features"]] == list(importance.index)
    assert [feature["share"] for feature in found["features"]] == pytest.approx(
        list(importance["share"]), abs=1e-9
    )
    assert [layer["layer"] for layer in found["layers"]] == [layer.name for layer in flow.layers]
    assert len(found["links"]) == min(20, flow.count) and len(found["paths"]) == len(flow.paths(k=20))


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["show", "missing.safetensors"])
    assert left.value.code == 2 and "missing.safetensors" in capsys.readouterr().err
