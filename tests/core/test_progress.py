"""The bar is seen by a person who waits, and by nobody else."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest
import torch

import nif
from nif.core import progress
from support.networks import chain


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Callable[[io.StringIO], io.StringIO]:
    def use(stream: io.StringIO) -> io.StringIO:
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return use


def work(*, shown: bool = True) -> None:
    with progress.progress("measuring", total=4.0, shown=shown) as advance:
        for _ in range(4):
            advance(1.0)


def test_bar_says_what_is_done_and_how_long_it_takes(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    screen = stderr(Terminal())
    work()
    assert "measuring   0%" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_of_work_whose_end_is_unknown_it_says_how_much_is_done(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    screen = stderr(Terminal())
    with progress.progress("reading", total=None) as advance:
        advance(300)
        time.sleep(0.2)
        advance(400)
    assert "reading 700" in screen.getvalue() and "%" not in screen.getvalue()


def test_bar_is_wiped_at_the_end(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    screen = stderr(Terminal())
    work()
    assert screen.getvalue().rsplit("\r", 2)[-2].strip() == ""


def test_short_work_shows_nothing(stderr: Callable[[io.StringIO], io.StringIO]) -> None:
    screen = stderr(Terminal())
    work()
    assert screen.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["no terminal", "terminal"])
def test_nothing_is_shown_that_is_not_asked_for(
    stream: type[io.StringIO], stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    screen = stderr(stream())
    work(shown=False)
    assert screen.getvalue() == ""


# Without a terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which stands until a test moves it; nothing ticks."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "TICK", 1e6)
    return now


def test_lines_say_what_runs_and_how_long(
    clock: list[float], stderr: Callable[[io.StringIO], io.StringIO]
) -> None:
    log = stderr(io.StringIO())
    with progress.progress("measuring", total=100.0, what="300 terms") as advance:
        for second in range(100):
            clock[0] = second + 0.5
            advance(1.0)
            assert ("measuring" in log.getvalue()) == (second >= 2)
    lines = log.getvalue().splitlines()
    assert lines[0] == "nif: measuring 300 terms: 2 s spent"
    assert lines[1] == "nif: measuring 300 terms: 6 s spent, about 1 min 34 s left"
    assert lines[2] == "nif: measuring 300 terms: 66 s spent, about 34 s left"
    assert len(lines) == 3


def test_what_was_done_before_says_nothing_of_the_rest_in_a_log(
    clock: list[float], stderr: Callable[[io.StringIO], io.StringIO]
) -> None:
    log = stderr(io.StringIO())
    with progress.progress("measuring", total=1000.0) as advance:
        advance(900.0)
        clock[0] = 6.0
        advance(1.0)
    assert log.getvalue() == "nif: measuring: 6 s spent, about 9 min 54 s left\n"


def test_a_line_says_how_long_as_soon_as_it_is_known(
    clock: list[float], stderr: Callable[[io.StringIO], io.StringIO]
) -> None:
    log = stderr(io.StringIO())
    with progress.progress("pruning", total=10.0) as advance:
        clock[0] = 3.0
        advance(0.0)
        clock[0] = 11.0
        advance(5.0)
        clock[0] = 12.0
        advance(1.0)
    assert log.getvalue() == "nif: pruning: 3 s spent\nnif: pruning: 12 s spent, about 4 s left\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["no terminal", "terminal"])
def test_what_makes_no_progress_is_named_too(
    stream: type[io.StringIO], stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TICK", 0.01)
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0.05)
    screen, shown = stderr(stream()), threading.Event()
    with progress.progress("compiling", total=1.0):
        for _ in range(500):
            if "compiling" in screen.getvalue():
                shown.set()
                break
            time.sleep(0.01)
    assert shown.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "nif-progress"]


@pytest.mark.parametrize("seconds", [10, 300])
def test_of_long_work_one_line_says_how_long_it_will_take(
    seconds: float, stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 100 * seconds, seconds // 3))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(now)))
    screen = stderr(Terminal())
    work()
    assert screen.getvalue().count("minutes are expected") == (seconds == 300)
    assert ("measuring: about 5 minutes are expected." in screen.getvalue()) == (seconds == 300)


def test_what_is_done_at_once_says_nothing_of_the_rest(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: 900 of 1,000 steps are there, and each of the others takes three seconds."""
    times = iter([0.0, 0.1, *(3.0 * step for step in range(1, 200))])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    screen = stderr(Terminal())
    with progress.progress("measuring", total=1000.0, what="300 terms of 90 rows") as advance:
        advance(900.0)
        for _ in range(100):
            advance(1.0)
    assert screen.getvalue().count("expected") == 1
    assert "measuring: 300 terms of 90 rows, about 5 minutes are expected." in screen.getvalue()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (nif.Currents(rows=30, backgrounds=4, steps=2), "30 rows against 4 backgrounds through 3 layers"),
        (nif.Binned(), "48 terms of 200 rows"),  # 3 x 6 and 6 x 2 of links, 3 and 15 within
    ],
)
def test_both_measures_say_what_they_will_do(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch, method: object, words: str
) -> None:
    now = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(now)))
    screen = stderr(Terminal())
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    nif.measure(chain(3, 6, 2), x, method)  # type: ignore[arg-type]
    assert f"measuring: {words}, about " in screen.getvalue()


def test_a_first_small_piece_that_waits_for_a_compiler_says_nothing_of_the_rest(
    stderr: Callable[[io.StringIO], io.StringIO], clock: list[float]
) -> None:
    log = stderr(io.StringIO())
    with progress.progress("measuring", total=764.0) as advance:
        clock[0] = 1.2
        advance(178.0)
        clock[0] = 8.0
        advance(0.25)
        clock[0] = 8.1
        advance(1.0)
        clock[0] = 9.0
        advance(9.0)
        assert "left" not in log.getvalue()  # nor do ten others
        clock[0] = 14.0
        advance(50.0)
    assert log.getvalue() == ("nif: measuring: 8 s spent\nnif: measuring: 14 s spent, about 53 s left\n")


def test_stages_are_named_with_the_time_spent_and_no_time_left(
    stderr: Callable[[io.StringIO], io.StringIO], clock: list[float]
) -> None:
    log = stderr(io.StringIO())
    with progress.progress("comparing", total=None) as shown:
        for name, seconds in (("MI", 0.5), ("SHAP", 5.0), ("random", 0.1), ("SAGE", 70.0)):
            shown.stage(name)
            for _ in range(10):
                clock[0] += seconds / 10
                shown(0)
    lines = log.getvalue().splitlines()
    assert [line.split(":")[2] for line in lines] == [" SHAP", " SAGE", " SAGE"]
    assert all(line.endswith("spent") for line in lines)


def test_a_bar_names_the_stage(
    stderr: Callable[[io.StringIO], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)
    screen = stderr(Terminal())
    with progress.progress("comparing", total=None) as shown:
        shown.stage("SHAP, 3 of 6")
        time.sleep(0.2)
        shown(1)
    assert "comparing: SHAP, 3 of 6 | 00:00 spent" in screen.getvalue() and "left" not in screen.getvalue()
