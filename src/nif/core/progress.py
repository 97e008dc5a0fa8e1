"""What runs, and how long it still takes: a bar in a terminal, lines elsewhere, from the third second on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from nif.core.types import Advance, ignore

SECONDS_BEFORE_SHOWN = 2.0

SECONDS_BETWEEN_LINES = 60.0
"""Where there is no terminal; the second line comes as soon as the time that is left is known."""

SECONDS_WORTH_SAYING = 60.0
"""Expected time of which a line in a terminal says how long the work will take."""

FEWEST_MEASURED = 0.01
"""Share of the work whose pace says how long the rest takes; a first small piece may wait for a compiler."""

SURE_SECONDS, SURE_PART = 5.0, 0.1
"""Work of so many seconds, or so large a part of it, whose pace is trusted: what runs first runs slowly."""

TICK = 0.5
"""Seconds after which the bar moves on though no work was done."""

FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed} spent, {remaining} left"
FORMAT_WITHOUT_END = "{desc} {n_fmt} | {elapsed} spent"
FORMAT_OF_STAGES = "{desc} | {elapsed} spent"


@contextmanager
def progress(label: str, total: float | int | None, *, shown: bool = True, what: str = "") -> Iterator[Shown]:
    """Say on stderr what runs while the block runs; yields what to call with the work just done.

    In a terminal a bar appears after two seconds, and is removed at the end. Of work that will take more than
    a minute, as its first part shows, a line that stays says how long, and what it is. Without a terminal, as
    in a log, lines say both: after two seconds, when the time is known, and every minute.

    Args:
        label: Name of the work, for example ``"measuring"``.
        total: The work to do, in the unit of the calls to `Advance`; None if unknown.
        shown: False for nothing at all.
        what: The work in words, for example ``"300 terms of 1,000 rows"``.
    """
    with tqdm(
        desc=label,
        total=total,
        bar_format=FORMAT if total is not None else FORMAT_WITHOUT_END,
        delay=SECONDS_BEFORE_SHOWN,
        miniters=0,
        leave=False,
        disable=None if shown else True,  # None: off unless stderr is a terminal
    ) as bar:
        lines = _Lines(label, total, what)
        pace, lock, ended = _Pace(total), threading.Lock(), threading.Event()

        def moved(work: float | None) -> None:
            with lock:
                if not bar.disable:
                    bar.update(work)
                elif shown:
                    lines.moved(work or 0.0)

        def advance(work: float | None = 1) -> None:
            moved(work)
            if bar.disable:
                return
            expect(pace.left(bar.n))

        def expect(left: float) -> None:
            if shown and left > SECONDS_WORTH_SAYING:
                words = f"{what}, " if what else ""
                line = f"{label}: {words}about {left / 60:.0f} minutes are expected."
                if bar.disable:
                    lines.say(line)
                else:
                    bar.write(line, file=bar.fp)

        def stage(name: str) -> None:
            with lock:
                bar.bar_format = FORMAT_OF_STAGES
                bar.set_description_str(f"{label}: {name}", refresh=False)
                lines.stage(f"{label}: {name}")
            moved(0.0)

        def tick() -> None:
            while not ended.wait(TICK):
                moved(0.0)

        ticking = threading.Thread(target=tick, name="nif-progress", daemon=True)
        if shown:
            ticking.start()
        try:
            yield Shown(advance, stage, expect)
        finally:
            ended.set()
            if shown:
                ticking.join()


@dataclass(frozen=True)
class Shown:
    """What a block says of its work; itself an `Advance`.

    Attributes:
        advance: Called with the work that was done since the last call.
        stage: Called with what begins, such as ``"SHAP, 3 of 6"``, of work in stages of unknown times.
        expect: Called with the seconds that all will take; says so where it is more than a minute.
    """

    advance: Advance
    stage: Callable[[str], None]
    expect: Callable[[float], None] = ignore

    def __call__(self, work: float = 1) -> None:
        self.advance(work)


class _Lines:
    """Lines for a stream that is no terminal.

    The pace is that from the first work on, which may have begun late. What is done within the first second
    may have been done before, such as blocks that a checkpoint holds, and says nothing of the rest.
    """

    def __init__(self, label: str, total: float | None, what: str) -> None:
        self._label, self._total = f"{label} {what}".strip(), total
        self._begin, self._done = time.monotonic(), 0.0
        self._from: tuple[float, float] | None = None
        self._next, self._said, self._known = SECONDS_BEFORE_SHOWN, False, False
        self._pieces = 0  # that were done

    def stage(self, label: str) -> None:
        """Name what runs from here on; a line says it if it lasts."""
        self._label = label
        self._next = min(self._next, time.monotonic() - self._begin + SECONDS_BEFORE_SHOWN)

    def moved(self, work: float) -> None:
        """Note work that was done, and print a line where it is time for one."""
        spent = time.monotonic() - self._begin
        self._done += work
        small = self._pieces == 1 and work < self._fewest()
        self._pieces += bool(work)
        if work and (self._from is None or spent < SECONDS_BEFORE_SHOWN / 2 or small):
            self._from = spent, self._done
        left = self._left(spent)
        if spent < self._next and not (self._said and left is not None and not self._known):
            return
        self._next, self._said, self._known = spent + SECONDS_BETWEEN_LINES, True, left is not None
        then = "" if left is None else f", about {duration(left)} left"
        self.say(f"{self._label}: {duration(spent)} spent{then}")

    @staticmethod
    def say(line: str) -> None:
        """One line of a log."""
        sys.stderr.write(f"nif: {line}\n")
        sys.stderr.flush()

    def _fewest(self) -> float:
        """Work that is enough to know the pace."""
        begun = 0.0 if self._from is None else self._from[1]
        return FEWEST_MEASURED * ((self._total or 0.0) - begun)

    def _left(self, spent: float) -> float | None:
        """Seconds; None where that is not known."""
        if not self._total or self._from is None:
            return None
        since, before = self._from
        if self._done <= before or self._done - before < self._fewest():
            return None
        if spent - since < SURE_SECONDS and self._done - before < SURE_PART * (self._total - before):
            return None
        return (spent - since) / (self._done - before) * (self._total - self._done)


def duration(seconds: float) -> str:
    """A time in words.

    Example:
        >>> duration(2.3), duration(89), duration(150)
        ('2 s', '89 s', '2 min 30 s')
    """
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"


class _Pace:
    """How long the rest of the work takes, at the pace of its last part of five seconds or more.

    What is done at once, such as blocks that a checkpoint holds, says nothing of the rest.
    """

    def __init__(self, total: float | None) -> None:
        self._total, self._said = total, total is None
        self._begin = time.perf_counter()
        self._from = self._begin, 0.0

    def left(self, done: float) -> float:
        """Seconds, once: as soon as they are known to be worth saying; 0 otherwise."""
        (since, before), now = self._from, time.perf_counter()
        at_once = now - self._begin < SECONDS_BEFORE_SHOWN / 2
        if self._said or done <= before or (now - since < SURE_SECONDS and not at_once):
            return 0.0
        self._from = now, done
        left = 0.0 if at_once else (now - since) / (done - before) * ((self._total or 0.0) - done)
        self._said = left > SECONDS_WORTH_SAYING
        return left
