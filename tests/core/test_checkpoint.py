"""The file of a checkpoint: what is put there comes back, an unfinished end is dropped, damage is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nif.core import checkpoint as module
from nif.core.checkpoint import MARK, Checkpoint, kept, opened
from nif.core.errors import InputError

ARRAYS = {
    "whole": np.arange(6.0).reshape(2, 3),
    "number": np.array(0.1),
    "none": np.zeros((0, 3), dtype=np.float32),
    "flags": np.array([True, False]),
    "counts": np.array([1, -2], dtype=np.int64),
    "outcomes": np.array([[2]], dtype=np.int8),
    "turned": np.arange(6.0).reshape(2, 3).T,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.nif-part"


def open_of(path: Path) -> Checkpoint:
    with opened(path) as checkpoint:
        assert checkpoint is not None
        return checkpoint


def fill(path: Path, count: int = 3) -> None:
    with opened(path) as checkpoint:
        assert checkpoint is not None
        checkpoint.check({"seed": "0"})
        for number in range(count):
            checkpoint.put(str(number), {"values": np.full(4, float(number))}, {"twice": 2 * number})


def test_arrays_and_facts_come_back_with_the_same_bits(path: Path) -> None:
    with opened(path) as checkpoint:
        assert checkpoint is not None
        checkpoint.put("all", ARRAYS, {"pairs": [[1, [2, None]]], "part": 0.1})
    with opened(path) as checkpoint:
        assert checkpoint is not None
        arrays, facts = checkpoint.get("all")
    assert (facts["pairs"], facts["part"]) == ([[1, [2, None]]], 0.1)
    assert list(arrays) == list(ARRAYS)  # sums of floating-point numbers depend on their order
    for name, values in ARRAYS.items():
        assert arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(arrays[name], values, strict=True)
        assert arrays[name].flags.writeable


def test_a_later_record_replaces_an_earlier_one_and_its_room_is_freed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LITTLE", 10_000)
    sizes = []
    with opened(path) as checkpoint:
        assert checkpoint is not None
        checkpoint.put("first", {"values": np.ones(10)})
        for number in range(50):
            checkpoint.put("sums", {"values": np.full(500, float(number))})
            sizes.append(path.stat().st_size)
    assert max(sizes) < 20_000
    assert sizes != sorted(sizes)
    with opened(path) as checkpoint:
        assert checkpoint is not None
        assert (checkpoint.get("sums")[0]["values"] == 49).all()
        assert (checkpoint.get("first")[0]["values"] == 1).all()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_stages_of_the_same_name_have_records_of_their_own(path: Path) -> None:
    with opened(path) as checkpoint:
        assert checkpoint is not None
        one, other = checkpoint.stage("pairs"), checkpoint.stage("pairs")
        one.put("0", {"values": np.zeros(1)})
        assert "0" in one
        assert "0" not in other
        assert (one.names(), other.names()) == (["0"], [])


def test_what_is_kept_is_computed_once(path: Path) -> None:
    calls = []

    def compute() -> list[np.ndarray]:
        calls.append(1)
        return [np.arange(3.0), np.array([True])]

    for _ in range(2):
        with opened(path) as checkpoint:
            assert checkpoint is not None
            first, second = kept(checkpoint.stage("links"), "0", compute)
        np.testing.assert_array_equal(first, np.arange(3.0))
        np.testing.assert_array_equal(second, [True])
    assert len(calls) == 1


def test_an_unfinished_end_is_dropped_wherever_it_was_cut(path: Path) -> None:
    fill(path, 2)
    begin = path.read_bytes()
    fill(path, 3)
    whole = path.read_bytes()
    third = whole[len(begin) :]  # the third and what `fill` writes again before it
    assert len(third) > 200
    for cut in range(0, len(third), 7):
        path.write_bytes(begin + third[:cut])
        with opened(path) as checkpoint:
            assert checkpoint is not None
            checkpoint.check({"seed": "0"})
            assert (checkpoint.get("1")[0]["values"] == 1).all()
            assert "2" not in checkpoint
            checkpoint.put("2", {"values": np.full(4, 5.0)})
        with opened(path) as checkpoint:
            assert checkpoint is not None
            assert (checkpoint.get("2")[0]["values"] == 5).all()


@pytest.mark.parametrize("length", range(len(MARK)))
def test_a_file_that_was_only_begun_is_begun_again(path: Path, length: int) -> None:
    path.write_bytes(MARK[:length])
    fill(path)
    with opened(path) as checkpoint:
        assert checkpoint is not None
        assert checkpoint.get("2")[1]["twice"] == 4


def test_a_damaged_byte_is_refused_wherever_it_is(path: Path) -> None:
    fill(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"no checkpoint that can be used \(.*\); remove it"):
            open_of(path)
        assert path.read_bytes() == damaged


def test_another_file_is_refused_and_stays(path: Path) -> None:
    path.write_text("the only copy of a text")
    with pytest.raises(InputError, match="no checkpoint that can be used"):
        open_of(path)
    assert path.read_text() == "the only copy of a text"


def test_other_work_is_refused_and_what_differs_is_said(path: Path) -> None:
    work = {"the model": "a" * 64, "seed": "0", "rows": "10"}
    with opened(path) as checkpoint:
        assert checkpoint is not None
        checkpoint.check(work)
    with opened(path) as checkpoint:
        assert checkpoint is not None
        checkpoint.check(work)
        with pytest.raises(InputError, match=r"of other work: the model differs, seed was 0 and is 1\. Pass"):
            checkpoint.check({**work, "the model": "b" * 64, "seed": "1"})


@pytest.mark.parametrize("name", ["", "missing/run.nif-part", "run\0.nif-part"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="checkpoint"):
        open_of(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_number_is_no_name_and_bytes_are_one(path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint is 3; expected the name of a file"), opened(3):  # type: ignore[arg-type]
        pass
    with opened(os.fsencode(path)):  # type: ignore[arg-type]
        assert path.exists()


def test_a_read_only_file_is_refused_and_stays(path: Path) -> None:
    with opened(path):
        pass
    path.chmod(0o444)
    with pytest.raises(InputError, match="read-only; pass another name"):
        open_of(path)
    assert path.exists()


def test_a_full_disk_is_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with opened(path) as checkpoint:
        assert checkpoint is not None
        monkeypatch.setattr(module, "_to_disk", full)
        with pytest.raises(InputError, match=r"cannot be written \(.*No space left on device\)"):
            checkpoint.put("0", ARRAYS)


def test_two_threads_do_not_write_one_file(path: Path) -> None:
    """A lock keeps other processes out, not threads of this one."""
    link = path.with_name("link")
    link.symlink_to(path)
    with opened(path), pytest.raises(InputError, match="Another process or thread goes on"):
        open_of(link)
    open_of(link)


@pytest.mark.usefixtures("full_disk")
def test_what_fitted_on_a_full_disk_can_be_used(path: Path) -> None:
    """Closing the file would fail once more, with the words of the system."""
    fits = {"numbers": np.arange(300.0)}
    with pytest.raises(InputError, match="cannot be written"), opened(path) as checkpoint:
        assert checkpoint is not None
        for name in "012":
            checkpoint.put(name, fits)
    with opened(path) as checkpoint:
        assert checkpoint is not None
        assert checkpoint.names("") == ["0"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks of files are those of POSIX")
def test_two_processes_do_not_write_one_file(path: Path) -> None:
    other = f"from nif.core.checkpoint import opened\nwith opened({str(path)!r}): pass"
    with opened(path):
        run = subprocess.run([sys.executable, "-c", other], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "Another process or thread goes on with the checkpoint" in run.stderr
    assert subprocess.run([sys.executable, "-c", other], check=False).returncode == 0
