"""Time and memory of currents, beside plain forward and backward passes over the same runs.

    python benchmarks/currents_speed.py [--only mlp cnn transformer] [--large]
    python benchmarks/currents_speed.py --small

A ratio of 1 is the time of a forward and a backward pass, with gradients of weights and inputs, for each row,
background and step, in batches of the same size; both in one process, by turns, medians of several runs.
A first small measurement, not timed, loads what is loaded once in a process.
Errors are included, and paths but in the rows "no paths"; columns for each class, which take a walk back
each, are not, but in the rows "by class". "trained" has learnt labels, so that most rows have few classes of
any weight. With ``--large``: a network of 29 million links, a ResNet-18 shape, and a GPT-2 shape on
embeddings, of which the blocks are the layers. With ``--small``: whole measurements of small networks with
several steps at once, as they are made, and with each step by itself, by turns.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn

import nif
from environment import environment
from nif.measures.currents import path_integral

T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """A network, its rows, and the options of its measurement."""

    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int
    method: nif.Currents
    repeats: int = 3
    trained: bool = False
    layers: tuple[str, ...] | None = None
    paired: bool = False  # rows have backgrounds of their own, so that there are no more than asked for
    plain_batches: int | None = None  # as many are timed, and the time of all is taken to be in proportion


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Two encoder layers over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(28, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x)).mean(1))


class Block(nn.Module):
    """Two convolutions and a shortcut, as in ResNet-18."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.down = nn.Conv2d(before, after, 1, stride, bias=False) if stride > 1 else nn.Identity()
        self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU()])

    def forward(self, x: Tensor) -> Tensor:
        inside = self.relus[0](self.norms[0](self.first(x)))
        return self.relus[1](self.norms[1](self.second(inside)) + self.down(x))


def resnet() -> nn.Module:
    widths = ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
              (256, 512, 2), (512, 512, 1))  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        *(Block(*width) for width in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def wide() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 5000), nn.ReLU(), nn.Linear(5000, 5000), nn.ReLU(), nn.Linear(5000, 10)
    )


class Causal(nn.Module):
    """The shape of GPT-2 on embeddings of tokens: 12 causal layers, 768 wide; decides at the last token."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            768, 12, 3072, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
        self.norm, self.out = nn.LayerNorm(768), nn.Linear(768, 10)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.out(self.norm(self.layers(x, mask=mask, is_causal=True)[:, -1]))


FAST = nif.Currents(backgrounds=32, rows=512, by_class=False, steps=8)
CASES = {
    "mlp": Case(mlp, (784,), 1000, FAST),
    "mlp by class": Case(mlp, (784,), 1000, replace(FAST, by_class=True), 1),
    "cnn": Case(cnn, (1, 28, 28), 600, replace(FAST, rows=64)),
    "cnn by class": Case(cnn, (1, 28, 28), 600, replace(FAST, rows=64, by_class=True), 1),
    "transformer": Case(Transformer, (28, 28), 600, replace(FAST, rows=64)),
    **{
        f"{name}, no paths": Case(network, shape, rows, replace(FAST, rows=explained, paths=0))
        for name, network, shape, rows, explained in (
            ("mlp", mlp, (784,), 1000, 512),
            ("cnn", cnn, (1, 28, 28), 600, 64),
            ("transformer", Transformer, (28, 28), 600, 64),
        )
    },
    "mlp, defaults": Case(mlp, (784,), 1000, nif.Currents()),
    "mlp, trained": Case(mlp, (784,), 1000, nif.Currents(), trained=True),
}
BLOCKS = tuple(f"layers.layers.{number}" for number in range(12))
WIDE = Case(wide, (784,), 1000, replace(FAST, rows=128, steps="auto"), 1, plain_batches=4)
LARGE = {
    "wide": WIDE,
    "wide, no paths": replace(WIDE, method=replace(WIDE.method, paths=0)),
    "resnet": Case(
        resnet, (3, 64, 64), 100, replace(FAST, rows=64, backgrounds=8, steps=4), 1, plain_batches=4
    ),
    "gpt2": Case(
        Causal,
        (64, 768),
        16,
        replace(FAST, rows=16, backgrounds=4, steps=4),
        repeats=1,
        layers=BLOCKS,
        paired=True,
        plain_batches=2,
    ),
}


FEW = nif.Currents(rows=24, backgrounds=8)
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], nif.Currents]] = {
    "4-6-3, 150 rows, defaults": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), (150, 4), nif.Currents(),
    ),
    "6-16-3, 24 rows": (
        lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)), (200, 6), FEW,
    ),
    "convolution, 24 rows": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)),
        (200, 1, 8, 8), FEW,
    ),
    "encoder layer, 24 rows": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Flatten(), nn.Linear(80, 3)
        ),
        (200, 5, 16), FEW,
    ),
}  # fmt: skip


def small() -> None:
    """Print the time of small measurements with several steps at once, and with each by itself."""
    print("network                       by itself s  at once s   ratio")
    for name, (network, shape, method) in SMALL.items():
        torch.manual_seed(0)
        net, x = network().eval(), torch.randn(*shape)
        measure = partial(nif.measure, net, x, method, progress=False)
        seconds: dict[int, list[float]] = {0: [], path_integral.SMALL_STEP: []}
        for _ in range(9):
            for limit, times in seconds.items():
                with patch.object(path_integral, "SMALL_STEP", limit):
                    times.append(_timed(measure)[0])
        alone, together = (statistics.median(times) for times in seconds.values())
        print(f"{name:<28} {alone:>12.3f} {together:>10.3f} {together / alone:>7.2f}", flush=True)


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES | LARGE)
    parser.add_argument("--large", action="store_true", help="the large networks too, which take minutes")
    parser.add_argument("--small", action="store_true", help="only small networks, with steps at once or not")
    options = parser.parse_args()
    if options.small:
        print(environment())
        small()
        return
    cases = CASES | LARGE
    chosen = options.only or (cases if options.large else CASES)
    print(environment())
    _first()
    print("network                pairs x steps     plain s  currents s   ratio   MB over the start")
    for name in chosen:
        print(row(name, cases[name]), flush=True)


def row(name: str, case: Case) -> str:
    """Time one case."""
    torch.manual_seed(0)
    network, x = case.network(), torch.randn(case.rows, *case.shape)
    if case.trained:
        _train(network, x)
    network.eval()
    each = case.method.backgrounds or 0
    background = torch.randn(case.rows, each, *case.shape) if case.paired else None
    method = replace(case.method, background=background)
    before = _peak()
    plain, currents = [], []
    for _ in range(case.repeats):
        seconds, flow = _timed(lambda: nif.measure(network, x, method, layers=case.layers, progress=False))
        currents.append(seconds)
        peak = _peak() - before
        steps = int(flow.measurement.options["steps"])
        pairs = int(flow.measurement.options["explained"]) * int(flow.measurement.options["backgrounds"])
        plain.append(_plain(network, x, pairs * steps, case.plain_batches))
    ratio = statistics.median(a / b for a, b in zip(currents, plain, strict=True))
    times = f"{statistics.median(plain):>11.2f} {statistics.median(currents):>11.2f}"
    return f"{name:<21} {pairs:>8} x {steps:<3} {times} {ratio:>7.2f} {peak:>12.0f}"


def _first() -> None:
    """A measurement that loads what is loaded once."""
    small = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    nif.measure(small, torch.randn(60, 4), progress=False)


def _train(network: nn.Module, x: Tensor) -> None:
    """Towards the largest of ten random linear functions of the rows."""
    y = (x.flatten(1) @ torch.randn(x[0].numel(), 10)).argmax(1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(10):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()


def _plain(network: nn.Module, x: Tensor, runs: int, most: int | None) -> float:
    """Seconds of forward and backward passes of as many rows, in batches of 1,024 or of all rows."""
    batch = x[: min(1024, len(x))].clone().requires_grad_()
    batches = max(1, round(runs / len(batch)))
    timed = batches if most is None else min(batches, most)

    def passes() -> None:
        for _ in range(timed):
            network(batch).log_softmax(1).sum().backward()
            network.zero_grad()

    return _timed(passes)[0] * batches / timed


def _timed(job: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    result = job()
    return time.perf_counter() - begin, result


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
