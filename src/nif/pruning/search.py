"""The largest removal that keeps a promise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nif.contracts import Advance, ignore
from nif.pruning.labels import Unit

Keeps = Callable[[Unit], bool]
"""Whether the score is still within the tolerance when these units are gone."""


def every_harmless(candidates: Unit, keeps: Keeps, advance: Advance = ignore) -> Unit:
    """As many candidates as can go together, by halving: all at once where none does harm.

    A batch that does harm is split, and each half is tried on top of what has gone already. With b harmful
    units among n this takes about b log2(n) trials.

    Example:
        >>> every_harmless(np.arange(8), lambda gone: 5 not in gone).tolist()
        [0, 1, 2, 3, 4, 6, 7]
    """
    gone = candidates[:0]
    waiting = [candidates]
    while waiting:
        batch = waiting.pop()
        together = np.concatenate([gone, batch])
        if len(batch) == 0:
            continue
        if keeps(together):
            gone = together
            advance(float(len(batch)))
        elif len(batch) > 1:
            half = (len(batch) + 1) // 2
            waiting += [batch[half:], batch[:half]]
        else:
            advance(1.0)
    return gone


def longest_prefix(ordered: Unit, keeps: Keeps, advance: Advance = ignore) -> Unit:
    """The longest beginning of `ordered` that is kept, by bisection; it has itself been tried.

    Where the score is not monotone in the number of units this is one of several such beginnings.

    Example:
        >>> longest_prefix(np.array([7, 3, 9, 1]), lambda gone: len(gone) <= 3).tolist()
        [7, 3, 9]
    """
    if len(ordered) == 0 or keeps(ordered):
        return ordered
    good, bad = 0, len(ordered)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if keeps(ordered[:middle]) else (good, middle)
        advance(len(ordered) / math.log2(len(ordered)))  # every halving takes about as long
    return ordered[:good]
