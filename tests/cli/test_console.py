"""Consoles of every code page show every text; names with half of a surrogate pair can be written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nif
from nif.cli.console import HANDLER, PLAIN, show_everything, tolerant

NETWORK = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
"""

PROGRAM = """
import json, os, sys
import igraph
import nif.cli.data, nif.cli.models, nif.cli.sections, nif.estimators.arrays, nif.pipeline, nif.report.page
from nif.cli.main import main

for number, (encoding, words) in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        for place, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), place)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=encoding)
        try:
            main(words)
        except SystemExit as ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code or 0)  # to take everything down that was loaded costs a second
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console")
    (folder / "consoles.py").write_text(NETWORK)
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 3)), columns=["größe", "重量", "c→d"])
    table.to_csv(folder / "data.csv", index=False)
    flow = nif.measure(nn.Linear(3, 2), table, nif.Binned(), progress=False)
    flow.save(folder / "flow.safetensors")
    return folder


CALLS = {
    "layers": (0, "layers", "consoles:net", "data.csv"),
    "measure": (0, "measure", "consoles:net", "data.csv", "--estimator", "binned", "-o", "é→.safetensors"),
    "estimate": (0, "estimate", "data.csv", "--x", "größe", "--y", "重量", "--estimator", "binned"),
    "report": (0, "report", "flow.safetensors", "-o", "r→\udcff.html"),
    "unknown column": (2, "estimate", "data.csv", "--x", "größe", "--y", "重→\udcff"),
    "no file": (2, "layers", "consoles:net", "gibt's nicht \udcff → 重.csv"),
    "no option": (2, "layers", "consoles:net", "--größe→重"),
    "help": (0, "measure", "--help"),
}


ON = [*(("cp1252", call) for call in CALLS), ("cp437", "estimate"), ("ascii", "no file"), ("utf-8", "report")]


@pytest.fixture(scope="module")
def ended(room: Path) -> dict[tuple[str, str], tuple[int, bytes, bytes]]:
    """Code, output and errors of each call, in a process of its own that one which has loaded torch forks."""
    paths = os.pathsep.join([str(Path(nif.__file__).parents[1]), str(room)])
    surroundings = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": paths, "PYTHONUTF8": "0"}
    calls = json.dumps([(encoding, CALLS[call][1:]) for encoding, call in ON])
    command = [sys.executable, "-c", PROGRAM, calls]
    done = subprocess.run(
        command, check=True, cwd=room, env=surroundings, stdout=subprocess.PIPE, timeout=300
    )
    codes = [int(line) for line in done.stdout.split()]
    written = [[(room / f"{n}.{name}").read_bytes() for name in ("out", "err")] for n in range(len(ON))]
    return {case: (code, out, err) for case, code, (out, err) in zip(ON, codes, written, strict=True)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
@pytest.mark.parametrize(("encoding", "call"), ON)
def test_no_command_ends_because_of_a_character(
    ended: dict[tuple[str, str], tuple[int, bytes, bytes]], encoding: str, call: str
) -> None:
    code, out, errors = ended[encoding, call]
    assert code == CALLS[call][0], errors
    assert b"UnicodeEncodeError" not in errors and b"Traceback" not in errors
    assert out if code == 0 else errors.startswith((b"nif: ", b"Usage"))


def test_what_a_console_cannot_show_is_written_out() -> None:
    show_everything()
    for encoding, said in (
        ("ascii", "0.1 +/- 0.2 -> x\\xdf\\udc80"),
        ("cp1252", "0.1 ± 0.2 -> xß\\udc80"),
        ("utf-8", "0.1 ± 0.2 → xß\\udc80"),
    ):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
        tolerant(stream)
        stream.write("0.1 ± 0.2 → xß\udc80")
        stream.flush()
        assert stream.buffer.getvalue().decode(encoding) == said  # type: ignore[attr-defined]
    assert all(text.isascii() for text in PLAIN.values())
    tolerant(io.StringIO())  # has no encoding
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", HANDLER)


def test_half_a_surrogate_pair_in_a_name_is_written_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, names = torch.randn(60, 2), {"feature_names": ["a\udcff", "\ud800"], "class_names": ["\udfff", "ß"]}
    flow = nif.measure(nn.Linear(2, 2), x, nif.Binned(), **names, progress=False)  # type: ignore[arg-type]
    assert flow.attribution().index.tolist() == ["a\\udcff", "\\ud800"]
    assert flow.attribution().columns.tolist() == ["\\udfff", "ß"]
    flow.save(tmp_path / "flow.safetensors")
    assert nif.load(tmp_path / "flow.safetensors") == flow
    flow.report(tmp_path / "flow.html")
    assert repr(flow) and flow._repr_html_()
