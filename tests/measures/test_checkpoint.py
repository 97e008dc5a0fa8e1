"""A measurement goes on after a crash: with the same bits, and no finished block is computed again."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError
from nif.estimators.pairs import Tables
from nif.flow.file import arrays_of
from nif.measures.association.shared_critic import SharedMine
from nif.measures.currents import steps
from nif.measures.currents.path_integral import PathIntegral
from support.networks import chain

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One group of rows in each block, of which rows as few as these have one else."""
    monkeypatch.setattr(steps, "MOST_SUMS", 0)


class Killed(BaseException):
    """In place of a signal."""


class Branches(nn.Module):
    """Each row decides which operation runs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.out = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)), nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [row if row > 0 else row * 0.3 for row in self.first(x)]
        return self.out(torch.stack(rows))


def images() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


FEW = nif.Currents(rows=30, backgrounds=8, steps=2)
CASES: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, Any, dict[str, Any]]] = {
    "currents": (lambda: chain(4, 8, 6, 3), X, FEW, {}),
    "two processes": (lambda: chain(4, 8, 6, 3), X, FEW, {"n_jobs": 2}),
    "images": (images, IMAGES, FEW, {}),
    "orders": (
        lambda: chain(4, 6, 1),
        X,
        nif.Currents(rows=10, backgrounds=2, steps=1, path="orders", orders=2, paths=0),
        {},
    ),
    "branches": (Branches, X, nif.Currents(rows=12, backgrounds=2, steps=2), {}),
    "binned": (lambda: chain(4, 30, 6, 3), X, nif.Binned(), {"memory": 130_000}),
    "binned by two": (lambda: chain(4, 30, 6, 3), X, nif.Binned(), {"memory": 130_000, "n_jobs": 2}),
    "ksg": (lambda: chain(4, 8, 6, 3), X, nif.Ksg(), {"memory": 130_000}),
    "one critic": (lambda: chain(3, 4, 3, 2), X[:, :3], SharedMine(steps=5), {}),
}
BLOCKS = ((PathIntegral, "add"), (Tables, "estimate"), (SharedMine, "_block"))


def measured(case: str, **more: Any) -> nif.Flow:
    network, x, method, options = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return nif.measure(network(), x, method, **{"progress": False, **options, **more})


def same_bits(one: nif.Flow, other: nif.Flow) -> None:
    some, others = arrays_of(one), arrays_of(other)
    assert set(some) == set(others)
    for name, values in some.items():
        assert values.dtype == others[name].dtype
        assert values.tobytes() == others[name].tobytes(), name
    assert one.measurement.options == other.measurement.options


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Counts the blocks that are computed, and stops before the one after ``most``."""
    known = {"done": 0, "most": 10**9}

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def block(*given: Any, **named: Any) -> Any:
            if known["done"] >= known["most"]:
                raise Killed
            result = function(*given, **named)
            known["done"] += 1
            return result

        return block

    for owner, name in BLOCKS:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return known


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case, (*_, options) in CASES.items() if "n_jobs" not in options])
def test_no_finished_block_is_computed_again_and_no_bit_is_another(
    tmp_path: Path, count: dict[str, int], case: str
) -> None:
    path = tmp_path / "run.nif-part"
    alone, whole = measured(case), count["done"]
    assert whole >= 3
    runs = 0
    while True:
        before, runs = count["done"], runs + 1
        count["most"] = before + 2**runs
        try:
            flow = measured(case, checkpoint=path)
        except Killed:
            assert path.exists()
            continue
        break
    assert runs >= 2
    assert count["done"] == 2 * whole  # once without the checkpoint, and once in all runs with it
    assert not path.exists()
    same_bits(flow, alone)


KILLED = """
import os, signal, sys, threading
sys.path[:0] = {tests!r}
import test_checkpoint as cases
from nif import measure  # and what it imports
cases.steps.MOST_SUMS = 0
case, path, *seconds = sys.argv[1:]
for end in map(float, seconds):
    if os.fork() == 0:
        os.dup2(2, 1)  # where a worker that outlives its killed parent says so
        threading.Timer(end, os.kill, (os.getpid(), signal.SIGKILL)).start()
        cases.measured(case, checkpoint=path).save(path + ".safetensors")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
"""One process has loaded torch, and each run is forked from it."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("case", ["two processes", "ksg"])
def test_killed_at_random_moments_the_bits_are_the_same(tmp_path: Path, case: str) -> None:
    path, chance = tmp_path / "run.nif-part", random.Random(case)
    tests = [str(folder) for folder in Path(__file__).parents[:2]]
    kills = 1 if case == "two processes" else 2  # each run starts two processes that load torch
    seconds = [*(chance.uniform(0.1, 3) for _ in range(kills)), 100.0]
    command = [sys.executable, "-c", KILLED.format(tests=tests), case, path, *map(str, seconds)]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180)
    *begun, last = map(int, run.stdout.split())
    assert last == 0 and set(begun) <= {0, -9} and len(begun) == kills, run.stderr
    same_bits(nif.load(f"{path}.safetensors"), measured(case))
    assert {file.name for file in tmp_path.iterdir()} == {f"{path.name}.safetensors"}


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"method": replace(FEW, rows=31)}, "rows was 30 and is 31"),
        ({"method": nif.Ksg()}, "method was Currents and is Association"),
        ({"data": X + 1e-6}, "the data differs"),
        ({"layers": ["1"]}, r"layers was None and is \['1'\]"),
        ({"model": chain(4, 8, 6, 3, seed=1)}, "the model differs"),
        ({"background": X[:50]}, "background differs"),
    ],
    ids=["seed", "rows", "method", "data", "layers", "model", "background"],
)
def test_another_measurement_is_refused_and_what_differs_is_said(
    tmp_path: Path, count: dict[str, int], more: dict[str, Any], what: str
) -> None:
    path = tmp_path / "run.nif-part"
    count["most"] = 2
    with pytest.raises(Killed):
        measured("currents", checkpoint=path)
    before = path.read_bytes()
    given = {"model": chain(4, 8, 6, 3), "data": X, "method": FEW, "progress": False, **more}
    with pytest.raises(InputError, match=f"of other work: .*{what}"):
        nif.measure(**given, checkpoint=path)
    assert path.read_bytes() == before


def test_other_memory_and_processes_go_on_with_the_same_bits(tmp_path: Path, count: dict[str, int]) -> None:
    path, alone = tmp_path / "run.nif-part", measured("binned", memory="1GB")
    count["most"] = count["done"] + 3
    with pytest.raises(Killed):
        measured("binned", checkpoint=path)
    count["most"] = 10**9
    same_bits(measured("binned", checkpoint=path, memory=400_000), alone)


def test_a_checkpoint_of_a_measure_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.nif-part"
    net = chain(4, 6, 3)
    flow = nif.measure(net, X, nif.DecisionInformation(), checkpoint=path, progress=False)
    np.testing.assert_array_equal(
        flow.links[0].nats, nif.measure(net, X, nif.DecisionInformation(), progress=False).links[0].nats
    )
    assert not path.exists()
