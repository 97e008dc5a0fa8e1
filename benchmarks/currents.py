"""Currents: whether their totals are right.

``python benchmarks/currents.py totals [--backgrounds 32] [--draws 20]`` prints for eighteen data sets, and
for cases that are hard to sample, each with a network trained on it,

- the information about the decision in closed form over the explained rows, the total of the currents with
  the given number of backgrounds before any are added, and their difference; the backgrounds that are used in
  the end, the difference with them, and the entropy of the decision, which no total may exceed;
- the closed form over all rows, and the relative deviation of the one over the explained rows when these are
  drawn again.

Data and networks depend on the seeds in this file only.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_friedman1
from torch import Tensor, nn

from environment import environment
from nif import datasets
from nif.measures.currents.backgrounds import Explained, similar_backgrounds
from nif.measures.currents.decisions import decided_by
from nif.measures.currents.information import Decided
from nif.measures.currents.sample import ROUNDING, Sample, explained_rows, known
from nif.network.decision import Decision
from nif.network.forward import Forward

ROWS = 512
"""Explained rows, as `nif.Currents` has by default."""

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A data set, and the network that is trained on it.

    Attributes:
        name: In words.
        data: From a generator to inputs and labels; real labels are values, a matrix of 0 and 1 has several
            answers a row.
        hidden: Width of each hidden layer.
        within: Part of the closed form by which the total may be off.
        options: `decision` and `noise` of `nif.Currents`.
        steps: Of the training; 0 leaves the network constant.
        scale: Of the outputs; large ones saturate.
    """

    name: str
    data: Callable[[np.random.Generator], Arrays]
    hidden: tuple[int, ...]
    within: float
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 400
    scale: float = 1.0

    def network(self, x: Tensor, y: Tensor) -> nn.Sequential:
        """A network of ReLU layers, trained by Adam."""
        torch.manual_seed(len(self.name))
        classes = y.dtype == torch.int64 and y.dim() == 1
        sizes = [x.shape[1], *self.hidden, int(y.max()) + 1 if classes else y.shape[1]]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        loss = nn.functional.cross_entropy if classes else self._loss()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(self.steps):
            batch = torch.randint(len(x), (256,))
            optimizer.zero_grad()
            loss(net(x[batch]), y[batch]).backward()
            optimizer.step()
        last = net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(self.scale if self.steps else 0.0)
            last.bias.mul_(self.scale)
        return nn.Sequential(*net, nn.Sigmoid()) if self._answers() else net

    def _answers(self) -> bool:
        return self.options.get("decision") == "bernoulli"

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        functional = nn.functional
        return functional.binary_cross_entropy_with_logits if self._answers() else functional.mse_loss


def normal(rows: int, features: int, correlation: float = 0.0) -> Callable[[np.random.Generator], np.ndarray]:
    """Normal features, all pairs with one correlation."""

    def draw(generator: np.random.Generator) -> np.ndarray:
        common = generator.normal(size=(rows, 1)) * np.sqrt(correlation)
        return common + generator.normal(size=(rows, features)) * np.sqrt(1 - correlation)

    return draw


def binary(rows: int, features: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Features that are 0 or 1."""
    return lambda generator: generator.integers(0, 2, (rows, features)).astype(float)


def labelled(
    features: Callable[[np.random.Generator], np.ndarray],
    label: Callable[[np.ndarray, np.random.Generator], np.ndarray],
) -> Callable[[np.random.Generator], Arrays]:
    """Features, and labels that depend on them."""

    def draw(generator: np.random.Generator) -> Arrays:
        x = features(generator)
        return x, label(x, generator)

    return draw


def noisy(x: np.ndarray, generator: np.random.Generator, slope: float = 2.0) -> np.ndarray:
    """Class 1 with a probability that rises with the sum of three features."""
    return (generator.random(len(x)) < 1 / (1 + np.exp(-slope * x[:, :3].sum(1)))).astype(np.int64)


def rare(part: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Class 1 for a small part of the rows."""
    return lambda x, _: (x[:, 0] + 0.5 * x[:, 1] > np.quantile(x[:, 0] + 0.5 * x[:, 1], 1 - part)).astype(
        np.int64
    )


def clusters(
    rows: int, features: int, classes: int, spread: float
) -> Callable[[np.random.Generator], Arrays]:
    """Normal clusters, one for each class."""

    def draw(generator: np.random.Generator) -> Arrays:
        y = np.arange(rows) % classes
        return generator.normal(size=(classes, features))[y] + spread * generator.normal(
            size=(rows, features)
        ), y

    return draw


def spirals(rows: int) -> Callable[[np.random.Generator], Arrays]:
    """Three arms around each other."""

    def draw(generator: np.random.Generator) -> Arrays:
        y, radius = np.arange(rows) % 3, generator.uniform(0.2, 2.0, rows)
        angle = 2.5 * radius + 2 * np.pi * y / 3 + 0.2 * generator.normal(size=rows)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), y

    return draw


def friedman(rows: int) -> Callable[[np.random.Generator], Arrays]:
    """Friedman's first regression problem, on the scale of a standard deviation."""

    def draw(generator: np.random.Generator) -> Arrays:
        x, y = make_friedman1(rows, noise=1.0, random_state=int(generator.integers(2**31)))
        return 3.5 * (x - 0.5), ((y - y.mean()) / y.std())[:, None]

    return draw


def real(name: str) -> Callable[[np.random.Generator], Arrays]:
    """A data set that comes with NIF, standardised."""

    def draw(generator: np.random.Generator) -> Arrays:
        data = datasets.load(name)
        return (data.x - data.x.mean(0)) / np.maximum(data.x.std(0), 1e-6), data.y

    return draw


def linear(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A value that rests on all features."""
    return (x @ np.arange(1, x.shape[1] + 1) / x.shape[1] + 0.1 * generator.normal(size=len(x)))[:, None]


def heavy(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A value with rare and large deviations."""
    return (x[:, 0] + x[:, 1] ** 3)[:, None]


def product(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A value of two features together, and a periodic part."""
    return (x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]))[:, None]


def thresholds(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """An answer for each feature."""
    return (x > 0.5).astype(float)


def cauchy(generator: np.random.Generator) -> np.ndarray:
    """Features with heavy tails."""
    return generator.standard_t(1.5, (2000, 4))


CLASSES, VALUES = 0.015, 0.03

EIGHTEEN = (
    Case("independent", labelled(normal(2000, 6), noisy), (16,), CLASSES),
    Case("correlated", labelled(normal(2000, 6, 0.7), noisy), (16, 16), CLASSES),
    Case(
        "xor",
        labelled(normal(1500, 4), lambda x, _: (x[:, 0] * x[:, 1] > 0).astype(np.int64)),
        (16,),
        CLASSES,
    ),
    Case(
        "parity of bits",
        labelled(binary(1000, 5), lambda x, _: x[:, :3].sum(1).astype(np.int64) % 2),
        (24, 24),
        CLASSES,
    ),
    Case("spirals", spirals(1500), (32, 32), CLASSES),
    Case("5 clusters", clusters(1000, 4, 5, 0.6), (16, 16, 16, 16), CLASSES),
    Case("20 clusters", clusters(3000, 8, 20, 0.7), (32,), CLASSES),
    Case("class 1 in 10 %", labelled(normal(3000, 5), rare(0.1)), (16, 8), CLASSES),
    Case("noise only", labelled(normal(600, 5), lambda x, g: g.integers(0, 3, len(x))), (16,), CLASSES),
    Case(
        "4 answers",
        labelled(normal(1500, 6), lambda x, g: (x[:, :4] + 0.7 * x[:, 2:] > 0.3).astype(float)),
        (24,),
        CLASSES,
        {"decision": "bernoulli"},
    ),
    Case("iris", real("iris"), (16,), CLASSES),
    Case("digits", real("digits"), (32, 16), CLASSES),
    Case("banknote", real("banknote"), (16, 16), CLASSES),
    Case("linear value", labelled(normal(2000, 5), linear), (16,), VALUES),
    Case("value of friedman", friedman(1500), (32, 32), VALUES),
    Case("value of a product", labelled(normal(1500, 4), product), (32, 32, 16, 16), VALUES),
    Case(
        "2 values",
        labelled(normal(1000, 4), lambda x, g: np.stack([x[:, 0], x[:, 1] ** 2], 1)),
        (24,),
        VALUES,
        {"decision": "value"},
    ),
    Case("value of bits", labelled(binary(1000, 4), linear), (16, 8), VALUES),
)
"""Data sets of every kind."""

HARD = (
    Case("class 1 in 1 %", labelled(normal(5000, 5), rare(0.01)), (16,), 0.03),
    Case("class 1 in .2 %", labelled(normal(10000, 5), rare(0.002)), (16,), 0.03, steps=1500),
    Case("100 classes", clusters(5000, 16, 100, 0.6), (64,), 0.03, steps=800),
    Case("1,000 classes", clusters(10000, 24, 1000, 0.5), (128,), 0.03, steps=1500),
    Case("noise .02", labelled(normal(3000, 5), linear), (16,), 0.03, {"noise": 0.02}),
    Case("noise .05", friedman(3000), (32, 32), 0.03, {"noise": 0.05}),
    Case("noise .1", labelled(normal(3000, 4), product), (32, 32), 0.03, {"noise": 0.1}),
    Case("saturated logits", clusters(1500, 6, 8, 0.5), (24, 24), CLASSES, scale=50.0),
    Case("saturated, rare", labelled(normal(5000, 5), rare(0.01)), (16, 16), 0.03, scale=30.0),
    Case(
        "heavy tails",
        labelled(cauchy, lambda x, g: np.sign(x[:, :1]) * np.abs(x[:, :1]) ** 1.2),
        (16,),
        VALUES,
    ),
    Case("heavy value", labelled(normal(2000, 4), heavy), (24,), VALUES),
    Case("2 rows", labelled(normal(2, 3), lambda x, g: np.array([0, 1])), (8,), CLASSES),
    Case("2 rows, a value", labelled(normal(2, 3), linear), (8,), VALUES),
    Case("50 rows", labelled(normal(50, 4), noisy), (16, 16), CLASSES),
    Case("50 rows, a value", labelled(normal(50, 4), linear), (16,), VALUES),
    Case(
        "20 answers",
        labelled(normal(2000, 20), lambda x, g: (x + x[:, ::-1] * 0.5 > 0.5).astype(float)),
        (48,),
        0.03,
        {"decision": "bernoulli"},
    ),
    Case("constant class", labelled(normal(500, 4), noisy), (8,), CLASSES, steps=0),
    Case("constant value", labelled(normal(500, 4), linear), (8,), VALUES, steps=0),
    Case("labels", labelled(normal(2000, 6), noisy), (16,), CLASSES, {"decision": "labels"}),
    Case("labels of digits", real("digits"), (32,), CLASSES, {"decision": "labels"}),
    Case("MNIST", real("mnist"), (64, 32), CLASSES),
    Case(
        "8 values",
        labelled(normal(3000, 8), lambda x, g: np.sin(x + x[:, ::-1])),
        (48,),
        0.03,
        {"decision": "value"},
    ),
    Case("60 answers", labelled(normal(3000, 60), thresholds), (96,), 0.03, {"decision": "bernoulli"}),
    Case(
        "two rare classes",
        labelled(normal(5000, 5), lambda x, g: (x[:, 0] > 2.4) + 2 * (x[:, 1] > 2.4) * (x[:, 0] <= 2.4)),
        (16,),
        0.03,
    ),
    Case(
        "10 unequal classes",
        labelled(normal(5000, 5), lambda x, g: np.minimum(np.abs(3 * x[:, 0]), 9).astype(np.int64)),
        (32,),
        0.03,
    ),
    Case("100 vague classes", clusters(5000, 6, 100, 0.6), (64,), 0.03, steps=800),
    Case("1,000 vague classes", clusters(10000, 8, 1000, 0.5), (128,), 0.03, steps=1500),
)
"""Cases that break a plain sample of background rows, or the formulas."""


def prepared(case: Case, number: int) -> tuple[Decided, Tensor]:
    """The decision of the network of a case, and its outputs on all rows."""
    x, y = case.data(np.random.default_rng([12, number]))
    inputs = torch.from_numpy(x.astype(np.float32))
    labels = torch.from_numpy(y if y.dtype == np.int64 else y.astype(np.float32))
    net = case.network(inputs, labels)
    with torch.no_grad():
        outputs = net(inputs)
    decision = Decision.of(Forward(net), (inputs,))
    chosen, noise = case.options.get("decision"), case.options.get("noise", 0.2)
    return decided_by(decision, outputs, chosen, noise, y), outputs


def entropy(decided: Decided, outputs: Tensor) -> float:
    """Of the decision, or the logarithm of the number of rows for values."""
    index = torch.arange(len(outputs))
    outcomes = decided.outcomes(outputs, index)
    if not outcomes.same_for_all:
        return float(np.log(len(outputs))) * (max(decided.columns) + 1)
    mean = outcomes.weight.double().mean(0)
    return float(-torch.special.xlogy(mean, mean).sum())


def measured(case: Case, number: int, backgrounds: int, draws: int) -> dict[str, object]:
    """One row of the table."""
    decided, outputs = prepared(case, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = Sample.of(decided, outputs, ROWS, backgrounds, np.random.default_rng(0))
    explained = Explained.of(decided, outputs, sample.rows)
    first = similar_backgrounds(explained, backgrounds, np.random.default_rng(0))
    total, raised = (float(sample.weights @ explained.total(some)) for some in (first, sample.backgrounds))
    of_rows = Explained.of(decided, outputs, np.arange(len(outputs))).information()
    whole = float(of_rows.mean())
    again = []
    for seed in range(draws):
        generator = np.random.default_rng(1 + seed)
        rows, weights = explained_rows(known(decided, outputs, generator), ROWS, generator)
        again.append(float(weights @ of_rows[rows]))
    scale = abs(sample.exact) if abs(sample.exact) > ROUNDING else float("nan")
    bound = entropy(decided, outputs)
    return {
        "case": case.name,
        "N": len(outputs),
        "hidden": len(case.hidden),
        "closed form": sample.exact,
        "total": total,
        "off %": 100 * (total - sample.exact) / scale,
        "used": sample.backgrounds.index.shape[1],
        "then off %": 100 * (raised - sample.exact) / scale,
        "H(Y)": bound,
        "right": abs(total - sample.exact) <= max(case.within * abs(sample.exact), ROUNDING)
        and total <= bound + ROUNDING,
        "all rows": whole,
        "deviation %": 100 * float(np.std(again)) / max(abs(whole), 1e-6) if again else float("nan"),
        "bias %": 100 * (float(np.mean(again)) - whole) / max(abs(whole), 1e-6) if again else float("nan"),
    }


def totals(arguments: argparse.Namespace) -> None:
    """Print the table."""
    only = arguments.only or [case.name for case in EIGHTEEN + HARD]
    for cases, first in ((EIGHTEEN, 0), (HARD, 100)):
        chosen = [(case, first + place) for place, case in enumerate(cases) if case.name in only]
        rows = [measured(case, number, arguments.backgrounds, arguments.draws) for case, number in chosen]
        if rows:
            print(pd.DataFrame(rows).round(4).to_string(index=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("totals", help="closed forms and totals")
    command.add_argument("--backgrounds", type=int, default=32)
    command.add_argument("--draws", type=int, default=0, help="of the explained rows")
    command.add_argument("--only", nargs="*", help="names of cases")
    command.set_defaults(run=totals)
    arguments = parser.parse_args()
    print(environment())
    arguments.run(arguments)


if __name__ == "__main__":
    main()
