"""Files that the command reads and writes, and example rows where there are no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

from nif.cli.data import columns, example, read, with_labels
from nif.cli.layers import layers
from nif.cli.models import network
from nif.cli.options import echo_classes
from nif.cli.report import report
from nif.core.errors import InputError
from nif.core.files import writable


def test_image_rows_keep_their_axes(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((60, 1, 8, 8), dtype=np.float32))
    assert isinstance(read(tmp_path / "images.npy").x, np.ndarray)
    assert read(tmp_path / "images.npy").x.shape == (60, 1, 8, 8)


def test_numbers_of_the_other_order_of_bytes_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.arange(6, dtype=">f4").reshape(3, 2))
    x = read(tmp_path / "big.npy").x
    assert all(kind.isnative for kind in x.dtypes)
    assert x.to_numpy().tolist() == [[0, 1], [2, 3], [4, 5]]


def test_missing_parquet_reader_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from nif.cli import data

    def absent(path: Path) -> pd.DataFrame:
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setitem(data.READERS, ".parquet", absent)
    with pytest.raises(InputError, match=r"neural-information-flow\[parquet\]"):
        read(Path("data.parquet"))


def test_empty_cells_of_words_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gaps.csv").write_text("a,b\n" + "1,x\n" * 60 + "1,\n")
    with pytest.raises(InputError, match="1 empty cells, the first in row 60"):
        columns(tmp_path / "gaps.csv", "b")
    with pytest.raises(InputError, match="1 empty cells"):
        read(tmp_path / "gaps.csv", label="b")


def test_names_with_spaces_are_columns(tmp_path: Path) -> None:
    (tmp_path / "spaces.csv").write_text("a, b\n" + "1,2\n" * 60)
    assert list(read(tmp_path / "spaces.csv").x) == ["a", " b"]
    assert columns(tmp_path / "spaces.csv", "a, b").shape == (60, 2)


def test_output_may_not_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        writable(tmp_path / "a.html", ending=".html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no directory \S*none; create it"):
        writable(tmp_path / "none" / "a.html", ending=".html")


def test_of_a_flow_that_is_not_there_the_report_names_the_flow() -> None:
    with pytest.raises(InputError, match=r"^none/flow\.safetensors cannot be read as a flow \(No such file"):
        report.main(["none/flow.safetensors"], standalone_mode=False)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (["3,x"], "expected the sizes of a row"),
        (["3", "3", "3"], "passed 3 times; the network takes input1, input2"),
        ([], "pass --shape, such as --shape 1,28,28"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_the_network_are_refused(shapes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        example(nn.Bilinear(3, 3, 2), shapes)


def test_data_and_a_shape_exclude_each_other() -> None:
    with pytest.raises(InputError, match="not both"):
        layers.main(["nets:net", "data.npy", "--shape", "3"], standalone_mode=False)


MODULE = """
import sys
from torch import nn
def leaves(): sys.exit(3)
def fails(): raise RuntimeError("no weights here")
"""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("users_nets:leaves", r"users_nets:leaves\(\) ended the program \(exit status 3\); it must return"),
        ("users_nets:fails", r"failed \(RuntimeError: no weights here\)"),
        ("users_nets.py:leaves", "expected MODULE:FACTORY, as users_nets:leaves"),
        ("users_nets:leaves:x", "expected MODULE:FACTORY"),
        ("os:abort.net", "os has no 'abort.net'; expected a function"),
        ("broken_nets:net", r"Importing broken_nets failed \(ZeroDivisionError"),
    ],
)
def test_what_code_of_the_user_does_is_a_sentence(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_nets.py").write_text(MODULE)
    (tmp_path / "broken_nets.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=message):
        network(path, None)


def test_an_array_that_says_it_is_huge_is_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 1), }\n"
    header = header.rjust(64 * 2 - 10)
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"huge.npy (does not fit into memory|cannot)|Cannot read"):
        read(tmp_path / "huge.npy")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, np.inf], "fractional or infinite numbers"),
        ([0, 1e300], "fractional or infinite numbers"),
        ([0, 0.5], "fractional or infinite numbers"),
        ([0, 1j], "content of complex128"),
    ],
    ids=str,
)
def test_labels_that_are_no_whole_numbers_are_refused(
    labels: list[float], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "rows.npz", x=np.zeros((60, 2)), k=np.array(labels * 30))
    with pytest.raises(InputError, match=message):
        with_labels(read(tmp_path / "rows.npz", label="k"), nn.Linear(2, 2))


def test_words_of_a_label_are_said_with_their_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    echo_classes("kind", ("ale", "porter"))
    assert capsys.readouterr().err == (
        "nif: the words of kind are classes in alphabetical order: 0 is ale, 1 is porter\n"
    )
    echo_classes("kind", None)
    assert capsys.readouterr() == ("", "")
