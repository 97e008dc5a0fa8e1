"""What the caller allows for a block of pairs, and how many pairs or columns fit into it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from nif.contracts import InputError

GIGABYTE = 2**30

PAIRS_AT_ONCE = 256
"""Pairs side by side beyond which an estimator is no faster."""

COLUMNS_AT_ONCE = 512
"""The same for columns of a side."""

BYTES_OF_A_SAMPLE = 128
"""Of one pair in an estimator: both sides as they came, as normal scores, in folds, sorted; measured."""

BYTES_OF_A_RESULT = 64
"""Of one pair of columns: nats, standard error, p-value, outcome, and what they are computed from."""

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Limits:
    """How much of the machine may be used.

    Args:
        memory: Bytes that a block of pairs may take in each process, on top of data and results.
        n_jobs: Processes, through joblib, so that the backend the caller has chosen is used. None works in
            this process, where an estimator may use threads of its own.
    """

    memory: int = GIGABYTE
    n_jobs: int | None = None


DEFAULT = Limits()


def bytes_of(memory: Any) -> int:
    """The number of bytes that a user means.

    Raises:
        InputError: Not a size.

    Example:
        >>> bytes_of("1.5GB"), bytes_of(1000)
        (1610612736, 1000)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?)I?B?\s*", str(memory).upper())
    if isinstance(memory, bool) or found is None:
        raise InputError(f"memory is {memory!r}; expected a number of bytes or a size such as '1GB'.")
    return int(float(found[1]) * UNITS[found[2]])


def pairs_at_once(memory: int, samples: int) -> int:
    """Pairs of columns side by side.

    Example:
        >>> pairs_at_once(GIGABYTE, 100_000)
        83
    """
    return min(PAIRS_AT_ONCE, _at_least_one(memory // (BYTES_OF_A_SAMPLE * samples), memory, samples))


def columns_at_once(memory: int, samples: int) -> int:
    r"""Columns of each side of a table of pairs: the largest c with :math:`c N s + c^2 r` bytes in memory.

    Example:
        >>> columns_at_once(GIGABYTE, 1_000), columns_at_once(GIGABYTE, 1_000_000)
        (512, 8)
    """
    of_column = BYTES_OF_A_SAMPLE * samples
    most = (math.sqrt(of_column**2 + 4 * BYTES_OF_A_RESULT * memory) - of_column) / (2 * BYTES_OF_A_RESULT)
    return min(COLUMNS_AT_ONCE, _at_least_one(int(most), memory, samples))


def _at_least_one(count: int, memory: int, samples: int) -> int:
    if count < 1:
        least = (BYTES_OF_A_SAMPLE * samples + BYTES_OF_A_RESULT) / 2**20
        raise InputError(
            f"memory of {memory / 2**20:.3g} MB is too small for one pair of {samples} samples, which takes "
            f"{least:.2g} MB. Allow more, or give fewer samples."
        )
    return count


def checked_jobs(n_jobs: int | None) -> int | None:
    """Refuse a number of processes that joblib would not understand."""
    if n_jobs == 0:
        raise InputError(f"n_jobs is {n_jobs!r}; expected None, a number of processes, or -1 for all cores.")
    return n_jobs
