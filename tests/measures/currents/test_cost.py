"""What a measurement costs, by counted operations; and that nothing is walked back in every step in vain."""

from __future__ import annotations

import gc
import itertools
import math
import warnings
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nif.core.errors import InputError
from nif.data.rows import read
from nif.estimators.pairs import Resources
from nif.measures.currents.currents import Currents
from nif.measures.currents.path_integral import PathIntegral
from nif.measures.currents.tape import Tape
from nif.network.network import Network
from support.currents import measured
from support.networks import chain

X = torch.randn(400, 16, generator=torch.Generator().manual_seed(0))
FEW = X[:128]
BASE = {"rows": 32, "backgrounds": 4, "steps": 2}


class Counted(TorchDispatchMode):
    """Counts floating-point operations of products, as `FlopCounterMode` does at several times the cost.

    And the numbers that all operations write, on one tensor and on tuples of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        results = result if isinstance(result, tuple | list) else [result]
        self.numbers += sum(one.numel() for one in results if isinstance(one, Tensor))
        if (flops := flop_registry.get(function.overloadpacket)) is not None:
            self.flops += flops(*args, **(kwargs or {}), out_val=result)
        return result


def cost(width: int = 64, **options: Any) -> tuple[float, float]:
    """Floating-point operations of products, and numbers written, less those before the first step."""
    whole, least = counts(width, **{**BASE, **options}), counts(width, rows=1, backgrounds=1, steps=1)
    return whole[0] - least[0], whole[1] - least[1]


@cache
def counts(width: int, **options: Any) -> tuple[float, float]:
    torch.manual_seed(0)
    net = chain(16, width, width, 3)
    with Counted() as counted:
        measured(net, FEW, by_class=True, **options)
    return counted.flops, counted.numbers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "backgrounds", "steps"])
def test_cost_is_linear_in_rows_backgrounds_and_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", math.inf)
    few, many = cost(), cost(**{name: 4 * BASE[name]})
    for before, after in zip(few, many, strict=True):
        assert before > 0
        assert math.log(after / before, 4) <= 1.1


def test_cost_is_linear_in_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", math.inf)
    few, many = cost(64), cost(256)
    weights = [sum(p.numel() for p in chain(16, width, width, 3).parameters()) for width in (64, 256)]
    for before, after in zip(few, many, strict=True):
        assert math.log(after / before) / math.log(weights[1] / weights[0]) <= 1.1


def test_first_weights_are_walked_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step more costs the run of the network and the way back, both without the first weights."""
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", math.inf)
    torch.manual_seed(0)
    net, pairs = nn.Sequential(nn.Linear(16, 500), nn.ReLU(), nn.Linear(500, 2)), 64 * 8
    counts = []
    for steps in (4, 5):
        with Counted() as counted:
            measured(net, FEW, rows=64, backgrounds=8, steps=steps)
        counts.append(counted.flops)
    assert counts[1] - counts[0] == pairs * 3 * (2 * 500 * 2)


class Block(nn.Module):
    """A part of a residual stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(self.relu(self.first(x)))
        return result


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_cost_of_residual_blocks_is_linear_where_they_are_the_layers(
    named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each hidden layer feeds all later ones, and each pair of them is walked back by itself."""
    monkeypatch.setattr("nif.measures.currents.path_integral.SMALL_STEP", 0)
    monkeypatch.setattr("nif.measures.currents.sample.LARGEST_MISS", math.inf)
    flops = {}
    for depth, steps in itertools.product((1, 2, 3), (1, 2)):
        torch.manual_seed(depth)  # the same backgrounds, of which distinct ones are multiplied
        net = nn.Sequential(nn.Linear(16, 8), *(Block(8) for _ in range(depth)), nn.Linear(8, 3))
        layers = [str(1 + block) for block in range(depth)] if named else None
        with Counted() as counted:
            measured(net, X[:20], rows=4, backgrounds=2, steps=steps, layers=layers)
        flops[depth, steps] = counted.flops
    a_step = [flops[depth, 2] - flops[depth, 1] for depth in (1, 2, 3)]
    product = 2 * 4 * 2 * 8 * 8
    # Of a weight: the run, the way back, the current. Of a pair of hidden layers: the last two of one weight.
    more = a_step[1] - a_step[0], a_step[2] - a_step[1]
    assert more == ((6 * product,) * 2 if named else (8 * product, 10 * product))


@pytest.mark.parametrize("options", [{"steps": "auto"}, {"steps": 3}, {"steps": 2, "rows": 300}])
def test_progress_ends_at_the_whole_work(options: dict[str, Any]) -> None:
    """Also where backgrounds are raised; the pilot of the steps counts."""
    net, done = chain(16, 8, 3), []
    network = Network.of(net)
    rows, currents = read(X, network.signature), Currents(**{"rows": 40, "backgrounds": 2, **options})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*backgrounds miss the total")
        currents.measure(network, rows, seed=0, resources=Resources(), advance=done.append)
    assert sum(done) == pytest.approx(currents.work(network, rows))
    assert min(done) > 0


def test_more_links_than_there_is_room_for_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = chain(16, 8, 8, 3)
    monkeypatch.setattr("nif.measures.currents.steps.MOST_LINKS", 16 * 8 + 8 * 8 + 8 * 3)
    measured(net, X, **BASE)
    monkeypatch.setattr("nif.measures.currents.steps.MOST_LINKS", 16 * 8 + 8 * 8 + 8 * 3 - 1)
    with pytest.raises(InputError, match=r"4 layers have 2.2e\+02 links"):
        measured(net, X, **BASE)


def tapes() -> int:
    """Tapes that are held."""
    return sum(type(one) is Tape for one in gc.get_objects())


@pytest.mark.slow
def test_a_block_is_freed_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tapes in a cycle would stay until the garbage collector runs, and take twice the memory."""
    add, left = PathIntegral.add, list[int]()

    def counted(self: PathIntegral, *given: Any) -> None:
        gc.collect()
        gc.disable()
        before = tapes()  # of other tests
        try:
            add(self, *given)
            left.append(tapes() - before)
        finally:
            gc.enable()

    monkeypatch.setattr(PathIntegral, "add", counted)
    measured(chain(16, 8, 3), X, by_class=True, paths=5, **BASE)
    assert len(left) == 2  # of links, and of paths
    assert not any(left)
