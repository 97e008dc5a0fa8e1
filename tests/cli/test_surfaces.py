"""What all commands share: one unit, one object with --json, the same names of options, and hints."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import nif
from nif.cli.main import main
from nif.cli.main import nif as group
from nif.cli.method import OPTIONS
from nif.comparison.methods import ATTRIBUTIONS
from nif.pruning.file import shrink
from nif.pruning.result import read_record

FACTORY = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
"""

FEW = ("--backgrounds", "8", "--rows", "60")


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Three features and the class that the network gives each row."""
    x = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["label"] = net()(torch.from_numpy(x)).argmax(1).numpy()
    return frame


@pytest.fixture(scope="module")
def flow(table: pd.DataFrame) -> nif.Flow:
    method = nif.Currents(backgrounds=8, rows=60)
    return nif.measure(net(), table[["a", "b", "c"]][:80], method, progress=False)


@pytest.fixture(autouse=True)
def room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame, flow: nif.Flow
) -> pd.DataFrame:
    """A directory with a module of networks, weights, data, and the flow measured on them."""
    (tmp_path / "surfaces.py").write_text(FACTORY)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "hidden_nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "surfaces", raising=False)
    save_file(net().state_dict(), "w.safetensors")
    table[:80].to_csv("data.csv", index=False)
    table[40:].to_csv("other.csv", index=False)
    flow.save("flow.safetensors")
    return table.copy()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(*arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


NET = ("surfaces:net", "data.csv", "--weights", "w.safetensors", "--y", "label")
PRUNE = ("prune", *NET, "--flow", "flow.safetensors", "-o", "small.safetensors")
QUICK = ("--methods", "currents,random")
RESULTS = {
    "measure": (*NET, *FEW, "-o", "again.safetensors"),
    "show": ("flow.safetensors",),
    "prune": PRUNE[1:],
    "compare": (*NET, "--flow", "flow.safetensors", *QUICK),
    "layers": ("surfaces:net", "data.csv", "--y", "label"),
    "estimate": ("data.csv", "--x", "a", "--y", "b", "--estimator", "gaussian_copula"),
}
"""Arguments of every command that prints a result, but for the demo, which takes long."""


# One object


@pytest.mark.parametrize("command", RESULTS)
def test_json_is_one_object_and_nothing_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, command, *RESULTS[command], "--json")
    assert out.count("\n") == 1
    assert json.loads(out, parse_constant=pytest.fail)  # neither NaN nor infinity


def test_every_command_that_prints_a_result_has_json() -> None:
    with_json = {
        name for name, command in group.commands.items() if "as_json" in {one.name for one in command.params}
    }
    assert with_json == {*RESULTS, "demo"} == set(group.commands) - {"report"}


def test_the_object_of_pruning_holds_scores_and_units(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, *PRUNE, "--remove", "0.5", "--tolerance", "1", "--json"))
    assert found["criterion"] == "accuracy" and found["table"]["accuracy"]["before"] == 1.0
    assert len(found["removed"]) == 8 and found["written"] == "small.safetensors"


def test_of_many_removed_units_the_first_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    options = (*PRUNE, "--remove", "0.75", "--tolerance", "1")
    out = printed(capsys, *options)
    removed = read_record("small.safetensors").removed
    assert len(removed) == 12
    ten = ", ".join(f"1:{unit}" if not unit.startswith("1") else unit for unit in removed["unit"][:10])
    assert f"\nRemoved:\n  1, cut, 12 units: {ten} and 2 more\n" in re.sub("\n    +", " ", out)
    assert json.loads(printed(capsys, *options, "--json"))["removed"] == removed.to_dict("records")


def test_the_object_of_a_comparison_is_the_table(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(printed(capsys, "compare", *RESULTS["compare"], "--json"))
    x, y = room[["a", "b", "c"]][:80], room["label"][:80].to_numpy()
    table = nif.compare(net(), nif.load("flow.safetensors"), x, y, methods=["currents", "random"])
    rows = {row["method"]: row for row in found["methods"]}
    assert list(rows) == list(table.index) and set(rows) < set(ATTRIBUTIONS)
    assert rows["currents"]["deletion"] == pytest.approx(table.loc["currents", "deletion"])
    shares = [row["attribution"] for row in found["attributions"] if row["method"] == "currents"]
    assert shares == pytest.approx(list(table.loc["currents", ["a", "b", "c"]]))


# One unit


def test_bits_are_nats_over_ln_2(capsys: pytest.CaptureFixture[str]) -> None:
    nats, bits = (printed(capsys, "show", "flow.safetensors", *option) for option in ((), ("--bits",)))
    words = r"of the ([0-9.]+) (\w+) that decide"
    (one, name), (two, other) = (re.search(words, text).groups() for text in (nats, bits))  # type: ignore[union-attr]
    assert (name, other) == ("nats", "bits") and "nats" not in bits and "bits" not in nats
    total = nif.load("flow.safetensors").total
    assert total is not None
    assert (one, two) == (f"{total.nats:.2f}", f"{total.nats / math.log(2):.2f}")
    in_nats, in_bits = (_numbers(text, "feature") for text in (nats, bits))
    np.testing.assert_allclose(in_bits, in_nats / math.log(2), atol=2e-3)
    links = [_numbers(text, "strongest links from") for text in (nats, bits)]
    np.testing.assert_allclose(links[1], links[0] / math.log(2), atol=2e-3)


def _numbers(text: str, header: str) -> np.ndarray:
    """The first three numbers of the rows of a table: of a part without p-values and shares."""
    lines = text.splitlines()
    (begin,) = [
        place for place, line in enumerate(lines) if line.startswith(f"  {header}") and "stderr" in line
    ]
    return np.array(
        [
            [float(cell) for cell in re.findall(r" (-?\d\.\d{3})", line)][:2]
            for line in lines[begin + 1 : begin + 4]
        ]
    )


def test_an_estimate_in_bits(room: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    nats, bits = (printed(capsys, "estimate", *RESULTS["estimate"], *option) for option in ((), ("--bits",)))
    expected = nif.estimate(room["a"][:80], room["b"][:80], nif.GaussianCopula())
    assert f"= {expected.nats:.4f} ± {expected.stderr:.4f} nats" in nats and "bits" not in nats
    assert f"= {expected.bits:.4f} ± {expected.stderr / math.log(2):.4f} bits" in bits and "nats" not in bits


def test_a_summary_in_bits_leaves_the_unit_of_others() -> None:
    flow = nif.load("flow.safetensors")
    assert "bits that decide" in flow.summary(unit="bits") and "nats that decide" in flow.summary()
    with pytest.raises(nif.InputError, match="unit names 'hartleys'"):
        flow.summary(unit="hartleys")


def test_json_is_in_nats(capsys: pytest.CaptureFixture[str]) -> None:
    assert "omit --bits" in refused(capsys, "show", "flow.safetensors", "--json", "--bits")


# The same names


def test_commands_that_measure_have_the_same_options() -> None:
    of_measuring = {option.name for option in _parameters(OPTIONS)}
    for command in ("measure", "prune", "compare"):
        assert of_measuring <= {parameter.name for parameter in group.commands[command].params}
    assert {"method", "decision", "target", "background", "estimator"} <= of_measuring


def _parameters(options: tuple) -> list:  # type: ignore[type-arg]
    def command() -> None: ...

    for option in options:
        option(command)
    return list(command.__click_params__)  # type: ignore[attr-defined]


def test_one_name_has_one_meaning() -> None:
    """An option of several commands has the same variable and the same kind of value in each."""
    seen: dict[str, tuple[str, str]] = {}
    for name, command in group.commands.items():
        for parameter in command.params:
            for spelled in parameter.opts if parameter.opts[0].startswith("-") else ():
                if name == "estimate" and spelled in {"--x", "--y"}:
                    continue  # both sides of a pair
                is_ = (parameter.name or "", type(parameter.type).__name__)
                assert seen.setdefault(spelled, is_) == is_, (name, spelled)


def test_y_and_label_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (
        printed(capsys, "layers", "surfaces:net", "data.csv", option, "label")
        for option in ("--y", "--label")
    )
    assert one == other


def test_prune_measures_as_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    options = (*NET, "--method", "association", "--estimator", "binned", "-o", "small.safetensors")
    assert "accuracy 1 -> 1" in printed(capsys, "prune", *options)
    said = refused(capsys, *PRUNE, "--decision", "labels")
    assert "--decision says how to measure, and --flow is measured" in said


def test_prune_rounds_widths_and_scores_other_rows(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--remove", "0.3", "--tolerance", "1", "--round-to", "8", "--held-out", "other.csv")
    out = printed(capsys, *PRUNE, *options)
    small = shrink(net(), "small.safetensors")
    assert small[0].out_features == 16 and "widths are multiples of 8" in out
    printed(capsys, *PRUNE, "--remove", "0.5", *options[2:])
    small = shrink(net(), "small.safetensors")
    assert small[0].out_features == 8
    x = torch.from_numpy(room[["a", "b", "c"]][40:].to_numpy(copy=True))
    right = float((small(x).argmax(1).numpy() == room["label"][40:]).mean())
    record = nif.pruning.result.read_record("small.safetensors")
    assert record.held_out == pytest.approx((1.0, right))


def test_flows_are_subtracted(capsys: pytest.CaptureFixture[str]) -> None:
    flow = nif.load("flow.safetensors")
    x = pd.read_csv("data.csv")[["a", "b", "c"]]
    other = net()
    with torch.no_grad():
        other[0].weight[:, 0] *= 0.5
    second = nif.measure(other, x, nif.Currents(backgrounds=8, rows=60), progress=False)
    second.save("second.safetensors")
    difference = flow - second
    out = printed(capsys, "show", "flow.safetensors", "--minus", "second.safetensors")
    assert f"{difference.loc['a', 'nats']:+.3f}" in out and str(difference.attrs["total"]) in " ".join(
        out.split()
    )
    found = json.loads(printed(capsys, "show", "flow.safetensors", "--minus", "second.safetensors", "--json"))
    assert [row["nats"] for row in found["features"]] == pytest.approx(list(difference["nats"]))


# Hints


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("layers", "surfaces.net"), "as surfaces:net"),
        (("layers", "./surfaces.py:net"), "as surfaces:net"),
        (("layers", "surfaces.py"), "as surfaces:net"),
        (("layers", "below/hidden_nets:net"), "as below.hidden_nets:net"),
        (("layers", "surfaces:net()"), "as surfaces:net"),
        (("layers", "surfaces"), "such as mypackage.nets:make_net"),
        (("layers", "hidden_nets:net"), "or write below.hidden_nets:net"),
        (("layers", "surfaces:nett"), "Did you mean 'net'?"),
        (("layers", "surfaces:net", "data.csv", "--x", "a;b;c"), "separate columns by commas: a,b,c"),
        (("layers", "surfaces:net", "data.csv", "--x", "a b c"), "separate columns by commas: a,b,c"),
        (("measure", *NET, "--layers", "0;1", "-o", "f.safetensors"), "separate names by commas, as 0,1"),
        (("demo", "iris", "--hidden", "10x10"), "separated by commas, as 10,10"),
        (("demo", "iris", "--hidden", "[32, 16]"), "separated by commas, as 32,16"),
        (("demo", "iris", "--hidden", "wide"), "separated by commas, such as 10,10"),
        (("compare", *NET[:-2]), "name their column with --y"),
        (("compare", *NET, "--methods", "shaq"), "Did you mean 'SHAP'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_hint_says_what_to_write(
    arguments: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hint in refused(capsys, *arguments)


def test_values_may_be_separated_by_bars(room: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    room[:80].to_csv("bars.csv", sep="|", index=False)
    one, other = (
        printed(capsys, "estimate", name, *RESULTS["estimate"][1:]) for name in ("bars.csv", "data.csv")
    )
    assert one == other
    room[:80].to_csv("spaces.csv", sep=" ", index=False)
    assert "was read as one column" in refused(capsys, "estimate", "spaces.csv", *RESULTS["estimate"][1:])


# The label is no feature


@pytest.mark.parametrize("command", ["layers", "measure", "prune"])
@pytest.mark.parametrize("words", [False, True])
def test_a_column_of_labels_that_is_not_named_is_suggested(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str], command: str, words: bool
) -> None:
    room.assign(label=room["label"].map({0: "no", 1: "yes"}) if words else room["label"]).to_csv(
        "all.csv", index=False
    )
    out = () if command == "layers" else ("-o", "out.safetensors")
    few = () if command == "layers" else FEW
    assert run(command, "surfaces:net", "all.csv", "--weights", "w.safetensors", *out) == 2
    assert "if one is the label, name it, such as --y label." in capsys.readouterr().err
    assert (
        run(command, "surfaces:net", "all.csv", "--weights", "w.safetensors", "--y", "label", *few, *out) == 0
    )
    assert command != "layers" or "input" in capsys.readouterr().out


def test_what_units_tell_and_what_is_used_from_the_command_line(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    method = ("--method", "decision_information", "--y", "label", "-o", "known.safetensors")
    assert run("measure", "surfaces:net", "data.csv", "--weights", "w.safetensors", *method) == 0
    capsys.readouterr()
    both = ("flow.safetensors", "--association", "known.safetensors")
    text = printed(capsys, "show", *both)
    table = nif.known_and_used(nif.load("known.safetensors"), nif.load("flow.safetensors"))
    assert f"{table['known'].loc[('input', 'a')]:.3f}" in text and "is used for" in text
    found = json.loads(printed(capsys, "show", *both, "--json"))["known_and_used"]
    assert [row["known"] for row in found] == pytest.approx(list(table["known"]))
    printed(capsys, "report", *both, "-o", "page.html", "--bits", "--data", "toys")
    page = Path("page.html").read_text("utf-8")
    assert '"known": {' in page and '"name": "bits"' in page and "on toys" in page
    assert run("report", *both[::-1][:1], "--association", "flow.safetensors", "-o", "page.html") == 2
    assert "expected" in capsys.readouterr().err


def test_words_of_a_network_that_was_trained_with_another_order_are_doubted(
    room: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words are numbered in alphabetical order, which would name every class wrongly."""
    frame = room[["a", "b", "c"]].assign(label=room["label"].map({0: "yes", 1: "no"}))
    frame.to_csv("words.csv", index=False)
    assert run("measure", "surfaces:net", "words.csv", *NET[2:], *FEW, "-o", "words.safetensors") == 0
    said = capsys.readouterr().err
    assert "alphabetical order: 0 is no, 1 is yes" in said
    doubt = "would in 100% if 0 were 1, 1 were 0. Are the classes numbered as in training, and"
    assert doubt in said
    options = ("--flow", "words.safetensors", "-o", "small.safetensors")
    assert run("prune", "surfaces:net", "words.csv", *NET[2:], *options) == 0
    assert doubt in capsys.readouterr().err
