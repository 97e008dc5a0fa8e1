"""A file is there as a whole or not at all, and whatever keeps it from being written gets a sentence."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nif.core.errors import InputError
from nif.core.files import whole_file
from support.browsing import FLOW

REFUSED = ("", ".", "/", "a\0b", "plain.txt/flow", "x" * 300, "taken", "missing/flow")


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: repr(name[:12]))
def test_what_can_not_be_written_is_told_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("as before")
    (tmp_path / "taken").mkdir()
    for write in (FLOW.report, FLOW.save):
        with pytest.raises(InputError, match="cannot be written to"):
            write(name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["plain.txt", "taken"]
    assert (tmp_path / "plain.txt").read_text() == "as before"


def test_the_longest_name_that_a_directory_takes(tmp_path: Path) -> None:
    FLOW.report(tmp_path / ("x" * 250 + ".html"))
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "flow").write_text("as before")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "flow", "The flow") as beside:
        beside.write_text("half")
        raise RuntimeError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as before"]


def test_the_file_has_the_mode_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with whole_file(tmp_path / "flow", "The flow") as beside:
        beside.write_text("whole")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1
