"""Text files: separators, encodings, and text among numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nif.cli.columns import csv, labels, numbers
from nif.cli.data import columns, read
from nif.cli.main import main
from nif.core.errors import InputError
from nif.estimators.estimate import BELOW_0, Estimate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1.5,2\n3,4\n", [[1.5, 2], [3, 4]]),
        ("a;b\n1.5;2\n3;4\n", [[1.5, 2], [3, 4]]),
        ("a;b\n1,5;2\n3;4\n", [[1.5, 2], [3, 4]]),
        ("a\tb\n1.5\t2\n3\t4\n", [[1.5, 2], [3, 4]]),
        ('"a;c",b\n1.5,2\n3,4\n', [[1.5, 2], [3, 4]]),
    ],
    ids=["comma", "semicolon", "decimal comma", "tab", "semicolon in a name"],
)
def test_separators(text: str, expected: list[list[float]], tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(text)
    assert csv(tmp_path / "data.csv").to_numpy().tolist() == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_names_in_all_encodings(encoding: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"data{ending}"
    path.write_text("größe\tklasse\n1\tä\n2\tb\n", encoding=encoding)
    assert list(csv(path)) == ["größe", "klasse"]
    assert read(path, label="klasse").classes == ("b", "ä")


def test_rows_of_more_values_than_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(InputError, match="more values than its first line has names"):
        read(tmp_path / "data.csv")


def test_numbers_where_names_are_expected_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("0.5,-1.25\n1,2\n")
    with pytest.raises(InputError, match="has numbers in its first line; expected the names"):
        read(tmp_path / "data.csv")
    (tmp_path / "data.csv").write_text("0,1\n1,2\n")
    assert list(csv(tmp_path / "data.csv")) == ["0", "1"]


@pytest.mark.parametrize("read_column", [numbers, labels])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1.5", "2", "?", "x"], r"has numbers and, in row 2, the word '\?'"),
        (["1.5", "2\0"], "has numbers and, in row 1, the word"),
        (["12 %", "3%", "4.5 %"], "numbers as text, such as '12 %'"),
        (["1,000", "2,000.5"], "numbers as text, such as '1,000'"),
        (["$ 3", "-$4"], "numbers as text"),
        (["80.5 kg", "7 kg"], "numbers as text, such as '80.5 kg'"),
        (["1", "2"], "numbers as text"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "has dates or times"),
    ],
    ids=["question mark", "nul", "percent", "thousands", "currency", "unit", "text", "dates"],
)
def test_text_among_numbers_is_refused(read_column, values, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        read_column(pd.Series(values, name="a"))


def test_words_and_categories_are_categories(tmp_path: Path) -> None:
    assert numbers(pd.Series(["no", "yes", "no"])).tolist() == [0, 1, 0]
    assert numbers(pd.Series(["1a", "class 2"])).tolist() == [0, 1]
    assert numbers(pd.Series(["1st", "2nd", "3rd"])).tolist() == [0, 1, 2]
    assert numbers(pd.Series([7, 3, 7]).astype("category")).tolist() == [1, 0, 1]
    pd.DataFrame({"a": range(60), "b": ["x", "y"] * 30}).to_csv(tmp_path / "data.csv", index=False)
    assert np.unique(columns(tmp_path / "data.csv", "a,b")[:, 1]).tolist() == [0, 1]


@pytest.mark.parametrize("sign", [1, -1], ids=["above 0", "below 0"])
def test_it_is_said_why_an_estimate_is_below_its_interval(
    sign: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n3,4\n")
    one = Estimate.of(0.005 * sign, stderr=0.006, p_value=0.7, samples=200, estimator="Ksg()")
    monkeypatch.setattr("nif.estimators.arrays.estimate", lambda *_, **__: one)
    with pytest.raises(SystemExit, match="0"):
        main(["estimate", str(tmp_path / "data.csv"), "--x", "a", "--y", "b"])
    printed = capsys.readouterr().out
    assert f"= {0.005 * sign:.4f} ± 0.0060 nats" in printed and "interval 0.0000 to 0.0" in printed
    assert (BELOW_0 in printed) == (sign < 0)
