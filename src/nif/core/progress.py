"""Progress bar with remaining time, shown in a terminal after two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from nif.core.types import Advance

SECONDS_BEFORE_SHOWN = 2.0

SECONDS_WORTH_SAYING = 60.0
"""Expected time of which a line says how long the work will take."""

FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed} spent, {remaining} left"
FORMAT_WITHOUT_END = "{desc} {n_fmt} | {elapsed} spent"


@contextmanager
def progress(
    label: str, total: float | int | None, *, shown: bool = True, what: str = ""
) -> Iterator[Advance]:
    """A bar on stderr while the block runs; yields the function to call with the work just done.

    The bar appears after two seconds, only if stderr is a terminal, and is removed at the end. Of work that
    will take more than a minute, as its first part shows, a line that stays says how long, and what it is.

    Args:
        label: Name of the work, for example ``"measuring"``.
        total: The work to do, in the unit of the calls to `Advance`; None if unknown.
        shown: False for no bar at all.
        what: The work in words, for example ``"300 terms of 1,000 rows"``.
    """
    with tqdm(
        desc=label,
        total=total,
        bar_format=FORMAT if total is not None else FORMAT_WITHOUT_END,
        delay=SECONDS_BEFORE_SHOWN,
        leave=False,
        disable=None if shown else True,  # None: off unless stderr is a terminal
    ) as bar:
        pace = _Pace(total)

        def advance(work: float | None = 1) -> None:
            bar.update(work)
            if bar.disable:
                return
            left = pace.left(bar.n)
            if left > SECONDS_WORTH_SAYING:
                words = f"{what}, " if what else ""
                bar.write(f"{label}: {words}about {left / 60:.0f} minutes are expected.", file=bar.fp)

        yield advance


class _Pace:
    """How long the rest of the work takes, at the pace of its last part of two seconds or more.

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
        if self._said or done <= before or (now - since < SECONDS_BEFORE_SHOWN and not at_once):
            return 0.0
        self._from = now, done
        left = 0.0 if at_once else (now - since) / (done - before) * ((self._total or 0.0) - done)
        self._said = left > SECONDS_WORTH_SAYING
        return left
