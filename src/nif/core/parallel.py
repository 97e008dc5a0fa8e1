"""Tasks on the processes, threads or cluster that the user's context of joblib names."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Integral
from typing import Any

import joblib
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from nif.core.clusters import CLUSTERS, FUTURES, results_of, results_of_futures, wait_for_workers
from nif.core.errors import InputError
from nif.core.executors import Threads, begin_process, end_with_parent
from nif.core.shared import NOT_FOUND

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What limits the threads of a process."""

FORKING = "MultiprocessingBackend"
"""Replaced by loky: a forked process has none of torch's threads and would wait for them without end, and its
pool waits for a worker that was killed."""

FAILURES = 3
"""Times in a row that workers may be killed before a task is finished."""

LOST = "BrokenProcessPool", "WorkersLost"
"""Exceptions that say that workers were killed: of loky, and of clusters."""

FULL = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]
"""What joblib's error says that a full disk caused, or a quota."""

NO_ROOM = (
    "What processes share cannot be written, as the disk of joblib's temporary files is full; pass as "
    "scratch= a folder with more room, or name one by JOBLIB_TEMP_FOLDER."
)

_thread = threading.local()


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


def is_this_process(n_jobs: int | None) -> bool:
    """Whether a checked number of processes means this one: none or one, and no cluster that runs it.

    Example:
        >>> is_this_process(None), is_this_process(1), is_this_process(2)
        (True, True, False)
    """
    return n_jobs is None or (n_jobs == 1 and type(get_active_backend()[0]).__name__ not in CLUSTERS)


def allowed_threads() -> int:
    """Threads that work of this thread may start: the cores of the process, as far as the user's limits go.

    The cores are those that affinity and the quota of a container leave; the limits are `THREADS`. A task of
    `in_parallel` has one.

    Example:
        >>> list(in_parallel(1, [delayed(allowed_threads)()]))
        [1]
    """
    if getattr(_thread, "is_job", False):
        return 1
    limits = [os.environ.get(name, "").partition(",")[0].strip() for name in THREADS]
    return max(1, min([joblib.cpu_count(), *(int(limit) for limit in limits if limit.isdigit())]))


def in_parallel(n_jobs: int, tasks: Iterable[Any]) -> Generator[Any, None, None]:
    """The results of delayed calls, in their order; as they come, if the backend can do that.

    Tasks of workers that are killed are repeated.

    Raises:
        InputError: Workers were killed three times in a row before a task was finished, or cannot import what
            they were sent, or there is no room for that.

    Example:
        >>> from joblib import delayed
        >>> list(in_parallel(1, (delayed(abs)(number) for number in (-2, 3))))
        [2, 3]
    """
    waiting, failures = _Waiting(tasks), 0
    while True:
        try:
            for result in _results(n_jobs, waiting.again()):
                waiting.finish_first()
                failures = 0
                yield result
            return
        except Exception as error:
            if any(words in f"{error} {error.__cause__}" for words in FULL):
                raise InputError(NO_ROOM) from error
            if not any(kind.__name__ in LOST for kind in type(error).__mro__):
                raise
            if "un-serialize" in str(error):
                raise InputError(NOT_FOUND) from error
            failures += 1
            if failures == FAILURES:
                raise InputError(
                    f"Worker processes were killed {FAILURES} times in a row, most likely because memory ran "
                    "out; pass a smaller n_jobs=, or less memory= or fewer rows= for each."
                ) from error
            wait_for_workers(get_active_backend()[0])


def in_threads(number: int, tasks: Iterable[Any]) -> Generator[Any, None, None]:
    """The results of delayed calls, in their order, that run in threads of this process.

    Example:
        >>> from joblib import delayed
        >>> list(in_threads(2, (delayed(abs)(number) for number in (-2, 3))))
        [2, 3]
    """
    return results_of(Threads(None, number), partial(_called, os.getpid()), iter(tasks))


class _Waiting:
    """Tasks whose results have not come yet; backends take them from threads of their own."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks = iter(tasks)
        self._begun: deque[Any] = deque()
        self._lock = threading.Lock()

    def again(self) -> Iterator[Any]:
        """All that wait, from the first that is not finished."""
        with self._lock:
            begun = list(self._begun)
        yield from begun
        while True:
            with self._lock:
                task = next(self._tasks, None)
                if task is None:
                    return
                self._begun.append(task)
            yield task

    def finish_first(self) -> None:
        """The result of the first task has come."""
        with self._lock:
            self._begun.popleft()


def _results(n_jobs: int, tasks: Iterator[Any]) -> Iterator[Any]:
    (backend, _), home, options = get_active_backend(), os.getpid(), dict[str, Any]()
    name = type(backend).__name__
    if name in CLUSTERS or (name in FUTURES and joblib.effective_n_jobs(n_jobs) > 1):
        yield from results_of_futures(backend, n_jobs, partial(_called, home), tasks)
        return
    if name == FORKING:
        options["backend"] = "loky"
    of_backend = getattr(backend, "backend_kwargs", None)  # joblib before 1.5 takes no initializer
    if name in ("LokyBackend", FORKING) and of_backend is not None and "initializer" not in of_backend:
        options |= {"initializer": begin_process, "initargs": (home,)}
    as_they_come = name == FORKING or getattr(backend, "supports_return_generator", False)
    # Copy on write: of a file that all workers map, none has to make a copy that it could write to.
    options |= {"mmap_mode": "c", "return_as": "generator" if as_they_come else "list"}
    yield from Parallel(n_jobs=n_jobs, **options)(delayed(_called)(home, *task) for task in tasks)


def _called(home: int, function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Run a task of the process `home`; its own work has one thread."""
    if os.getppid() == home:
        end_with_parent(home)
    before, _thread.is_job = getattr(_thread, "is_job", False), True
    try:
        with _torch_in_one_thread() if os.getpid() != home else nullcontext():
            return function(*given, **named)
    finally:
        _thread.is_job = before


@contextmanager
def _torch_in_one_thread() -> Iterator[None]:
    """A worker of a cluster allows torch all of its cores, though other tasks may run beside this one."""
    torch = sys.modules.get("torch")  # not every task needs it
    before = 1 if torch is None else torch.get_num_threads()
    if torch is not None and before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None and before > 1:
            torch.set_num_threads(before)
