"""Each distinct row is multiplied once at an end of the way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import nif
from nif.measures.currents import distinct_rows
from nif.measures.currents.distinct_rows import DistinctRows
from nif.measures.currents.tape import nothing_known, record
from support.networks import chain

ROWS = np.array([3, 0, 3, 3, 1, 0, 3, 1])
"""Of pairs: three rows of four."""

SHARED = DistinctRows.of(ROWS, torch.device("cpu"))
CONVOLUTION = nn.Conv2d(3, 5, 2, padding=1)
LINEAR = nn.Linear(12, 9)
POOL = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))


def flops(run: Callable[[Tensor], Tensor], *known: DistinctRows) -> int:
    """Of a run, whose values are compared with those of a run that computes all products."""
    parameters = {**dict(CONVOLUTION.named_parameters()), **dict(LINEAR.named_parameters(prefix="linear"))}
    results = [one.result for one in known] or [nothing_known]
    x = POOL[torch.from_numpy(ROWS)]
    with FlopCounterMode(display=False) as counted:
        tape = record(lambda mark, values: [run(values)], [x], parameters, *results)
    plain = record(lambda mark, values: [run(values)], [x], parameters)
    assert tape.like(plain)
    for value, expected in zip(tape.values, plain.values, strict=True):
        torch.testing.assert_close(value, expected)
    return int(counted.get_total_flops())


@pytest.mark.parametrize(
    "run",
    [
        LINEAR,
        lambda x: x @ LINEAR.weight.T,
        lambda x: LINEAR(x.reshape(8, 1, 12)),
        lambda x: x.reshape(8, 4, 3) @ LINEAR.weight[:3, :4],
        lambda x: CONVOLUTION(x.reshape(8, 3, 2, 2)),
        lambda x: CONVOLUTION(x.reshape(4, 2, 3, 2, 2).flatten(0, 1)),
    ],
    ids=["linear", "no bias", "an axis of 1", "several vectors", "images", "views"],
)
def test_a_product_takes_three_eighths(run: Callable[[Tensor], Tensor]) -> None:
    assert flops(run, SHARED) * 8 == flops(run) * 3 > 0


@pytest.mark.parametrize(
    "run",
    [
        lambda x: LINEAR(torch.cat([x[:4].flip(0), x[4:]])),
        lambda x: LINEAR(x.relu()),
        lambda x: LINEAR(x.clone().mul_(torch.arange(8.0)[:, None])),
        lambda x: torch.addmm(torch.arange(8.0)[:, None].expand(8, 9), x, LINEAR.weight.T),
        lambda x: x @ (LINEAR.weight * x.sum()).T,
        lambda x: x @ x.T,
        lambda x: x.T @ torch.ones(8, 2),
        lambda x: x.reshape(6, 16) @ torch.ones(16, 2),
        lambda x: torch.ones(2, 8) @ x,
    ],
    ids=["order", "function", "in place", "bias", "weight", "square", "transposed", "mixed", "second"],
)
def test_other_products_are_computed_for_each_pair(run: Callable[[Tensor], Tensor]) -> None:
    assert flops(run, SHARED) == flops(run) > 0


def test_where_few_rows_are_shared_each_pair_is_computed() -> None:
    most = DistinctRows.of(np.array([0, 1, 2, 3, 4, 5, 6, 6]), torch.device("cpu"))
    x = POOL[most.place % 4]
    with FlopCounterMode(display=False) as counted:
        record(lambda mark, values: [LINEAR(values)], [x], dict(LINEAR.named_parameters()), most.result)
    assert counted.get_total_flops() == 2 * 8 * 12 * 9


class TokensFirst(nn.Module):
    """As many tokens as a block has pairs, in front of the rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.first, self.out = nn.Embedding(9, 4), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = self.out(self.first(self.embed(ids.T)).relu().mean(0))
        return result


def test_what_is_looked_up_is_multiplied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.measures.currents.path_integral.SMALL_STEP", 0)
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", math.inf)
    ids = torch.randint(9, (30, 8), generator=torch.Generator().manual_seed(2))
    flows = []
    for fewer in (0.0, 1.0):
        monkeypatch.setattr(distinct_rows, "FEWER", fewer)
        method = nif.Currents(rows=1, backgrounds=8, steps=4, paths=0)
        flows.append(nif.measure(TokensFirst().eval(), ids, method, progress=False))
    np.testing.assert_allclose(flows[0].attribution(), flows[1].attribution(), atol=1e-6)


def test_a_flow_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(200, 30, generator=torch.Generator().manual_seed(1))
    flows = []
    for fewer in (0.0, 1.0):
        monkeypatch.setattr(distinct_rows, "FEWER", fewer)
        flows.append(nif.measure(chain(30, 20, 8, 3), x, nif.Currents(rows=50), progress=False))
    for one, other in zip(flows[0].links, flows[1].links, strict=True):
        np.testing.assert_allclose(one.nats, other.nats, atol=1e-6)
    np.testing.assert_allclose(flows[0].attribution(), flows[1].attribution(), atol=1e-6)
