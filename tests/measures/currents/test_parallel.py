"""Blocks at a time, in threads and in processes: the same bits."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joblib import parallel_config
from torch import nn

import nif
from nif.measures.currents import parallel, steps
from nif.measures.currents.block_sums import Sums
from nif.measures.currents.path_integral import PathIntegral
from nif.network.preserve import one_thread, torch_threads
from support.networks import chain

X = torch.randn(90, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
FAST = nif.Currents(steps=2, rows=40, backgrounds=4)


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One group of rows in each block, of which rows as few as these have one else."""
    monkeypatch.setattr(steps, "MOST_SUMS", 0)


def conv() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    ).eval()


def flow_of(net: nn.Module, x: torch.Tensor, **options: Any) -> nif.Flow:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*backgrounds miss the total")
        return nif.measure(net, x, FAST, progress=False, **options)


def same_bits(one: nif.Flow, other: nif.Flow) -> None:
    assert one.currents is not None
    assert other.currents is not None
    assert one.total == other.total
    np.testing.assert_array_equal(one.currents.attribution, other.currents.attribution)
    np.testing.assert_array_equal(one.currents.attribution_stderr, other.currents.attribution_stderr)
    for some, others in zip(one.currents.units, other.currents.units, strict=True):
        for name, values in vars(some).items():
            np.testing.assert_array_equal(values, getattr(others, name))
    for some, others in zip(one.links, other.links, strict=True):
        np.testing.assert_array_equal(some.nats, others.nats)
        np.testing.assert_array_equal(some.stderr, others.stderr)


NETWORKS = {"mlp": (chain(6, 9, 3), X), "cnn": (conv(), IMAGES)}


@cache
def flow_alone(name: str) -> nif.Flow:
    return flow_of(*NETWORKS[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "jobs", "backend"),
    [
        *itertools.product(NETWORKS, (1, 2), ["loky"]),
        ("mlp", 2, "threading"),
        ("cnn", 2, "multiprocessing"),  # starts its processes anew each time
    ],
)
def test_processes_change_no_bit(name: str, jobs: int, backend: str) -> None:
    with parallel_config(backend=backend):
        same_bits(flow_of(*NETWORKS[name], n_jobs=jobs), flow_alone(name))


def test_a_context_of_joblib_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    of_block = parallel._of_block
    monkeypatch.setattr(parallel, "_of_block", lambda *given: (ran.append(1), of_block(*given))[1])
    net = chain(6, 9, 3)
    alone = flow_of(net, X)
    assert not ran
    with parallel_config(backend="threading", n_jobs=2):
        same_bits(flow_of(net, X), alone)
    assert ran


def test_memory_changes_no_bit_and_too_little_is_said() -> None:
    net, alone = NETWORKS["mlp"][0], flow_alone("mlp")
    with pytest.warns(
        UserWarning, match=r"A block of rows takes about .* MB, .*, and memory is 0.00095.* MB"
    ):
        small = flow_of(net, X, memory=1000)
    same_bits(small, alone)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of torch, and networks as small as these run blocks in both."""
    monkeypatch.setattr(steps, "SMALL", 0)
    with torch_threads(2):
        yield


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_that_run_at_a_time_have_the_bits_of_one_after_the_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_thread():
        alone = flow_of(*NETWORKS[name])
    add, begun, both = PathIntegral.add, itertools.count(), threading.Barrier(2)

    def together(*given: Any) -> None:
        if next(begun) < 2:
            both.wait(timeout=60)  # the first two, or an error
            assert torch.get_num_threads() == 1
        add(*given)

    monkeypatch.setattr(PathIntegral, "add", together)
    same_bits(flow_of(*NETWORKS[name]), alone)
    assert next(begun) > 2
    same_bits(flow_of(*NETWORKS[name], n_jobs=1), alone)
    with torch.inference_mode():
        same_bits(flow_of(*NETWORKS[name]), alone)


def threads_of_blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many torch has in each block that runs from now on."""
    add, threads = PathIntegral.add, list[int]()
    monkeypatch.setattr(
        PathIntegral, "add", lambda *given: (threads.append(torch.get_num_threads()), add(*given))[1]
    )
    return threads


@pytest.mark.usefixtures("two_threads")
def test_with_room_for_one_block_there_is_one_and_no_bit_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = NETWORKS["mlp"]
    together = flow_of(net, x)
    threads = threads_of_blocks(monkeypatch)
    monkeypatch.setattr(parallel, "in_threads", None)
    with pytest.warns(UserWarning, match="A block of rows takes about"):
        same_bits(flow_of(net, x, memory=1000), together)
    assert threads[:5] == [1] * 5


@pytest.mark.usefixtures("two_threads")
def test_of_large_weights_one_block_runs_at_a_time_in_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = threads_of_blocks(monkeypatch)
    monkeypatch.setattr(parallel, "in_threads", None)
    monkeypatch.setattr(steps, "LARGEST_SUMS_OF_ONE", 0)
    flow_of(*NETWORKS["mlp"])
    assert set(threads) == {2}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("given", [None, 2])
def test_threads_of_torch_are_restored(given: int | None) -> None:
    with parallel_config(backend="threading"):
        flow_of(*NETWORKS["mlp"], n_jobs=given)
    seen = []
    new = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert (torch.get_num_threads(), seen) == (2, [2])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("place", [(Sums, "include"), (parallel, "put")])
def test_when_an_interrupt_is_raised_no_thread_lives_on(
    place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*place, interrupted)
    with pytest.raises(KeyboardInterrupt) as kept:
        flow_of(*NETWORKS["mlp"], checkpoint=tmp_path / "run.nif-part")
    assert not [one.name for one in threading.enumerate() if one.name.startswith("ThreadPool")]
    assert torch.get_num_threads() == 2
    assert kept.traceback


@pytest.mark.usefixtures("two_threads")
def test_what_is_wrong_with_a_row_is_said_from_a_thread_too() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = chain(6, 9, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if 4 < len(x) < len(X):  # of two pairs, and of all rows, it runs
                raise ValueError("so many rows")
            return self.inner(x)

    with pytest.raises(nif.InputError, match="so many rows"):
        flow_of(Picky().eval(), X)
