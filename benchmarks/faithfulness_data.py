"""Data sets with known roles of their features, and networks trained on them, for `faithfulness.py`.

Planted data sets have *informative* features, which the label rests on, and *ignored* ones, such as copies of
informative features, whose weights in the first layer are held at 0 during training: the network does not use
them, though they tell of the label. Data and networks depend on the seeds in this file only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor, nn

from networks import mlp

Arrays = tuple[np.ndarray, np.ndarray]
Draw = Callable[[np.random.Generator], Arrays]

ROWS = 1500
"""Of a data set that is generated; a third is held out."""

WIDTHS = {1: (32,), 2: (32, 24), 4: (32, 24, 24, 16)}
"""Widths of the hidden layers, by their number."""

MOST_STEPS, BATCH = 600, 256
"""Of the training; small data sets take a step for every two rows."""


@dataclass(frozen=True)
class DataSet:
    """A way to draw data, and the roles of its features.

    Attributes:
        name: In words.
        draw: From a generator to features and labels; real labels are values.
        informative: Features that the label rests on; none where that is not known.
        ignored: Features whose weights are 0.
    """

    name: str
    draw: Draw
    informative: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Trained:
    """A network and its data, standardised.

    Attributes:
        data: What it was trained on.
        net: The network, in eval mode.
        hidden: Number of its hidden layers.
        seed: Of data and network.
        x: Features of the rows that it was trained on, and that attributions see.
        y: Their labels.
        test_x: Features of other rows, on which attributions are judged.
        test_y: Their labels.
    """

    data: DataSet
    net: nn.Sequential
    hidden: int
    seed: int
    x: Tensor = field(repr=False)
    y: Tensor = field(repr=False)
    test_x: Tensor = field(repr=False)
    test_y: Tensor = field(repr=False)

    @property
    def kind(self) -> dict[str, object]:
        """What names the network, and whether it has classes."""
        return {
            "data": self.data.name,
            "classes": self.classes,
            "hidden": self.hidden,
            "seed": self.seed,
        }

    @property
    def classes(self) -> bool:
        """Whether the network decides between classes."""
        return self.y.dtype == torch.int64

    @torch.no_grad()
    def score(self, x: Tensor, y: Tensor) -> float:
        """Accuracy, or R² for values; a prediction that is worse than the mean counts as none."""
        outputs = self.net(x)
        if self.classes:
            return float((outputs.argmax(1) == y).double().mean())
        rest = (outputs - y).square().mean() / (y - y.mean()).square().mean()
        return max(0.0, 1.0 - float(rest))


def drawn_by(x: np.ndarray, score: np.ndarray, generator: np.random.Generator) -> Arrays:
    """Class 1 with the probability of a logistic function of the score."""
    return x, (generator.random(len(x)) < 1 / (1 + np.exp(-score))).astype(np.int64)


def value(x: np.ndarray, f: np.ndarray, generator: np.random.Generator, noise: float = 0.2) -> Arrays:
    """A value with noise, in deviations of its own."""
    f = f + noise * f.std() * generator.normal(size=len(f))
    return x, ((f - f.mean()) / f.std())[:, None]


def planted(generator: np.random.Generator) -> Arrays:
    """Four informative features of falling weight, two noisy copies, two that mean nothing."""
    x = generator.normal(size=(ROWS, 4))
    copies = x[:, :2] + 0.3 * generator.normal(size=(ROWS, 2))
    score = 3 * x[:, 0] + 2 * x[:, 1] - 1.5 * x[:, 2] + 1.5 * np.abs(x[:, 3]) - 1.2
    return drawn_by(np.hstack([x, copies, generator.normal(size=(ROWS, 2))]), score, generator)


def signs(generator: np.random.Generator) -> Arrays:
    """The exclusive-or of two signs, a third feature, and four that mean nothing."""
    x = generator.normal(size=(ROWS, 7))
    return drawn_by(x, 3 * np.sign(x[:, 0] * x[:, 1]) + 1.5 * x[:, 2], generator)


def flags(generator: np.random.Generator) -> Arrays:
    """Five flags of several frequencies and four numbers; two flags decide, and one turns a number round."""
    flag = (generator.random((ROWS, 5)) < [0.5, 0.3, 0.1, 0.5, 0.2]).astype(float)
    number = generator.normal(size=(ROWS, 4))
    score = 4 * flag[:, 0] - 3 * flag[:, 1] + 3 * (1 - 2 * flag[:, 2]) * number[:, 0] + 0.3 * number[:, 1] - 1
    return drawn_by(np.hstack([flag, number]), score, generator)


def one_hot(generator: np.random.Generator) -> Arrays:
    """Two categories as one-hot groups of five and four, and three numbers; three classes."""
    first, second = generator.integers(0, 5, ROWS), generator.choice(4, ROWS, p=[0.5, 0.3, 0.15, 0.05])
    number = generator.normal(size=(ROWS, 3))
    logits = np.stack(
        [
            2.0 * (first < 2) + number[:, 0],
            2.5 * (second == 1) + 1.5 * (first == 4),
            1.5 * number[:, 1] + (second > 1),
        ],
        axis=1,
    )
    y = (logits + 0.5 * generator.gumbel(size=logits.shape)).argmax(1)
    return np.hstack([np.eye(5)[first], np.eye(4)[second], number]), y


def correlated(generator: np.random.Generator) -> Arrays:
    """Ten features that share a factor, of which four are used, and four copies that are ignored."""
    x = 0.7 * generator.normal(size=(ROWS, 1)) + 0.7 * generator.normal(size=(ROWS, 10))
    return drawn_by(x, 2.5 * x[:, 0] - 2 * x[:, 1] + 2 * x[:, 2] * x[:, 3], generator)


def heavy(generator: np.random.Generator) -> Arrays:
    """Student's t with 2 degrees of freedom; the label rests on the bounded parts of three features."""
    x = generator.standard_t(2, (ROWS, 8))
    return drawn_by(x, 3 * np.tanh(x[:, 0]) + 2 * np.tanh(x[:, 1] * x[:, 2]), generator)


def mixture(generator: np.random.Generator) -> Arrays:
    """Six classes of two clouds each in five dimensions, and five that mean nothing."""
    cloud = np.arange(ROWS) % 12
    x = np.random.default_rng(5).normal(size=(12, 5))[cloud] * [2.0, 1.5, 1.0, 0.7, 0.4]
    return np.hstack([x + 0.4 * generator.normal(size=x.shape), generator.normal(size=(ROWS, 5))]), cloud % 6


def ring(generator: np.random.Generator) -> Arrays:
    """Three shells around the origin of three of eight features."""
    x = generator.normal(size=(ROWS, 8))
    radius = np.linalg.norm(x[:, :3] * [1.0, 1.3, 0.8], axis=1) + 0.15 * generator.normal(size=ROWS)
    return x, np.digitize(radius, [1.2, 2.0])


def rare_class(generator: np.random.Generator) -> Arrays:
    """Class 1 in about a tenth of the rows, by a threshold on each of two features."""
    x = generator.normal(size=(ROWS, 6))
    return drawn_by(x, 8 * np.minimum(x[:, 0] - 0.2, x[:, 1] - 0.4) + x[:, 2], generator)


def friedman(generator: np.random.Generator) -> Arrays:
    """Friedman's first problem: five of ten features."""
    x, f = datasets.make_friedman1(ROWS, noise=1.0, random_state=int(generator.integers(2**31)))
    return value(x, f, generator, 0.0)


def suppressed(generator: np.random.Generator) -> Arrays:
    """A value of a signal seen through a disturbance, and of the disturbance; copies that are ignored."""
    signal, disturbance = generator.normal(size=(2, ROWS))
    others = generator.normal(size=(ROWS, 3))
    x = np.column_stack([signal + disturbance, disturbance, others, signal + 0.5 * others[:, 0]])
    return value(x, signal + 0.7 * others[:, 0] + 0.3 * others[:, 1], generator)


def waves(generator: np.random.Generator) -> Arrays:
    """A sum of a wave, a square, a line and a product, and three features that mean nothing."""
    x = generator.uniform(-2, 2, (ROWS, 8))
    return value(x, np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] ** 2 + 0.4 * x[:, 2] + x[:, 3] * x[:, 4], generator)


def priced(generator: np.random.Generator) -> Arrays:
    """A heavy-tailed quantity times a price by category, and a flag that adds to it."""
    category = generator.integers(0, 4, ROWS)
    quantity, flag = generator.lognormal(0.0, 0.6, ROWS), (generator.random(ROWS) < 0.3).astype(float)
    x = np.column_stack([np.eye(4)[category], quantity, flag, generator.normal(size=(ROWS, 3))])
    return value(x, quantity * np.array([0.3, 0.6, 1.2, 2.0])[category] + 1.5 * flag, generator)


def real(load: Callable[..., Arrays], generator: np.random.Generator) -> Arrays:
    """A data set of scikit-learn."""
    x, y = load(return_X_y=True)
    return x, y if y.dtype.kind in "iu" else ((y - y.mean()) / y.std())[:, None]


DATA = (
    DataSet("planted", planted, (0, 1, 2, 3), (4, 5, 6, 7)),
    DataSet("signs", signs, (0, 1, 2), (5, 6)),
    DataSet("flags", flags, (0, 1, 2, 5, 6)),
    DataSet("one-hot", one_hot),
    DataSet("correlated", correlated, (0, 1, 2, 3), (6, 7, 8, 9)),
    DataSet("heavy tails", heavy, (0, 1, 2), (6, 7)),
    DataSet("mixture", mixture, (0, 1, 2, 3, 4)),
    DataSet("ring", ring, (0, 1, 2)),
    DataSet("rare class", rare_class, (0, 1, 2)),
    DataSet("digits", partial(real, datasets.load_digits)),
    DataSet("wine", partial(real, datasets.load_wine)),
    DataSet("breast cancer", partial(real, datasets.load_breast_cancer)),
    DataSet("friedman", friedman, (0, 1, 2, 3, 4)),
    DataSet("suppressed", suppressed, (0, 1, 2, 3), (5,)),
    DataSet("waves", waves, (0, 1, 2, 3, 4), (7,)),
    DataSet("priced", priced),
    DataSet("diabetes", partial(real, datasets.load_diabetes)),
)
"""Twelve with classes, then five with values."""


def trained(data: DataSet, hidden: int, seed: int) -> Trained:
    """A network of ReLU layers, trained by Adam with a little weight decay on two thirds of the rows."""
    names = [each.name for each in DATA]
    place = names.index(data.name) if data.name in names else len(names)
    generator = np.random.default_rng([2026, place, seed])
    features, labels = data.draw(generator)
    shuffled = generator.permutation(len(features))
    features, labels = features[shuffled], labels[shuffled]
    count = 2 * len(features) // 3
    features = (features - features[:count].mean(0)) / np.maximum(features[:count].std(0), 1e-6)
    x = torch.from_numpy(features.astype(np.float32))
    y = torch.from_numpy(labels if labels.dtype.kind in "iu" else labels.astype(np.float32))
    y = y.long() if labels.dtype.kind in "iu" else y
    torch.manual_seed(1000 * seed + hidden)
    outputs = int(y.max()) + 1 if y.dtype == torch.int64 else y.shape[1]
    net = mlp(x.shape[1], *WIDTHS[hidden], outputs)
    _fit(net, x[:count], y[:count], list(data.ignored))
    return Trained(data, net.eval(), hidden, seed, x[:count], y[:count], x[count:], y[count:])


def _fit(net: nn.Sequential, x: Tensor, y: Tensor, ignored: list[int]) -> None:
    first = net[0]
    assert isinstance(first, nn.Linear)
    loss = nn.functional.cross_entropy if y.dtype == torch.int64 else nn.functional.mse_loss
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-2)
    for _ in range(min(MOST_STEPS, len(x) // 2)):
        with torch.no_grad():
            first.weight[:, ignored] = 0
        batch = torch.randint(len(x), (BATCH,))
        optimizer.zero_grad()
        loss(net(x[batch]), y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        first.weight[:, ignored] = 0
