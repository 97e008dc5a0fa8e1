"""Tasks on the processes, threads or cluster that the user's context of joblib names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

from joblib import Parallel, delayed, wrap_non_picklable_objects
from joblib.parallel import get_active_backend

from nif.core.errors import InputError

CLUSTERS = ("DaskDistributedBackend", "RayBackend")
"""Backends whose number of workers is theirs: who chooses one wants the work to run there."""


def checked_jobs(n_jobs: int | None) -> int | None:
    """The number of processes; of None the one that `joblib.parallel_config` names, or None if it names none.

    Raises:
        InputError: It is 0.

    Example:
        >>> from joblib import parallel_config
        >>> with parallel_config(n_jobs=2):
        ...     checked_jobs(None), checked_jobs(3)
        (2, 3)
    """
    whole = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool)
    if n_jobs is not None and (not whole or n_jobs == 0):
        raise InputError(f"n_jobs is {n_jobs!r}; expected None, a number of processes, or -1 for all cores.")
    if n_jobs is not None:
        return n_jobs
    backend, named = get_active_backend()
    chosen: int | None = -1 if named is None and type(backend).__name__ in CLUSTERS else named
    return chosen


def in_parallel(n_jobs: int, tasks: Iterable[Any]) -> Iterator[Any]:
    """The results of delayed calls, in their order; as they come, if the backend can do that.

    Example:
        >>> from joblib import delayed
        >>> list(in_parallel(1, (delayed(abs)(number) for number in (-2, 3))))
        [2, 3]
    """
    backend, _ = get_active_backend()
    if getattr(backend, "supports_return_generator", False):
        yield from Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    else:  # such as multiprocessing, whose own pickles hold no local functions
        whole = (wrap_non_picklable_objects(task, keep_wrapper=False) for task in tasks)
        yield from Parallel(n_jobs=n_jobs)(delayed(_called)(task) for task in whole)


def _called(task: Any) -> Any:
    function, arguments, named = task
    return function(*arguments, **named)
