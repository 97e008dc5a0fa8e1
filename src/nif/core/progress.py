"""Progress bar with remaining time, shown in a terminal after two seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from nif.core.types import Advance

SECONDS_BEFORE_SHOWN = 2.0

FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed} spent, {remaining} left"
FORMAT_WITHOUT_END = "{desc} {n_fmt} | {elapsed} spent"


@contextmanager
def progress(label: str, total: float | int | None, *, shown: bool = True) -> Iterator[Advance]:
    """A bar on stderr while the block runs; yields the function to call with the work just done.

    The bar appears after two seconds, only if stderr is a terminal, and is removed at the end.

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
        yield bar.update
