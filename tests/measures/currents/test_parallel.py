"""Blocks in several processes: the same bits."""

from __future__ import annotations

import itertools
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from joblib import parallel_config
from torch import nn

import nif
from nif.measures.currents import parallel, steps
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
