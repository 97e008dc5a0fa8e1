"""Threads that measure one model wait for each other, and leave it as it was."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

import pytest
import torch
from torch import nn

import nif
from nif.network.preserve import preserved


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")
def test_threads_measure_one_model_as_one_thread_does() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).train()
    x = torch.randn(100, 4)
    few = nif.Currents(rows=20, backgrounds=4, steps=2, by_class=False, paths=0)

    def nats(number: int) -> float:
        method = few if number % 2 else nif.GaussianCopula()
        return float(nif.measure(net, x, method, progress=False).edges()["nats"].sum())

    expected = [nats(number) for number in range(2)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(nats, range(20))) == 10 * expected
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("other", ["another head", "a part of it"])
def test_threads_that_run_models_with_a_common_part_wait_for_each_other(other: str) -> None:
    trunk = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
    models = nn.Sequential(trunk, nn.Linear(3, 2)), trunk if other == "a part of it" else nn.Sequential(trunk)
    inside, began, most = [], Barrier(2), []

    def run(model: nn.Module) -> None:
        began.wait()
        for _ in range(20):
            with preserved(model):
                inside.append(model)
                most.append(len(inside))
                time.sleep(0.001)  # the other thread runs
                assert not trunk.training
                inside.remove(model)

    threads = [Thread(target=run, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 40
    assert all(module.training for model in models for module in model.modules())
