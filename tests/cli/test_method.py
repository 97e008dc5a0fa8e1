"""`nif measure --method`: every option reaches the method that it is for, and no other."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nif
from nif.cli.main import main
from nif.cli.main import nif as group
from nif.cli.method import DECISIONS, DEFAULT, OF_METHOD
from nif.core import shared
from nif.measures.currents import currents

FACTORY = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))

def value():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))
"""

FEW = ("--method", "currents", "--backgrounds", "8", "--rows", "40", "--steps", "4")


def net(outputs: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, outputs))


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A directory with a module of networks and data; the current one."""
    (tmp_path / "methods.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "methods", raising=False)
    x = np.random.default_rng(0).normal(size=(80, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["label"] = np.where(x[:, 0] > 0, "yes", "no")
    frame.to_csv("data.csv", index=False)
    frame[["c", "a", "b"]][:30].to_csv("background.csv", index=False)
    return frame


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(("measure", *arguments, "-o", "flow.safetensors"))
    return int(ended.value.code or 0)


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[nif.Flow, str]:
    assert run(*arguments) == 0
    return nif.load("flow.safetensors"), capsys.readouterr().out


NET = ("methods:net", "data.csv", "--label", "label")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("binned", "'binned' is an estimator of association; pass --estimator binned."),
        ("mutual", "'mutual' is not one of 'association', 'currents', 'decision_information'."),
    ],
)
def test_what_is_no_method_is_a_sentence(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*NET, "--method", name) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_currents_are_those_that_the_library_measures(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = measured(capsys, *NET, *FEW)
    method = nif.Currents(backgrounds=8, rows=40, steps=4)
    assert found == nif.measure(
        net(), room[["a", "b", "c"]], method, class_names=["no", "yes"], progress=False
    )
    assert f"{found.total} about one of 2 classes" in said
    assert "strongest paths" in said and "All features sum to the total" in said
    assert f"the total of {float(found.total or 0):.3f} nats; evaluated: 36 paths" in " ".join(said.split())


def test_a_page_is_written_from_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = measured(capsys, *NET, *FEW)
    with pytest.raises(SystemExit) as ended:
        main(("report", "flow.safetensors", "-o", "flow.html"))
    assert not ended.value.code
    summary = json.dumps(f"Currents: {found.total} about one of 2 classes")[1:-1]
    assert summary in Path("flow.html").read_text("utf-8")


def test_the_features_printed_sum_to_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    found, said = measured(capsys, *NET, *FEW)
    lines = said.split("\n\n")[2].splitlines()
    assert lines[0].split() == ["feature", "no", "yes", "nats", "±", "stderr", "absolute", "share"]
    numbers = np.array([[float(cell) for cell in line.split()[1:4]] for line in lines[1:4]])
    np.testing.assert_allclose(numbers[:, 2].sum(), float(found.total or 0), atol=2e-3)
    np.testing.assert_allclose(numbers[:, :2].sum(1), numbers[:, 2], atol=2e-3)
    assert (np.diff(np.abs(numbers[:, 2])) <= 0).all()


def test_labels_are_those_of_the_column(room: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = measured(capsys, *NET, *FEW, "--decision", "labels")
    assert "about the label, one of 2" in said
    x = torch.tensor(room[["a", "b", "c"]].to_numpy(), dtype=torch.float32)
    y = torch.tensor((room["label"] == "yes").to_numpy(), dtype=torch.int64)
    method = nif.Currents("labels", backgrounds=8, rows=40, steps=4)
    expected = nif.measure(net(), torch.utils.data.TensorDataset(x, y), method, progress=False)
    assert float(found.total or 0) == pytest.approx(float(expected.total or 0), rel=1e-5)


def test_backgrounds_are_the_rows_of_a_file_in_any_order_of_columns(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = measured(capsys, *NET, *FEW, "--background", "background.csv")
    x = room[["a", "b", "c"]]
    method = nif.Currents(backgrounds=8, rows=40, steps=4)
    expected = nif.measure(net(), x, method, background=x[:30], class_names=["no", "yes"], progress=False)
    np.testing.assert_array_equal(found.attribution(), expected.attribution())
    assert found.measurement.options["total_is"].startswith("mean divergence")


def test_rows_to_explain_are_those_of_a_file(room: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = measured(capsys, *NET, *FEW, "--explain", "background.csv")
    x = room[["a", "b", "c"]]
    method = nif.Currents(backgrounds=8, rows=40, steps=4)
    expected = nif.measure(net(), x, method, explain=x[:30], class_names=["no", "yes"], progress=False)
    assert found == expected and found.rows.tolist() == list(range(30)) and "over 30 given rows" in said


def test_noise_has_a_default_of_each_method(capsys: pytest.CaptureFixture[str]) -> None:
    value = ("methods:value", "data.csv", "--x", "a,b,c")
    assert measured(capsys, *value, *FEW)[0].measurement.options["noise"] == 0.2
    assert measured(capsys, *value, *FEW, "--noise", "0.5")[0].measurement.options["noise"] == 0.5
    association = (*NET, "--estimator", "binned")
    assert measured(capsys, *association)[0].measurement.options["noise"] == 0.0
    assert measured(capsys, *association, "--noise", "0.1")[0].measurement.options["noise"] == 0.1


def test_blocks_of_association_are_those_of_the_method(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = measured(capsys, *NET, "--estimator", "binned", "--blocks", "4")
    method = nif.Association(nif.Binned(), blocks=4)
    expected = nif.measure(net(), room[["a", "b", "c"]], method, class_names=["no", "yes"], progress=False)
    assert found == expected and f" in {len(room) // 4} blocks" in said


VALUES = {
    "estimator": "binned", "decision": "softmax", "target": "1:2",
    "background": "background.csv", "explain": "background.csv", "backgrounds": "4", "steps": "4",
    "blocks": "4", "noise": "0.1", "rows": "50",
}  # fmt: skip
FOREIGN = [
    (method, option)
    for method, others in (("association", "currents"), ("currents", "association"))
    for option in OF_METHOD[others]
    if option not in OF_METHOD[method]
]


@pytest.mark.parametrize(("method", "option"), FOREIGN)
def test_an_option_of_the_other_method_is_refused(
    capsys: pytest.CaptureFixture[str], method: str, option: str
) -> None:
    assert run(*NET, "--method", method, f"--{option}", VALUES[option]) == 2
    said = capsys.readouterr()
    other = "currents" if method == "association" else "association"
    assert said.err == f"nif: --{option} applies to --method {other}, and the method is {method}.\n"
    assert said.out == "" and not Path("flow.safetensors").exists()


def test_every_option_belongs_to_a_method_or_to_both() -> None:
    known = {parameter.name for parameter in group.commands["measure"].params}
    of_methods = set().union(*OF_METHOD.values())
    assert of_methods < known and set(VALUES) == of_methods
    assert DECISIONS == currents.DECISIONS
    assert {"decision", "backgrounds", "rows", "steps", "noise"} <= {
        field.name for field in fields(nif.Currents)
    }
    assert DEFAULT in OF_METHOD


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("methods:net", "data.csv", "--x", "a,b,c", *FEW, "--decision", "labels"),
            "name their column with --y",
        ),
        ((*NET, *FEW, "--decision", "labels", "--explain", "background.csv"), "--explain has no labels"),
        ((*NET, *FEW, "--target", "relu"), "'relu' names no unit; expected LAYER:INDEX, such as relu2:5"),
        ((*NET, *FEW, "--target", "relu:last"), "expected LAYER:INDEX"),
        ((*NET, "--method", "currents", "--steps", "many"), "neither a whole number of 1 or more nor 'auto'"),
        ((*NET, "--method", "currents", "--decision", "odds"), "'odds' is not one of"),
        ((*NET, "--method", "flows"), "'flows' is not one of"),
        (("methods:net", "data.csv", "--x", "a,b,label", *FEW, "--background", "background.csv"), "label"),
    ],
)
def test_an_option_without_meaning_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_target_is_a_unit_of_a_layer(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = measured(capsys, *NET, *FEW, "--target", "1:2")
    assert found.layers[-1].units == ("1[2]",)


def test_currents_are_the_default_and_an_estimator_means_association(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert measured(capsys, *NET, *FEW[2:])[0].currents is not None
    assert measured(capsys, *NET, "--estimator", "binned")[0].currents is None


@pytest.mark.slow
@pytest.mark.parametrize("method", [("--estimator", "binned"), FEW], ids=["association", "currents"])
def test_workers_map_what_is_in_scratch(
    method: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders, written = list[Path](), shared._written
    monkeypatch.setattr(
        shared, "_written", lambda value, folder: (folders.append(folder), written(value, folder))[1]
    )
    alone, _ = measured(capsys, *NET, *method)
    Path("scratch").mkdir()
    found, _ = measured(capsys, *NET, *method, "--jobs", "2", "--scratch", "scratch")
    assert found == alone
    assert folders
    assert {folder.parent.parent for folder in folders} == {Path("scratch").resolve()}
    assert not list(Path("scratch").iterdir())


def test_a_scratch_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*NET, *FEW, "--scratch", "elsewhere") == 2
    assert "scratch is elsewhere" in capsys.readouterr().err
