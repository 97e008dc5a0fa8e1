"""Memory: what is said beforehand is what is held, and no more is held than is needed."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import nif
from nif.measures.currents import currents
from nif.measures.currents.grouped_sums import GROUPS, GroupedSum, bytes_of_sum
from nif.measures.currents.steps import bytes_of_weights
from nif.measures.currents.tape import Tape, record
from support.currents import measured
from support.networks import chain


class Recurrent(nn.Module):
    """Uses its weights in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(6, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.gru(x)[0][:, -1])
        return logits


NETWORKS = {
    "mlp": (chain(6, 9, 3), (6,)),
    "cnn": (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 3)),
        (1, 8, 8),
    ),
    "gru": (Recurrent(), (5, 6)),
}


class Held(TorchDispatchMode):
    """How many products of a shape are held at a time, at most."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.most, self._held = shape, 0, weakref.WeakSet[Tensor]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mul.Tensor and tuple(result.shape) == self.shape:
            self._held.add(result)
            self.most = max(self.most, len(self._held))
        return result


def bytes_held(sums: GroupedSum) -> int:
    return sum(one.nbytes for one in (sums.total, *sums.involving.values(), *sums.contrasts.values()))


def tape_of(net: nn.Module, x: Tensor) -> Tape:
    return record(lambda mark, values: [net(values)], [x], dict(net.named_parameters()))


@pytest.mark.parametrize("numbers", [60, 600, 6000])
def test_bytes_of_a_sum(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all contrasts, with one of them, and in single precision."""
    monkeypatch.setattr("nif.measures.currents.grouped_sums.FULL_CONTRASTS", 100)
    monkeypatch.setattr("nif.measures.currents.grouped_sums.LARGE", 1000)
    sums = GroupedSum()
    for group in range(GROUPS):
        sums.add(group, list(torch.ones(GROUPS, numbers)))
    assert bytes_of_sum(numbers) == bytes_held(sums)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sums_of_weights_take_what_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = NETWORKS[name]
    x = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    held: list[int] = []
    result = currents.measured_links

    def seen(*given: Any) -> Any:
        held.extend(map(bytes_held, given[4].weights.values()))
        return result(*given)

    monkeypatch.setattr(currents, "measured_links", seen)
    measured(net, x, rows=40, backgrounds=12)
    weights = {id(p): p for p in net.parameters() if p.dim() > 1}.values()
    sums = [p.shape[0] * p.shape[1] for p in weights]
    assert sorted(held) == sorted(map(bytes_of_sum, sums))
    others = 24 * sum(sums) + 4 * GROUPS * sum(p.numel() for p in weights)
    assert bytes_of_weights(tape_of(net, x[:2])) == sum(held) + others


def test_too_little_memory_for_weights_is_said_with_what_they_take() -> None:
    """Each of 54 and 27 weights: its total, 19 other sums, 24 bytes of a link, and ten products."""
    net, x = chain(6, 9, 3), torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    method = nif.Currents(rows=40, backgrounds=12, steps=2)
    said = (6 * 9 + 9 * 3) * (8 * 20 + 24 + 4 * 10) / 2**20
    with pytest.warns(UserWarning, match=rf"the currents of weights about {said:.3g} MB, .* memory is 0.0"):
        nif.measure(net, x, method, memory=said * 2**20, progress=False)
    with pytest.warns(UserWarning, match="libraries up to 200 MB, and memory is 100 MB"):
        nif.measure(net, x, method, memory="100MB", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nif.measure(net, x, method, progress=False)


def test_products_of_positions_are_held_one_group_at_a_time() -> None:
    """Of 36 positions, each with 9 numbers of a kernel and 4 channels: one more while the next is made."""
    net, shape = NETWORKS["cnn"]
    x = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    with Held((36, 9, 4)) as products:
        measured(net, x, rows=40, backgrounds=12)
    assert 1 <= products.most <= 2
