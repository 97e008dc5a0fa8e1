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
def progress(label: str, total: float | int | None, *, shown: bool = True) -> Iterator[Advance]:
    """A bar on stderr while the block runs; yields the function to call with the work just done.

    The bar appears after two seconds, only if stderr is a terminal, and is removed at the end. Of work
    that is expected to take more than a minute, a line that stays says how long.

    Args:
        label: Name of the work, for example ``"measuring"``.
        total: The work to do, in the unit of the calls to `Advance`; None if unknown.
        shown: False for no bar at all.
    """
    with tqdm(
        desc=label,
        total=total,
        bar_format=FORMAT if total is not None else FORMAT_WITHOUT_END,
        delay=SECONDS_BEFORE_SHOWN,
        leave=False,
        disable=None if shown else True,  # None: off unless stderr is a terminal
    ) as bar:
        said, begin = False, time.perf_counter()

        def advance(work: float | None = 1) -> None:
            nonlocal said
            bar.update(work)
            spent = time.perf_counter() - begin
            if not (said or bar.disable or total is None or spent < SECONDS_BEFORE_SHOWN) and bar.n > 0:
                said = True  # once, by the first work that was done
                left = spent / bar.n * (total - bar.n)
                if left > SECONDS_WORTH_SAYING:
                    bar.write(f"{label}: about {left / 60:.0f} minutes are expected.", file=bar.fp)

        yield advance
