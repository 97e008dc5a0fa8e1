"""Tasks by futures: those of Dask and Ray, and of threads.

joblib's backends of both lose what goes wrong between tasks: with Dask, a worker that is killed while it is
sent data leaves `Parallel` waiting for ever, and so does a task whose workers are killed again and again.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import cloudpickle

from nif.core.errors import InputError
from nif.core.executors import Threads, stopped_by
from nif.core.shared import Sent, Shared

SECONDS_TO_START = 120
"""That new workers of Dask are waited for at least, in place of those that were killed."""

SECONDS_TO_LOOK = 5
"""Between two looks at whether Dask has a worker."""

NO_WORKER = (
    "Dask has had no worker for {:.0f} s; start workers, or have them waited for longer: "
    'parallel_config(backend="dask", wait_for_workers_timeout=3600).'
)

Task = tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]
"""As joblib's `delayed` makes it."""


class WorkersLost(Exception):
    """Workers were killed, and with them what they held."""


def results_of_futures(
    backend: Any, n_jobs: int, called: Callable[..., Any], tasks: Iterator[Task]
) -> Iterator[Any]:
    """The results of tasks in their order; at most two tasks for each worker are begun before theirs.

    What tasks share is sent once. The cluster repeats the tasks of a worker that is killed.

    Args:
        backend: Of joblib, one of `FUTURES`.
        n_jobs: Tasks at a time; of Ray where the cluster could run more; -1 for as many as can run.
        called: Runs a task on a worker.
        tasks: Calls.

    Raises:
        WorkersLost: What the tasks share was lost with workers.
        InputError: The cluster has no worker.
    """
    with backend.retrieval_context():
        yield from results_of(FUTURES[type(backend).__name__](backend, n_jobs), called, tasks)


def results_of(
    cluster: Futures, called: Callable[..., Any], tasks: Iterator[Task]
) -> Generator[Any, None, None]:
    """The results of tasks in their order; see `results_of_futures`."""
    sending, begun = _Sending(cluster), deque[Any]()
    try:
        for task in tasks:
            begun.append(sending.begun(called, task))
            while len(begun) >= cluster.width():
                yield cluster.result(begun.popleft())
        while begun:
            yield cluster.result(begun.popleft())
    finally:
        cluster.stop(list(begun))


class _Sending:
    """Sends tasks to a cluster, and once what they share."""

    def __init__(self, cluster: Futures) -> None:
        self._cluster = cluster
        self._sent: dict[int, tuple[Shared[Any], Any]] = {}

    def begun(self, called: Callable[..., Any], task: Task) -> Any:
        """The future of a task."""
        function, given, named = task
        places = [n for n, one in enumerate(given) if isinstance(one, Shared) and not one.in_files]
        references = [self._reference(given[place]) for place in places]
        small = [None if place in places else one for place, one in enumerate(given)]
        return self._cluster.submit(_on_worker, called, (function, small, named), places, *references)

    def _reference(self, shared: Shared[Any]) -> Any:
        if id(shared) not in self._sent:
            self._sent[id(shared)] = shared, self._cluster.send(shared)
        return self._sent[id(shared)][1]


def wait_for_workers(backend: Any) -> None:
    """Until Dask has started new ones; Ray waits by itself.

    Raises:
        InputError: There is none after two minutes.
    """
    if type(backend).__name__ == "DaskDistributedBackend":
        with suppress(WorkersLost):
            _Dask(backend, -1, SECONDS_TO_START)


def _on_worker(
    called: Callable[..., Any], task: Task, places: Sequence[int], *sent: Sent | Shared[Any]
) -> Any:
    """Run a task, whose shared arguments were sent apart."""
    function, given, named = task
    whole = list(given)
    for place, one in zip(places, sent, strict=True):
        whole[place] = one.received() if isinstance(one, Sent) else one
    return called(function, whole, named)


def _on_dask(*call: Any) -> Any:
    """As `_on_worker`; Dask does not end a task that runs when it is cancelled, so it ends itself."""
    with stopped_by(_Cancelled()):
        return _on_worker(*call)


def _on_ray(call: bytes, *sent: Sent) -> Any:
    """As `_on_worker`, of a call that is pickled apart: arrays of Ray are read-only, and torch warns."""
    called, task, places = pickle.loads(call)  # noqa: S301 - as Ray itself does
    return _on_worker(called, task, places, *sent)


class _Cancelled:
    """Whether the task that this thread runs for Dask is cancelled."""

    def __init__(self) -> None:
        from distributed import get_worker

        worker = get_worker()
        self._tasks, self._key = worker.state.tasks, worker.get_current_task()

    def is_set(self) -> bool:
        task = self._tasks.get(self._key)
        return task is None or task.state == "cancelled"


class _Dask:
    """Futures of `distributed`."""

    def __init__(self, backend: Any, n_jobs: int, seconds: float | None = None) -> None:
        self._client, self._options = backend.client, backend.submit_kwargs
        named = backend.wait_for_workers_timeout or SECONDS_TO_START
        self._patience = named if seconds is None else seconds
        self.result(self._client.submit(os.getpid, pure=False))  # an adaptive cluster starts a worker for it
        self._patience = max(named, SECONDS_TO_START)

    def width(self) -> int:
        """Workers may come and go."""
        return 2 * max(1, sum(self._client.ncores().values()))

    def send(self, shared: Shared[Any]) -> Any:
        try:
            return self._client.scatter(shared.sent(), hash=False)
        except (OSError, TimeoutError) as error:  # the worker was killed, or there is none
            raise WorkersLost("A worker was lost while data were sent to it.") from error

    def submit(self, _: Callable[..., Any], *call: Any) -> Any:
        return self._client.submit(_on_dask, *call, pure=False, **self._options)

    def result(self, future: Any) -> Any:
        """When it is done, unless the cluster has no worker for too long."""
        from distributed import CancelledError, KilledWorker, wait

        seen = time.monotonic()
        while True:
            try:
                wait(future, timeout=SECONDS_TO_LOOK)
                # A result is lost with its worker, and done a second time if there is another.
                return future.result(timeout=self._patience)
            except (CancelledError, KilledWorker) as error:
                raise WorkersLost("Tasks were lost with their workers.") from error
            except TimeoutError as error:
                if future.status == "error":  # of the task itself
                    raise
                seen = time.monotonic() if self._client.ncores() else seen
                if time.monotonic() - seen > self._patience:
                    raise InputError(NO_WORKER.format(self._patience)) from error

    def stop(self, futures: list[Any]) -> None:
        with suppress(Exception):  # the cluster may have gone
            self._client.cancel(futures)


class _Ray:
    """Tasks and objects of Ray."""

    def __init__(self, backend: Any, n_jobs: int) -> None:
        import ray

        if not ray.is_initialized():
            ray.init()
        self._ray, self._n_jobs = ray, n_jobs
        options = {"num_cpus": 1} | (getattr(backend, "ray_remote_args", None) or {})
        self._remote = ray.remote(**options)(_on_ray)

    def width(self) -> int:
        """Nodes may come and go."""
        cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return self._n_jobs if 0 < self._n_jobs < cores else 2 * cores

    def send(self, shared: Shared[Any]) -> Any:
        return self._ray.put(shared.sent())

    def submit(self, _: Callable[..., Any], *call: Any) -> Any:
        return self._remote.remote(cloudpickle.dumps(call[:3]), *call[3:])

    def result(self, reference: Any) -> Any:
        from ray import exceptions

        lost = exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.cause from error
        except (*lost, exceptions.OutOfMemoryError) as error:
            raise WorkersLost("Tasks were lost with their workers.") from error

    def stop(self, references: list[Any]) -> None:
        for reference in references:
            with suppress(Exception):  # the cluster may have gone
                self._ray.cancel(reference)


Futures = _Dask | _Ray | Threads

CLUSTERS: dict[str, Callable[..., Futures]] = {"DaskDistributedBackend": _Dask, "RayBackend": _Ray}
"""Backends whose number of workers is theirs: who chooses one wants the work to run there."""

FUTURES = CLUSTERS | {"ThreadingBackend": Threads}
"""By the names of joblib's backends."""
