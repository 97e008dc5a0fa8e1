"""A file is there as a whole or not at all, and whatever keeps it from being written gets a sentence."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nif.core.errors import InputError
from nif.core.files import HOST, scratch_folder, whole_file
from support.browsing import FLOW

REFUSED = ("", ".", "/", "a\0b", "plain.txt/flow", "x" * 300, "taken", "missing/flow")


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: repr(name[:12]))
def test_what_cannot_be_written_is_told_and_leaves_nothing(
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


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_that_is_replaced_passes_on_its_mode(mode: int, tmp_path: Path) -> None:
    (tmp_path / "flow").touch()
    (tmp_path / "flow").chmod(mode)
    FLOW.save(tmp_path / "flow")
    assert stat.S_IMODE((tmp_path / "flow").stat().st_mode) == mode


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_one(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other" / "flow")
    if exists:
        (tmp_path / "other" / "flow").touch()
    FLOW.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "other" / "flow").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["flow", "link", "other"]


def test_read_only_files_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "flow").write_text("as before")
    (tmp_path / "flow").chmod(0o444)
    with pytest.raises(InputError, match="which is read-only"):
        FLOW.save(tmp_path / "flow")
    assert (tmp_path / "flow").read_text() == "as before"
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match="a device or pipe"):
            FLOW.save(special)
        assert not special.is_file()


def test_threads_that_write_names_of_the_same_beginning(tmp_path: Path) -> None:
    def save(number: int) -> None:
        FLOW.save(tmp_path / f"{'x' * 60}{number % 3}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, range(60)))
    assert len(list(tmp_path.iterdir())) == 3


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    program = (
        "import os, sys, signal; from nif.core.files import whole_file\n"
        "with whole_file(sys.argv[1], 'The flow'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "flow"], check=False)
    with whole_file(tmp_path / "flow", "The flow"):  # of a process that runs
        assert len(list(tmp_path.iterdir())) == 1
        FLOW.save(tmp_path / "flow")
        assert len(list(tmp_path.iterdir())) == 2


def test_a_scratch_folder_is_ones_own_and_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert first is not None
        assert second is not None
        assert first != second
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        (first / "file").touch()
    assert not list(tmp_path.iterdir())
    with scratch_folder(None) as nothing:
        assert nothing is None


def test_the_scratch_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = f"nif-{HOST}-{ended.pid}-0a", f"nif-{HOST}-{os.getpid()}-0b", "nif-00000000-1-0c", "mine"
    for name in names:
        (tmp_path / name).mkdir()
    with scratch_folder(tmp_path):
        pass
    assert {one.name for one in tmp_path.iterdir()} == set(names[1:])


def test_a_scratch_that_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        with (
            pytest.raises(InputError, match=r"scratch is .*; expected a folder that exists"),
            scratch_folder(path),
        ):
            pass


TERMINATED = """
import os, signal, sys, time
from nif.core.files import scratch_folder

with scratch_folder(sys.argv[1]) as folder:
    (folder / "0.npy").touch()
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begun, b"1")
        time.sleep(60)
        os._exit(1)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)  # as the end of a worker that was forked
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert (folder / "0.npy").exists()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_a_terminated_process_removes_its_scratch_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TERMINATED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.terminate()
    assert program.returncode == -signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_the_users_own_handler_of_sigterm_stays(tmp_path: Path) -> None:
    def own(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        with scratch_folder(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    with scratch_folder(tmp_path):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_links_that_lead_to_themselves_stay(tmp_path):
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    with pytest.raises(InputError, match="a link to itself"), whole_file(tmp_path / "one", "The report"):
        pass
    assert {path.is_symlink() for path in tmp_path.iterdir()} == {True}
