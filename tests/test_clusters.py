"""Dask and Ray: the same bits, data that are sent once, and killed workers whose work is repeated."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from joblib import delayed, parallel_config
from joblib.parallel import get_active_backend

import nif
from nif.core import shared as module
from nif.core.errors import InputError
from nif.core.parallel import in_parallel
from nif.core.shared import Shared
from nif.flow.file import arrays_of
from support.networks import chain
from support.tasks import is_writable, run_until_stopped, square_or_die, sum_or_die

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # those of the cluster
    pytest.mark.skipif(sys.platform == "win32", reason="workers kill themselves by a signal of POSIX"),
]
COUNT = 2**18
"""Numbers of what is shared, of 2 MB."""

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
METHODS = {"association": nif.Binned(), "currents": nif.Currents(steps=2, rows=40, backgrounds=4)}


@contextmanager
def started(name: str) -> Iterator[dict[str, Any]]:
    """Two workers of one thread each; options of `parallel_config`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "dask":
            distributed = pytest.importorskip("distributed")
            options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
            with distributed.LocalCluster(**options) as local, distributed.Client(local):
                yield {"backend": "dask", "wait_for_workers_timeout": 120}
            return
        ray = pytest.importorskip("ray")
        pytest.importorskip("ray.util.joblib").register_ray()
        folders = {"env_vars": {"PYTHONPATH": ":".join(sys.path)}}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=folders)
        yield {"backend": "ray"}
        ray.shutdown()


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    with started(request.param) as options:
        yield options


@pytest.mark.parametrize("name", ["dask", "ray"])
@pytest.mark.parametrize("in_files", [False, True], ids=["sent", "in files"])
def test_work_of_killed_workers_is_repeated(name: str, in_files: bool, tmp_path: Path) -> None:
    deaths, scratch = tmp_path / "deaths", tmp_path / "scratch"
    deaths.mkdir()
    scratch.mkdir()
    shared = Shared((np.ones(COUNT),), scratch if in_files else None)
    with started(name) as options, parallel_config(**options):
        # Two workers end at nearly the same time, and with them what they were sent.
        tasks = (delayed(sum_or_die)(shared, number, deaths, (3, 4)) for number in range(12))
        assert list(in_parallel(2, tasks)) == [COUNT + number for number in range(12)]
    assert len(list(deaths.iterdir())) == 2


def test_a_worker_that_is_killed_while_it_is_sent_data_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = pytest.importorskip("distributed.scheduler")
    shared, left = Shared((np.ones(COUNT),)), [2]
    with started("dask") as options, parallel_config(**options):
        processes = get_active_backend()[0].client.run(os.getpid)
        scatter = scheduler.scatter_to_workers

        async def deadly(workers: Any, *data: Any, **named: Any) -> Any:
            for worker in workers if left[0] else ():
                with suppress(ProcessLookupError, KeyError):
                    os.kill(processes[worker], signal.SIGKILL)
            left[0] = max(0, left[0] - 1)
            return await scatter(workers, *data, **named)

        monkeypatch.setattr(scheduler, "scatter_to_workers", deadly)
        tasks = (delayed(sum_or_die)(shared, number, tmp_path, ()) for number in range(12))
        assert list(in_parallel(2, tasks)) == [COUNT + number for number in range(12)]
    assert left == [0]


@contextmanager
def no_retries(name: str) -> Iterator[dict[str, Any]]:
    """The cluster itself is not to repeat tasks, which takes minutes."""
    if name == "ray":
        yield {"ray_remote_args": {"max_retries": 0}}
        return
    pytest.importorskip("distributed")  # whose settings would else be forgotten with this one
    with pytest.importorskip("dask").config.set({"distributed.scheduler.allowed-failures": 0}):
        yield {}


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_workers_that_are_killed_again_and_again_are_a_sentence(name: str, tmp_path: Path) -> None:
    with no_retries(name) as more, started(name) as options, parallel_config(**options, **more):
        tasks = (delayed(square_or_die)(number, tmp_path, 999) for number in range(6))
        with pytest.raises(InputError, match=r"killed 3 times in a row, .*; pass a smaller n_jobs="):
            list(in_parallel(2, tasks))


@pytest.mark.parametrize("begun", [False, True], ids=["from the start", "later"])
def test_a_cluster_whose_workers_do_not_come_back_is_a_sentence(
    begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nif.core.clusters.SECONDS_TO_START", 2)
    monkeypatch.setattr("nif.core.clusters.SECONDS_TO_LOOK", 0.5)
    with started("dask") as options, parallel_config(**options | {"wait_for_workers_timeout": 2}):
        client = get_active_backend()[0].client

        def tasks() -> Iterator[Any]:
            for number in range(99):
                if begun and number == 5:
                    client.cluster.scale(0)
                yield delayed(abs)(number)

        if not begun:
            client.cluster.scale(0)
            while client.ncores():
                pass
        with pytest.raises(InputError, match=r"no worker for 2 s; .*wait_for_workers_timeout="):
            list(in_parallel(2, tasks()))


def test_what_workers_cannot_import_is_a_sentence(
    cluster: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ModuleType("known_in_this_process_alone")
    exec("class Number: pass", here.__dict__)
    here.Number.__module__ = here.__name__
    monkeypatch.setitem(sys.modules, here.__name__, here)
    shared = Shared((np.ones(COUNT), here.Number()))
    with parallel_config(**cluster), pytest.raises(InputError, match="cannot import what they were sent"):
        list(in_parallel(2, (delayed(sum_or_die)(shared, number, Path(), ()) for number in range(3))))


def test_an_error_of_a_task_is_raised_as_it_is(cluster: dict[str, Any]) -> None:
    with parallel_config(**cluster), pytest.raises(ZeroDivisionError) as raised:
        list(in_parallel(2, [delayed(divmod)(number, 0) for number in range(3)]))
    assert raised.type is ZeroDivisionError


def test_arrays_of_a_task_can_be_written_to(cluster: dict[str, Any]) -> None:
    """Of others torch warns in the log of the user."""
    with parallel_config(**cluster):
        assert (
            list(in_parallel(2, [delayed(is_writable)(np.zeros(number)) for number in (3, COUNT)]))
            == [True] * 2
        )


def test_tasks_end_on_the_workers_after_an_interrupt(cluster: dict[str, Any], tmp_path: Path) -> None:
    """Dask would let them run to their end, and the cluster would be busy."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def tasks() -> Iterator[Any]:
        yield delayed(run_until_stopped)(begun, ended)
        _wait_for(begun)
        raise KeyboardInterrupt

    with parallel_config(**cluster), pytest.raises(KeyboardInterrupt):
        list(in_parallel(2, tasks()))
    _wait_for(ended)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_data_are_sent_once(cluster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled, sent = list[int](), list[int]()
    parts_of, reduced = module._parts_of, Shared.__reduce__

    def counted_parts(value: object) -> tuple[np.ndarray, ...]:
        parts = parts_of(value)
        pickled.append(sum(part.nbytes for part in parts))
        return parts

    def counted_reduce(self: Shared[Any]) -> tuple[Any, ...]:
        found = reduced(self)
        sent.append(sum(part.nbytes for part in found[1] if isinstance(part, np.ndarray)))
        return found

    monkeypatch.setattr(module, "_parts_of", counted_parts)
    monkeypatch.setattr(Shared, "__reduce__", counted_reduce)
    shared = Shared((np.ones(COUNT),))
    with parallel_config(**cluster):
        tasks = (delayed(sum_or_die)(shared, number, tmp_path, ()) for number in range(20))
        assert list(in_parallel(2, tasks)) == [COUNT + number for number in range(20)]
    assert len(pickled) == 1
    assert max(sum(pickled), sum(sent)) < 2 * COUNT * 8


@pytest.mark.parametrize("in_files", [False, True], ids=["sent", "in files"])
@pytest.mark.parametrize("method", METHODS)
def test_a_cluster_changes_no_bit(
    cluster: dict[str, Any], method: str, in_files: bool, tmp_path: Path
) -> None:
    net = chain(6, 9, 3)
    alone = nif.measure(net, X, METHODS[method], progress=False)
    with parallel_config(**cluster):
        scratch = tmp_path if in_files else None
        flow = nif.measure(net, X, METHODS[method], progress=False, memory="200KB", scratch=scratch)
    assert not list(tmp_path.iterdir())
    known, found = (arrays_of(one) for one in (alone, flow))
    assert known.keys() == found.keys()
    for name, values in known.items():
        assert np.asarray(values).tobytes() == np.asarray(found[name]).tobytes(), name
