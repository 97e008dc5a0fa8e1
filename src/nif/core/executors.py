"""Tasks on threads, and what ends threads and processes whose work nobody waits for.

joblib's pool of threads goes on after an interrupt.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import joblib

from nif.core.shared import Shared

SECONDS_TO_NOTICE = 0.5
"""In which a worker sees that its parent has ended."""

_thread = threading.local()

_watching: set[int] = set()
"""Processes that watch their parent: this one, or that which it was forked from."""


class Stopped(BaseException):
    """Nobody waits for this task any more."""


@runtime_checkable
class Flag(Protocol):
    """Such as `threading.Event`."""

    def is_set(self) -> bool: ...


@contextmanager
def stopped_by(flag: Flag) -> Iterator[None]:
    """Inside, a task of this thread ends in `unless_stopped` once the flag is set."""
    _thread.stopped = flag
    try:
        yield
    finally:
        _thread.stopped = None


def unless_stopped(done: float) -> None:
    """As the `advance` of a task: shows no progress, but ends a task whose result nobody waits for.

    Raises:
        Stopped: It runs in a thread or on Dask, and the call that began it has ended.

    Example:
        >>> unless_stopped(1.0)
    """
    stopped = getattr(_thread, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise Stopped


class Threads:
    """Tasks of threads."""

    def __init__(self, _: Any, n_jobs: int) -> None:
        self._workers = joblib.effective_n_jobs(n_jobs)
        self._pool = ThreadPoolExecutor(self._workers)
        self._stopped = threading.Event()
        self._running, self._changed = 0, threading.Condition()

    def width(self) -> int:
        return 2 * self._workers

    def send(self, shared: Shared[Any]) -> Shared[Any]:
        """The very object."""
        return shared

    def submit(self, *call: Any) -> Future[Any]:
        return self._pool.submit(self._run, *call)

    def _run(self, function: Callable[..., Any], *given: Any) -> Any:
        with self._counted(), stopped_by(self._stopped):
            return function(*given)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            if self._stopped.is_set():
                raise Stopped
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def result(self, future: Future[Any]) -> Any:
        return future.result()

    def stop(self, _: Sequence[Future[Any]]) -> None:
        """When this returns no task runs: the interpreter aborts if it ends while one is in torch."""
        with self._changed:
            self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        # The pool does not know a thread that was being started when an interrupt was raised.
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)


def begin_process(parent: int) -> None:
    """As a process of loky begins: it ends with its parent, and leaves it Ctrl-C, which reaches both."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, lambda *_: None)  # and not SIG_IGN, which its own processes would inherit


def end_with_parent(parent: int) -> None:
    """End this process soon after its parent, whatever ended that: workers wait for minutes otherwise.

    On Windows a process does not see that its parent has ended.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_TO_NOTICE)
        os._exit(1)

    if os.name == "posix" and os.getpid() not in _watching:
        _watching.add(os.getpid())
        threading.Thread(target=watch, daemon=True).start()
