"""What a cluster is sent, and whether it survives: bytes shipped, and runs whose workers are killed.

``python benchmarks/clusters.py bytes [--scratch FOLDER]`` counts what one process writes to files and pipes
while two of loky measure, as a part of the data (Linux).
``python benchmarks/clusters.py kills --backend dask|ray|loky --measure association|currents [--runs 20]``
kills a random worker at a random moment of each run, and compares the bits of the result with those of one
process.
Dask and Ray are no dependencies: install ``distributed`` or ``ray``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from joblib import parallel_config

import nif
from environment import environment
from nif.estimators.estimate import Estimate

WORKERS = 2


class Patient(nif.Binned):
    """Takes its time for each block, so that a worker can be killed in it."""

    def of_prepared(self, *given: Any, **named: Any) -> Estimate:
        time.sleep(0.3)
        return super().of_prepared(*given, **named)


def network(*sizes: int) -> torch.nn.Sequential:
    """Linear layers with ReLU between them."""
    torch.manual_seed(0)
    modules: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        modules += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def written() -> int:
    """Bytes that this process has written so far, to files and pipes."""
    return int(Path("/proc/self/io").read_text().partition("wchar: ")[2].split()[0])


def bytes_shipped(scratch: str | None) -> None:
    """Of the activations of all layers, of model and data, and of a table."""
    generator = torch.Generator().manual_seed(0)
    narrow, wide = (
        torch.randn(100_000, 16, generator=generator),
        torch.randn(10_000, 784, generator=generator),
    )
    options: dict[str, Any] = {"n_jobs": WORKERS, "progress": False, "scratch": scratch}
    layers, net = (16, 16, 16, 4), network(784, 300, 10)
    model = sum(values.nbytes for values in net.parameters())
    runs: dict[str, tuple[int, Callable[[], object]]] = {
        "association": (
            len(narrow) * sum(layers) * 4,
            lambda: nif.measure(network(*layers), narrow, nif.Binned(), **options),
        ),
        "currents": (
            wide.nbytes + model,
            lambda: nif.measure(net, wide, nif.Currents(rows=128, steps=4), **options),
        ),
        "pairwise": (narrow.nbytes, lambda: nif.pairwise(narrow, estimator=nif.Binned(), **options)),
    }
    for name, (size, run) in runs.items():
        before = written()
        run()
        print(f"{name}: {(written() - before) / size:.2f} of {size / 2**20:.0f} MB", flush=True)


@contextmanager
def cluster(name: str) -> Iterator[tuple[dict[str, Any], Callable[[], list[int]]]]:
    """Options of `parallel_config`, and what returns the processes of the workers."""
    if name == "dask":
        import dask
        from dask.distributed import Client, LocalCluster

        # 15 s after a worker was lost LocalCluster gives it up if it happens to be lost once more just then.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"})
        started = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        with started as local, Client(local) as client:
            workers = lambda: list(client.run(os.getpid, on_error="ignore").values())  # noqa: E731
            yield {"backend": "dask", "wait_for_workers_timeout": 120}, workers
    elif name == "ray":
        import ray
        from ray.util.joblib import register_ray

        folders = os.environ.get("PYTHONPATH", "") + os.pathsep + str(Path(__file__).parent)
        of_workers = {"env_vars": {"PYTHONPATH": folders}}
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, runtime_env=of_workers)
        register_ray()
        yield {"backend": "ray"}, lambda: named("ray::_on_ray")
        ray.shutdown()
    else:
        yield {"backend": "loky"}, lambda: named("popen_loky")


def named(name: str) -> list[int]:
    """Processes whose command line holds the name (Linux)."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if name in place.read_text() and (place.parent / "environ").read_text().find(MARK) >= 0:
                found.append(int(place.parent.name))
        except OSError:  # it has ended
            pass
    return found


MARK = f"NIF_BENCHMARK={os.getpid()}"
"""In the environment of our own workers."""


def bits(flow: nif.Flow) -> bytes:
    """Of every link."""
    return b"".join(part.nats.tobytes() + part.stderr.tobytes() for part in flow.links)


METHODS: dict[str, tuple[Any, int]] = {
    "association": (Patient(), 500),
    "currents": (nif.Currents(rows=1024, steps=16), 2_000),
}
"""Of each measure a method that takes some seconds in ten blocks or more, and rows."""


def measured(measure: str, scratch: str | None = None, n_jobs: int | None = None) -> bytes:
    """The bits of a flow."""
    method, rows = METHODS[measure]
    data = torch.randn(rows, 12, generator=torch.Generator().manual_seed(0))
    net = network(12, 20, 20, 3)
    limits: dict[str, Any] = {"memory": "1MB", "scratch": scratch, "n_jobs": n_jobs}
    return bits(nif.measure(net, data, method, progress=False, **limits))


def kills(backend: str, measure: str, runs: int, seed: int) -> None:
    """Runs in which a worker is killed, and how many of them finished with the same bits.

    A run that is over before its kill is done once more, with another moment; if too many are, no process
    has the name that workers are looked for by.
    """
    os.environ["NIF_BENCHMARK"] = str(os.getpid())
    generator, same, run, missed = random.Random(seed), 0, 0, 0
    alone, start = measured(measure), time.perf_counter()
    assert measured(measure) == alone
    longest = (time.perf_counter() - start) / WORKERS
    with ExitStack() as stack:
        options, workers = stack.enter_context(cluster(backend))
        while run < runs:
            folder = stack.enter_context(TemporaryDirectory()) if run % 2 else None
            killed, over = list[int](), threading.Event()
            delay = generator.uniform(0, longest)
            killer = threading.Thread(target=kill_one, args=(workers, delay, killed, over), daemon=True)
            killer.start()
            start = time.perf_counter()
            with parallel_config(**options):
                found = measured(measure, folder, WORKERS)
            over.set()
            killer.join()
            assert killed or found == alone
            same += found == alone and bool(killed)
            how, seconds = "in files" if folder else "sent", time.perf_counter() - start
            known = f"{len(killed)} killed after {delay:.1f} s, {how}, same bits: {found == alone}"
            print(f"run {run}: {known}, {seconds:.0f} s", flush=True)
            run, missed = run + len(killed), missed + (not killed)
            if missed > runs:
                raise SystemExit(f"{missed} runs were over before a worker was found and killed")
        print(
            f"{backend}, {measure}: {same} of {runs} runs whose worker was killed have the same bits",
            flush=True,
        )


def kill_one(
    workers: Callable[[], list[int]], delay: float, killed: list[int], over: threading.Event
) -> None:
    """Kill a worker some seconds after the first is there, unless the work is over before."""
    while not over.is_set() and not workers():
        time.sleep(0.1)
    if not over.wait(delay) and (found := workers()):
        os.kill(found[int(delay * 1e6) % len(found)], signal.SIGKILL)
        killed.append(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=("bytes", "kills"))
    parser.add_argument("--backend", choices=("loky", "dask", "ray"), default="loky")
    parser.add_argument("--measure", choices=METHODS, default="association")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch")
    options = parser.parse_args()
    print(environment())
    if options.study == "bytes":
        bytes_shipped(options.scratch)
    else:
        kills(options.backend, options.measure, options.runs, options.seed)


if __name__ == "__main__":
    main()
