"""Change files at random and read them: each is refused with an InputError, or can be used by everything.

``python -m support.fuzz --cases 1000000 --state build/fuzz.json`` goes on where it was stopped; ``--only 17``
runs one case and shows what it raises. A case is known by its number: the same number makes the same file.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as serialised

import nif
from nif.core.errors import InputError
from nif.flow.flow import Flow
from nif.pruning.prune import prune
from nif.pruning.result import Pruned
from support import tensor_files
from support.flows import current_flow, random_flow
from support.read_everything import READERS, made, place, rows, use
from support.row_files import changed_archive, changed_array, changed_rows

SHARE_USED = 100
"""One in so many of the flows that are read goes through everything."""

SECONDS, MEGABYTES = 10, 1000
"""Of one case; more is a finding."""

WAIT = 180
"""Seconds of a case that does not use the processor."""

CHUNK = 2000
"""Cases that one process runs."""

WEIGHTS = {"flow": 64, "pruned": 10, "csv": 6, "npy": 5, "npz": 5, "pt": 4, "weights": 6}
"""How many of a hundred cases change a file of each kind."""


class Hang(BaseException):
    """A case took more than `SECONDS`."""


def _bytes_of(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file.safetensors")
        return (Path(folder) / "file.safetensors").read_bytes()


def _flows() -> Iterator[Flow]:
    """With everything that a file can hold."""
    net, x = made(), rows()
    yield random_flow([3, 4, 3, 2], [(0, 2)])
    yield nif.measure(net, x, nif.Association(nif.GaussianCopula()), progress=False)
    yield nif.measure(net, x, nif.Currents(backgrounds=8, rows=20, paths=20), progress=False)
    yield current_flow([2, 3, 2], [(0, 2)])
    torch.manual_seed(0)
    attention = torch.nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True)
    net = torch.nn.Sequential(attention, torch.nn.Flatten(), torch.nn.Linear(8, 2)).eval()
    yield nif.measure(net, torch.randn(30, 2, 4), nif.Currents(backgrounds=4, steps=2), progress=False)
    groups = torch.nn.Sequential(
        torch.nn.Conv1d(4, 4, 1, groups=4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8, 2)
    )
    yield nif.measure(groups, torch.randn(60, 4, 2), nif.Association(nif.GaussianCopula()), progress=False)


def seeds() -> dict[str, list[bytes]]:
    """Valid files of each kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flows = [replace(flow, measurement=replace(flow.measurement, **TIMES)) for flow in _flows()]
        small, zeroed = (_pruned(flows[1], cut) for cut in (True, False))
    old = Path(__file__).with_name("flow-0.1.safetensors").read_bytes()
    saved = io.BytesIO()
    torch.save(made().state_dict(), saved)
    kept = [_bytes_of(lambda path, flow=flow: flow.save(path, keep=0.8)) for flow in flows[2:4]]
    return {
        "flow": list(map(_in_order, [*(_bytes_of(flow.save) for flow in flows), *kept, old])),
        "pruned": list(map(_in_order, [_bytes_of(small.save), _bytes_of(zeroed.save)])),
        "csv": [
            b"a,b,word\n" + b"".join(b"%d,%.3f,w%d\n" % (n, n / 7, n % 3) for n in range(12)),
            b"a;b;word\n1,5;2;x\n3,5;4;y\n5;6;x\n",
        ],
        "npy": [
            _npy(np.arange(12.0).reshape(4, 3)),
            _npy(np.arange(4)),
            _npy(np.ones((2, 3, 2), np.float32)),
        ],
        "npz": [
            _npz(x=np.arange(6.0).reshape(3, 2), b=np.arange(3), word=np.array(["x", "y", "x"])),
            _npz(x=np.ones(3)),
        ],
        "pt": [saved.getvalue()],
        "weights": [serialised(made().state_dict())],
    }


TIMES = {"began": "2026-01-01T00:00:00+00:00", "seconds": 1.0}
"""So that the same case is the same file."""


def _pruned(flow: Flow, cut: bool) -> Pruned:
    small = prune(made(), flow, rows(), remove=0.3, tolerance=None, rule="magnitude", cut=cut)
    sizes = (replace(size, milliseconds=1.0, spread=0.0) for size in (small.size_before, small.size_after))
    return replace(small, **dict(zip(("size_before", "size_after"), sizes, strict=True)))


def _in_order(content: bytes) -> bytes:
    """With entries in the order of their names: safetensors writes them in any."""
    file = tensor_files.TensorFile.read(content)
    header, tensors = (dict(sorted(entries.items())) for entries in (file.header, file.tensors))
    return tensor_files.TensorFile(header, tensors).write()


def _npy(values: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, values)
    return written.getvalue()


def _npz(**arrays: Any) -> bytes:
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


CHANGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "flow": tensor_files.changed,
    "pruned": tensor_files.changed,
    "weights": tensor_files.changed,
    "csv": changed_rows,
    "npy": changed_array,
    "npz": changed_archive,
    "pt": changed_archive,
}


@dataclass(frozen=True)
class Finding:
    """What must not happen: its kind, and the case that shows it."""

    kind: str
    case: int


def file_of(case: int, valid: dict[str, list[bytes]]) -> tuple[str, bytes, Random]:
    """The kind and the content of a case."""
    random = Random(case)
    kind = random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    return kind, CHANGES[kind](random.choice(valid[kind]), random), random


def run(case: int, valid: dict[str, list[bytes]], folder: Path, share: int = SHARE_USED) -> str | Finding:
    """``"refused"``, ``"read"``, ``"used"``, or what must not happen."""
    kind, content, random = file_of(case, valid)
    path = place(folder, kind, content)
    used = False
    with warnings.catch_warnings(record=True) as said, _at_most(SECONDS):
        warnings.simplefilter("always")
        try:
            result = READERS[kind](path)
            if isinstance(result, Flow) and random.randrange(share) == 0:
                used = True
                use(result, folder, case)
        except InputError:
            return "refused"
        except (Exception, Hang) as error:
            return Finding(f"{kind}: {type(error).__name__} in {_place(error)}", case)
    bad = [one for one in said if _bad(one)]
    if bad:
        where = f"{Path(bad[0].filename).name}:{bad[0].lineno}"
        return Finding(f"{kind}: {bad[0].category.__name__} in {where}: {str(bad[0].message)[:60]}", case)
    return "used" if used else "read"


def _bad(said: warnings.WarningMessage) -> bool:
    """A warning of another library: those of nif are sentences for users."""
    return said.category is not UserWarning or "omplex" in str(said.message)


def _place(error: BaseException) -> str:
    """The line of nif that raised it, or called what did."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/nif/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} ({str(error)[:60]!r})"


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor: others may use it too
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _chunk(begin: int, end: int, valid: dict[str, list[bytes]], share: int, at: Any, found: Any) -> None:
    """Run cases in a process of its own, which may die."""
    torch.set_num_threads(1)
    room = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEGABYTES * 1000
    resource.setrlimit(resource.RLIMIT_DATA, (3 * MEGABYTES * 10**6,) * 2)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in range(begin, end):
            at.value = case
            outcome = run(case, valid, Path(folder), share)
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > room:
                outcome = Finding(f"{file_of(case, valid)[0]}: more than {MEGABYTES} MB", case)
                room *= 2
            counts[outcome if isinstance(outcome, str) else "found"] += 1
            if isinstance(outcome, Finding):
                found.send((outcome.kind, case))
    found.send(dict(counts))


@dataclass
class State:
    """How far a run has come."""

    next: int = 0
    counts: dict[str, int] | None = None
    found: dict[str, list[int]] | None = None
    seconds: float = 0.0


def go_on(state: State, cases: int, valid: dict[str, list[bytes]], share: int = SHARE_USED) -> State:
    """Run the next chunk."""
    state = copy.deepcopy(state)
    counts, found = Counter(state.counts or {}), state.found or {}
    begin, end, start = state.next, min(state.next + CHUNK, cases), time.monotonic()
    context = multiprocessing.get_context("fork")
    at, (receive, send) = context.Value("q", begin), context.Pipe(duplex=False)
    child = context.Process(target=_chunk, args=(begin, end, valid, share, at, send), daemon=True)
    child.start()
    send.close()
    last, since, done = begin, time.monotonic(), False
    while not done:
        if receive.poll(1):
            try:
                message = receive.recv()
            except EOFError:
                break
            if isinstance(message, dict):
                counts.update(message)
                done = True
            else:
                found.setdefault(message[0], []).append(message[1])
        if at.value != last:
            last, since = at.value, time.monotonic()
        elif time.monotonic() - since > WAIT:
            child.kill()
    child.join()
    if not done:
        found.setdefault(f"the process ended with {child.exitcode}", []).append(at.value)
    state.next = end if done else at.value + 1
    return replace(
        state,
        counts=dict(counts),
        found={kind: numbers[:20] for kind, numbers in found.items()},
        seconds=state.seconds + time.monotonic() - start,
    )


def main() -> None:
    """Run cases until all are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("build/fuzz.json"))
    parser.add_argument("--share", type=int, default=SHARE_USED)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    valid = seeds()
    if options.only is not None:
        _show(options.only, valid)
        return
    _warm(valid)
    options.state.parent.mkdir(parents=True, exist_ok=True)
    state = State(next=options.begin)
    if options.state.exists():
        state = State(**json.loads(options.state.read_text()))
    while state.next < options.cases:
        state = go_on(state, options.cases, valid, options.share)
        beside = options.state.with_suffix(".new")
        beside.write_text(json.dumps(vars(state), indent=1))
        beside.replace(options.state)
        rate = (state.next - options.begin) / max(state.seconds, 1e-9)
        print(
            f"{state.next:,} cases, {rate:.0f} a second, {state.counts}; {len(state.found or {})} kinds found"
        )
    for kind, numbers in sorted((state.found or {}).items()):
        print(f"{kind}: {len(numbers)}, such as {numbers[0]}")
    sys.exit(1 if state.found else 0)


def _warm(valid: dict[str, list[bytes]]) -> None:
    """Import what is imported late, before processes are made: no case is to wait for it."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind, files in valid.items():
            for content in files[:2]:
                result = READERS[kind](place(Path(folder), kind, content))
                if isinstance(result, Flow):
                    use(result, Path(folder))


def _show(case: int, valid: dict[str, list[bytes]]) -> None:
    """One case with its traceback."""
    kind, content, _ = file_of(case, valid)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        path = place(Path(folder), kind, content)
        print(kind, len(content), os.fspath(path))
        result = READERS[kind](path)
        if isinstance(result, Flow):
            use(result, Path(folder), case)


if __name__ == "__main__":
    main()
