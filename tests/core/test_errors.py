"""Memory that runs out is named, with what to lower."""

from __future__ import annotations

import errno
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nif
from nif.core.errors import InputError, OutOfMemory, memory_named, ran_out_of_memory
from nif.estimators.pairs import Tables

X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


class Greedy(nn.Module):
    """Asks for more memory than any machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.empty(2**60, dtype=torch.uint8)
        out: torch.Tensor = self.out(self.first(x).relu())
        return out


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_errors_of_every_library_are_known(error: Exception) -> None:
    assert ran_out_of_memory(error)
    said = pytest.raises(OutOfMemory, match=r"^Memory ran out \(.+\); pass fewer rows\.$")
    with said as caught, memory_named("fewer rows"):
        raise error
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, MemoryError)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not fit"), ValueError("out of memory"), KeyError(1)]
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, memory_named("fewer rows"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("method", "lower"),
    [
        (nif.Currents(), r"nif\.Currents\(rows=128"),
        (nif.Binned(), r"nif\.Association\(rows=10_000\).* memory="),
    ],
)
def test_a_model_that_asks_for_too_much_is_told_from_one_that_does_not_run(method: Any, lower: str) -> None:
    with pytest.raises(OutOfMemory, match=rf"^Memory ran out \(.*\); pass fewer rows.*{lower}"):
        nif.measure(Greedy(), X, method, progress=False)


def test_memory_that_runs_out_in_a_block_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError("Unable to allocate 8 TiB for an array")

    monkeypatch.setattr(Tables, "estimate", fails)
    with pytest.raises(OutOfMemory, match=r"Unable to allocate 8 TiB.*a smaller memory= or n_jobs="):
        nif.measure(nn.Linear(3, 2), X, nif.Binned(), progress=False)
    with pytest.raises(OutOfMemory, match="pass fewer samples, or a smaller memory= or n_jobs="):
        nif.pairwise(np.zeros((60, 3)), estimator=nif.Binned(), progress=False)


def test_memory_that_runs_out_while_units_are_removed_or_methods_compared_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TB")

    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    flow = nif.measure(net, X, nif.GaussianCopula(), progress=False)
    with pytest.raises(OutOfMemory, match=r"^Memory ran out \(.* 8 TB\); pass fewer rows\.$"):
        nif.prune(net, flow, X, remove=0.5, rule=fails)
    monkeypatch.setattr(import_module("nif.comparison.compare"), "faithfulness", fails)
    with pytest.raises(OutOfMemory, match=r"; pass fewer rows or methods=\.$"):
        nif.compare(net, flow, X, X[:, 0] > 0, methods=["random ranking"])
    monkeypatch.setattr(import_module("nif.comparison.link_comparison"), "carried", fails)
    with pytest.raises(OutOfMemory, match=r"; pass fewer rows or methods=\.$"):
        nif.compare_links(net, flow, X, methods=["random ranking"], progress=False)


@pytest.mark.parametrize("given", [None, np.arange(60.0)])
def test_memory_that_runs_out_in_an_estimate_is_named(
    given: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 TB")

    monkeypatch.setattr(nif.InfoNce, "estimate", fails)
    monkeypatch.setattr(import_module("nif.estimators.arrays"), "information_given", fails)
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    with pytest.raises(OutOfMemory, match=r"8 TB\); pass fewer samples\.$"):
        nif.estimate(x, y, nif.InfoNce(), given=given)


def test_memory_that_runs_out_for_tables_and_pages_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 8 TiB for an array")

    flow = nif.measure(nn.Linear(3, 2), X, nif.GaussianCopula(), progress=False)
    monkeypatch.setattr(import_module("nif.flow.tables"), "edges", fails)
    with pytest.raises(OutOfMemory, match=r"8 TiB.*; pass top=, the number"):
        flow.edges()
    monkeypatch.setattr(import_module("nif.flow.output_views"), "written_page", fails)
    with pytest.raises(OutOfMemory, match=r"8 TiB.*; pass fewer links: flow\.save"):
        flow.report(tmp_path / "flow.html")
