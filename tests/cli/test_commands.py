"""The command: its output and files; an error is one line and leaves no file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
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
from nif.comparison.methods import ATTRIBUTIONS, raw_mi
from nif.core.errors import InputError
from nif.estimators import ESTIMATORS

FACTORY = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(3, 6), nn.Linear(3, 6)
        self.head, self.value = nn.Linear(6, 2), nn.Linear(6, 1)

    def forward(self, left, right):
        units = torch.relu(self.left(left) + self.right(right))
        return self.head(units), self.value(units)

def text():
    return "no network"

def sized(width):
    return nn.Linear(3, width)

def broken():
    raise ZeroDivisionError("in the user's code")

instance = net()
number = 3
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a module of networks, weights and data; the current one."""
    (tmp_path / "nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["label"] = (x[:, 0] > 0).astype(int)
    frame["word"] = np.where(x[:, 0] > 0, "yes", "no")
    frame.to_csv("data.csv", index=False)
    frame.drop(columns="word").to_csv("numbers.csv", index=False)
    frame.to_parquet("data.parquet")
    np.save("data.npy", x.astype(np.float32))
    np.savez("data.npz", x=x, y=frame["label"])
    weights = trained().state_dict()
    save_file(weights, "weights.safetensors")
    torch.save(weights, "weights.pt")
    return tmp_path


def trained() -> nn.Sequential:
    """Weights that read the first feature; hidden unit 5 is dead."""
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net[0].weight[:5, 0] = torch.tensor([1.0, -1.0, 2.0, -2.0, 1.5])
        net[2].weight[1] = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 0.0])
    return net


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a failing command prints."""
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("nif: ")
    assert captured.err.count("\n") == 1
    return captured.err


COMMANDS = ("demo", "layers", "measure", "show", "prune", "compare", "report", "estimate")
MEASURE = ("measure", "nets:net", "numbers.csv", "--label", "label", "--estimator", "binned")
WEIGHTS = ("--weights", "weights.safetensors")


# Commands


def test_measure_writes_the_flow_that_the_library_measures(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*MEASURE, *WEIGHTS, "-o", "flow.safetensors") == 0
    frame = pd.read_csv("data.csv")[["a", "b", "c"]]
    assert nif.load("flow.safetensors") == nif.measure(trained(), frame, nif.Binned(), progress=False)
    printed = capsys.readouterr().out
    assert "Flow of 3-6-2 units" in printed
    assert "Written: flow.safetensors" in printed


@pytest.mark.parametrize(
    "data",
    [
        ("numbers.csv", "--label", "label"),
        ("data.csv", "--x", "a,b,c"),
        ("data.csv", "--x", "a, b, c", "--label", "word"),
        ("data.parquet", "--x", "a,b,c"),
        ("data.npz",),
        ("data.npz", "--x", "x", "--label", "y"),
    ],
    ids=" ".join,
)
def test_every_kind_of_file_gives_the_same_links(room: Path, data: tuple[str, ...]) -> None:
    assert run("measure", "nets:net", *data, *WEIGHTS, "--estimator", "binned", "-o", "flow.safetensors") == 0
    expected = nif.measure(trained(), np.load("data.npz")["x"], nif.Binned(), progress=False)
    flow = nif.load("flow.safetensors")
    for ours, theirs in zip(flow.links, expected.links, strict=True):
        assert np.array_equal(ours.nats, theirs.nats)


def test_weights_of_torch_and_of_safetensors_are_the_same(room: Path) -> None:
    for weights, output in (("weights.pt", "one.safetensors"), ("weights.safetensors", "two.safetensors")):
        assert run(*MEASURE, "--weights", weights, "-o", output) == 0
    assert nif.load("one.safetensors") == nif.load("two.safetensors")


def test_label_in_words_names_the_classes(room: Path) -> None:
    data = ("data.csv", "--x", "a,b,c", "--label", "word")
    assert run("measure", "nets:net", *data, *WEIGHTS, "--estimator", "binned", "-o", "flow.safetensors") == 0
    assert nif.load("flow.safetensors").layers[-1].units == ("no", "yes")


def test_prune_writes_weights_that_fit_a_fresh_network(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nif.pruning.file import shrink

    assert run(*MEASURE, *WEIGHTS, "-o", "flow.safetensors") == 0
    data = ("numbers.csv", "--label", "label", "--flow", "flow.safetensors")
    assert run("prune", "nets:net", *data, *WEIGHTS, "-o", "small.safetensors") == 0
    assert "accuracy" in capsys.readouterr().out
    x = torch.from_numpy(np.load("data.npy"))
    small = shrink(trained(), "small.safetensors")
    torch.testing.assert_close(small(x), trained()(x))
    assert small[0].weight.shape[0] < 6


def test_prune_without_label_compares_the_outputs(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("measure", "nets:net", "data.npy", *WEIGHTS, "--estimator", "binned", "-o", "f.safetensors") == 0
    )
    data = ("data.npy", "--flow", "f.safetensors", "--remove", "0.5", "--tolerance", "1000")
    assert run("prune", "nets:net", *data, *WEIGHTS, "-o", "small.safetensors") == 0
    assert "largest change of output" in capsys.readouterr().out


def test_prune_measures_where_no_flow_is_given(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nif.pruning.file import shrink

    monkeypatch.setattr("nif.estimators.arrays.MOST_TERMS_FOR_MINE", 0)  # Binned: seconds less
    assert run("prune", "nets:net", "data.npy", *WEIGHTS, "--out", "small.safetensors") == 0
    assert shrink(trained(), "small.safetensors")[0].weight.shape[0] < 6


def test_networks_of_several_inputs_and_outputs(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = np.load("data.npz")["x"], np.load("data.npz")["y"]
    np.savez("pairs.npz", left=x, right=x[:, ::-1], y=y)
    data = ("nets:Pair", "pairs.npz", "--x", "left,right", "--output")
    assert run("layers", *data, "0") == 0
    assert "input.left" in capsys.readouterr().out
    assert "There is no output 'score'" in error(capsys, "measure", *data, "score", *OUT)
    assert run("measure", *data, "-2", "--estimator", "binned", "-o", "pair.safetensors") == 0
    options = ("0", "--label", "y", "--flow", "pair.safetensors", "--remove", "0.5", "--tolerance", "1")
    assert run("prune", *data, *options, "-o", "small.safetensors") == 0
    assert "accuracy" in capsys.readouterr().out
    assert nif.pruning.result.read_record("small.safetensors").removed["how"].tolist() == ["cut"] * 3
    assert "Choose one: output=0, output=1" in error(capsys, "measure", *data[:-1], *OUT)


def test_report_writes_the_page(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*MEASURE, *WEIGHTS, "-o", "flow.safetensors") == 0
    capsys.readouterr()
    assert run("report", "flow.safetensors", "-o", "flow.html") == 0
    assert capsys.readouterr().out == "Written: flow.html\n"
    nif.load("flow.safetensors").report("again.html")
    assert Path("flow.html").read_bytes() == Path("again.html").read_bytes()
    Path("flow.html").unlink()
    Path("flows").mkdir()
    Path("flow.safetensors").rename("flows/flow.safetensors")
    assert run("report", "flows/flow.safetensors") == 0  # without -o, beside the flow
    assert capsys.readouterr().out == f"Written: {Path('flows/flow.html')}\n"
    assert Path("flows/flow.html").read_bytes() == Path("again.html").read_bytes()


def test_rows_and_noise_are_options(room: Path) -> None:
    assert run(*MEASURE, *WEIGHTS, "--rows", "80", "--noise", "0.1", "-o", "flow.safetensors") == 0
    flow = nif.load("flow.safetensors")
    assert flow.measurement.samples == 80 and flow.measurement.options["noise"] == 0.1


def test_layers_lists_what_would_be_measured(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layers", "nets:net", "data.npy") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["input", "input", "3"],
        ["1", "ReLU", "6"],
        ["output", "Linear", "2"],
    ]


def test_layers_needs_no_data_but_the_shape_of_a_row(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layers", "nets:net", "data.npy") == 0
    expected = capsys.readouterr().out
    assert run("layers", "nets:net") == 0 and capsys.readouterr().out == expected
    assert run("layers", "nets:net", "--shape", "3") == 0 and capsys.readouterr().out == expected
    assert run("layers", "nets:Pair", "--shape", "3", "--shape", "3", "--output", "0") == 0
    assert "input.left" in capsys.readouterr().out
    assert "pass --shape, such as --shape 1,28,28" in error(capsys, "layers", "nets:Pair")


@pytest.mark.usefixtures("short_published")
def test_demo_runs(room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTRIBUTIONS, "SHAP", raw_mi)  # SHAP takes seconds, and test_experiment runs it
    assert run("demo", "iris", "--hidden", "2", "--estimator", "binned", "--out", "made") == 0
    printed = capsys.readouterr()
    assert "Network 4-2-3" in printed.out
    said = r"nif: (loading .* seconds|(training|measuring|pruning|comparing|writing).* spent.*)"
    assert [line for line in printed.err.splitlines() if not re.fullmatch(said, line)] == []
    assert Path("made/currents.safetensors").exists()


def test_command_starts_without_the_slow_imports() -> None:
    """The modules of the commands import click only; other libraries are imported when a command runs."""
    program = (
        "import sys, types; package = types.ModuleType('nif'); package.__path__ = [sys.argv[1]];"
        "sys.modules['nif'] = package; import nif.cli;"
        "print(sorted({'torch', 'numpy', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    source = str(Path(nif.__file__).parent)
    done = subprocess.run([sys.executable, "-c", program, source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_that_loads_for_long_says_so(room: Path) -> None:
    (room / "slow_nets.py").write_text("import time\ntime.sleep(1.0)\n" + FACTORY)
    program = (
        "import sys, nif.cli; main = sys.modules['nif.cli.main']; main.SECONDS_OF_LOADING = 0.5;"
        "main.main(['layers', 'slow_nets:net'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "nif: loading PyTorch and other libraries, a few seconds\n"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert nif.__version__ in capsys.readouterr().out
    for command in COMMANDS:
        assert run(command, "--help") == 0
        assert f"nif {command}" in capsys.readouterr().out
    assert set(group.commands) == set(COMMANDS)


def test_help_names_every_estimator(capsys: pytest.CaptureFixture[str]) -> None:
    run("measure", "--help")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ESTIMATORS)


# Errors

OUT = ("-o", "out.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "wine"), "There is no demo 'wine'"),
        (("demo", "iris", "--hidden", "ten"), "--hidden is 'ten'"),
        (("demo", "iris", "--estimator", "guess"), "estimator names 'guess'"),
        (("demo", "iris", "--seed", "x"), "'x' is not a valid integer"),
        (("measure", "nets:net"), "Missing argument 'DATA'. See nif measure --help."),
        (("measure", "nets:net", "data.npy"), "Missing option '-o' / '--out'. The flow, as .safetensors."),
        (("measure", "nets", "data.npy", *OUT), "expected MODULE:FACTORY"),
        (("measure", "nowhere:net", "data.npy", *OUT), "Cannot import 'nowhere'"),
        (("measure", "nets:nett", "data.npy", *OUT), "nets has no 'nett'"),
        (("measure", "nets:text", "data.npy", *OUT), "returned a str; expected a torch.nn.Module"),
        (("measure", "nets:number", "data.npy", *OUT), "nets:number is a int"),
        (("measure", "nets:sized", "data.npy", *OUT), "cannot be called without arguments"),
        (("measure", "nets:broken", "data.npy", *OUT), "ZeroDivisionError: in the user's code"),
        (("measure", "nets:net", "data.txt", *OUT), "expected a .csv, .tsv, .npy, .npz or .parquet"),
        (("measure", "nets:net", "absent.csv", *OUT), "Cannot read absent.csv"),
        (("measure", "nets:net", "data.csv", *OUT), "not numbers: word"),
        (("measure", "nets:net", "data.csv", "--x", "a,bb", *OUT), "Did you mean 'b'?"),
        (("measure", "nets:net", "data.npz", "--x", "z", *OUT), "There is no array in data.npz: 'z'"),
        (("measure", "nets:net", "data.csv", "--x", "a,b", *OUT), "shape"),
        (("measure", "nets:net", "data.npy", "--weights", "none.pt", *OUT), "none.pt"),
        (("measure", "nets:net", "data.npy", "-o", "out.txt"), "ends in .safetensors"),
        (("measure", "nets:net", "data.npy", "-o", "no/such/out.safetensors"), "cannot be written"),
        (("measure", "nets:net", "data.npy", "--noise", "-1", *OUT), "noise"),
        (("prune", "nets:net", "data.npy", "--flow", "none.safetensors", *OUT), "none.safetensors"),
        (("report", "none.safetensors", "-o", "flow.html"), "none.safetensors"),
        (("report", "weights.safetensors", "-o", "flow.html"), "weights.safetensors"),
        (("estimate", "data.csv", "--x", "a"), "Missing option '--y'"),
        (("estimate", "data.csv", "--x", "a", "--y", "z"), "There is no column in data.csv: 'z'"),
        (("unknown",), "No such command 'unknown'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_error_is_one_line(
    room: Path, arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(room.iterdir())
    assert message in error(capsys, *arguments)
    assert {path.name for path in set(room.iterdir()) - before} <= {"__pycache__"}


def test_debug_shows_the_error_wherever_it_stands(room: Path) -> None:
    for arguments in (("--debug", "demo", "wine"), ("demo", "wine", "--debug")):
        with pytest.raises(InputError):
            main(arguments)


def test_pickled_model_is_not_loaded(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(trained(), "model.pt")
    message = error(capsys, "measure", "nets:net", "data.npy", "--weights", "model.pt", *OUT)
    assert "can execute code" in message


def test_pickled_array_is_not_loaded(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("objects.npy", np.array([{"a": 1}] * 60, dtype=object))
    np.savez("objects.npz", x=np.array([{"a": 1}] * 60, dtype=object))
    for file in ("objects.npy", "objects.npz"):
        assert f"Cannot read {file} (it holds pickled objects" in error(
            capsys, "measure", "nets:net", file, *OUT
        )


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_of_another_network_are_refused(
    room: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = nn.Linear(2, 2).state_dict()
    save_file(other, "weights.safetensors")
    torch.save(other, "weights.pt")
    assert "do not fit the network" in error(
        capsys, "measure", "nets:net", "data.npy", "--weights", name, *OUT
    )


@pytest.mark.parametrize(
    "name", ["broken.safetensors", "broken.pt", "broken.npz", "broken.npy", "broken.parquet"]
)
def test_broken_file_is_named(room: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(b"\x00broken")
    weights = ("--weights", name) if name.endswith(("safetensors", "pt")) else ()
    data = "data.npy" if weights else name
    assert name in error(capsys, "measure", "nets:net", data, *weights, *OUT)


def test_label_that_is_no_class_is_refused(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("measure", "nets:net", "data.npy", *WEIGHTS, "--estimator", "binned", "-o", "f.safetensors") == 0
    )
    capsys.readouterr()
    data = ("data.csv", "--x", "a,b,c", "--label", "c", "--flow", "f.safetensors")
    assert "fractional" in error(capsys, "prune", "nets:net", *data, *WEIGHTS, *OUT)


def test_warning_is_one_line(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("twice.npy", np.tile(np.random.default_rng(0).normal(size=(50, 3)), (4, 1)))
    assert run("measure", "nets:net", "twice.npy", "--estimator", "binned", *OUT) == 0
    printed = capsys.readouterr().err
    assert printed.startswith("nif: warning: 75% of the rows")
    assert printed.count("\n") == 1
