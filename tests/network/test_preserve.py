"""Threads that measure one model wait for each other, and leave it as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import nif


@pytest.mark.filterwarnings("ignore:.*backgrounds miss the total:UserWarning")
def test_threads_measure_one_model_as_one_thread_does() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).train()
    x = torch.randn(100, 4)
    few = nif.Currents(rows=20, backgrounds=4, steps=2, by_class=False)

    def nats(number: int) -> float:
        method = few if number % 2 else nif.GaussianCopula()
        return float(nif.measure(net, x, method, progress=False).edges()["nats"].sum())

    expected = [nats(number) for number in range(2)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(nats, range(20))) == 10 * expected
    assert all(module.training for module in net.modules())
