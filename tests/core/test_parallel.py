"""Tasks of killed workers are repeated, workers end with their parent, and threads are those allowed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from joblib import delayed, parallel_config

from nif.core import parallel
from nif.core.errors import InputError
from nif.core.executors import unless_stopped
from nif.core.parallel import THREADS, allowed_threads, in_parallel, is_this_process
from nif.core.shared import Shared
from support.tasks import square_or_die, sum_or_die

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_the_tasks_of_killed_workers_are_repeated_in_their_order(backend: str, tmp_path: Path) -> None:
    begun = []

    def tasks() -> Iterator[object]:
        for number in range(12):
            begun.append(number)
            yield delayed(square_or_die)(number, tmp_path, 2)

    with parallel_config(backend):
        assert list(in_parallel(2, tasks())) == [number**2 for number in range(12)]
    assert begun == list(range(12))
    assert 2 <= len(list(tmp_path.iterdir())) <= 4  # the other worker may have begun a task too


@POSIX
def test_workers_that_are_killed_again_and_again_are_a_sentence(tmp_path: Path) -> None:
    found = []
    with pytest.raises(
        InputError, match=r"killed 3 times in a row, .*memory ran out; pass a smaller n_jobs="
    ):
        for result in in_parallel(2, [delayed(square_or_die)(n, tmp_path, 99) for n in range(6)]):
            found.append(result)
    assert found in ([], [0], [0, 1], [0, 1, 4])
    assert 3 <= len(list(tmp_path.iterdir())) <= 6  # the other worker may have begun a task too


def test_what_workers_cannot_import_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ModuleType("known_in_this_process_alone")
    exec("def square(number): return number**2", here.__dict__)
    monkeypatch.setitem(sys.modules, here.__name__, here)
    with pytest.raises(InputError, match="Worker processes cannot import what they were sent"):
        list(in_parallel(2, (delayed(here.square)(number) for number in range(3))))


@pytest.mark.usefixtures("full_disk")
def test_no_room_for_what_processes_share_is_a_sentence(tmp_path: Path) -> None:
    shared = Shared((np.zeros(2**18),))
    with parallel_config(temp_folder=tmp_path), pytest.raises(InputError, match="is full; pass as scratch="):
        list(in_parallel(2, (delayed(sum_or_die)(shared, number, tmp_path, ()) for number in range(3))))


def test_an_error_of_a_task_is_raised_and_not_repeated() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(2, [delayed(divmod)(number, 0) for number in range(3)]))


FOREVER = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background of a script ignores
import numpy as np
from joblib import delayed, parallel_config
from nif.core.parallel import in_parallel
from nif.core.shared import Shared

def rest(shared, first):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece
    time.sleep(60)

large = Shared(np.zeros(2**18))
with parallel_config(backend=sys.argv[1]):
    list(in_parallel(2, [delayed(rest)(large, first) for first in range(4)]))
"""


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=["term", "int", "kill"]
)
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_no_process_and_no_file_stays_when_the_parent_is_ended(
    number: signal.Signals, backend: str, tmp_path: Path
) -> None:
    folders = {"JOBLIB_TEMP_FOLDER": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", FOREVER, backend]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | folders
    ) as program:
        assert program.stdout is not None
        workers = {int(program.stdout.readline()) for _ in range(2)}
        assert len(workers) == 2
        assert any(tmp_path.rglob("*.pkl")) or backend == "multiprocessing"
        program.send_signal(number)
        program.communicate(timeout=50)  # the work itself takes 120 s; workers hold the pipes open
    deadline = time.monotonic() + 30
    while (_running(workers) or any(tmp_path.rglob("*.pkl"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _running(workers)
    assert not any(tmp_path.rglob("*.pkl"))


IN_A_GROUP = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from joblib import delayed
from nif.core.parallel import in_parallel

def begin(first):
    time.sleep(1)  # so that the other process begins too
    return first

try:
    print(*in_parallel(2, [delayed(begin)(first) for first in range(4)]), flush=True)
    time.sleep(60)  # while the processes wait for work
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
@POSIX
def test_workers_say_nothing_when_an_interrupt_reaches_them_too() -> None:
    """As Ctrl-C does, which is sent to all processes of a terminal."""
    command = [sys.executable, "-c", IN_A_GROUP]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "0 1 2 3\n"
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=50)
    assert (out, err) == ("interrupted\n", "")


def _running(processes: set[int]) -> set[int]:
    return {one for one in processes if Path(f"/proc/{one}").exists()}


@pytest.mark.parametrize("name", THREADS)
def test_threads_are_those_that_the_user_allows(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in THREADS:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert allowed_threads() == 1
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    assert allowed_threads() == 16
    monkeypatch.setenv(name, "4,2")
    assert allowed_threads() == 4
    monkeypatch.setenv(name, "all")
    assert allowed_threads() == 16


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_a_task_has_one_thread(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    with parallel_config(backend=backend):
        assert list(in_parallel(2, [delayed(allowed_threads)() for _ in range(3)])) == [1, 1, 1]
    assert allowed_threads() == 16


WITH_THREADS = """
import torch
from joblib import delayed, parallel_config
from nif.core.parallel import in_parallel

def work(seed):
    return float((torch.zeros(2_000_000) + seed).mean())

torch.set_num_threads(2)
work(0)
with parallel_config("multiprocessing"):
    print(list(in_parallel(2, (delayed(work)(seed) for seed in range(2)))))
"""


@pytest.mark.slow
@POSIX
def test_processes_do_not_wait_for_threads_of_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITH_THREADS],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
    )
    assert done.stdout == "[0.0, 1.0]\n", done.stderr


INTERRUPTED = """
import os, signal, threading, time, torch
from joblib import delayed, parallel_config
from nif.core.executors import unless_stopped
from nif.core.parallel import in_parallel

signal.signal(signal.SIGINT, signal.default_int_handler)
running = []

def work(number):
    running.append(number)
    try:
        while True:
            torch.randn(300, 300) @ torch.randn(300, 300)
            unless_stopped(1.0)
            if number == 0 and len(running) == 2:  # a second signal would interrupt the end
                os.kill(os.getpid(), signal.SIGINT)
                running.append(None)
    finally:
        running.remove(number)

with parallel_config("threading"):
    try:
        list(in_parallel(2, (delayed(work)(number) for number in range(4))))
    except KeyboardInterrupt:
        print(running)
"""


@pytest.mark.slow
@POSIX
def test_threads_have_ended_when_an_interrupt_is_raised() -> None:
    """The interpreter aborts if it ends while a thread is in torch."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == ("[None]\n", 0), done.stderr


def test_a_thread_that_was_just_begun_has_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    running, begun, start = list[int](), list[threading.Thread](), threading.Thread.start

    def work(number: int) -> None:
        running.append(number)
        try:
            while True:
                unless_stopped(1.0)
                time.sleep(0.01)
        finally:
            time.sleep(0.3)
            running.remove(number)

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        begun.append(thread)
        while len(running) < len(begun):
            time.sleep(0.01)
        if len(running) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with parallel_config("threading"), pytest.raises(KeyboardInterrupt):
        list(in_parallel(2, (delayed(work)(number) for number in range(4))))
    assert running == []


def test_one_job_on_a_cluster_runs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_this_process(1)
    cluster = type("RayBackend", (), {})()
    monkeypatch.setattr(parallel, "get_active_backend", lambda: (cluster, 1))
    assert not is_this_process(1)
    assert is_this_process(None)
