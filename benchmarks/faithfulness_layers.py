"""Whether attributions change with what networks of several kinds have learned: layers initialised anew.

As `faithfulness_randomised.py`, for a table, values, a convolution, a residual network, a transformer and a
recurrent network. Blocks of layers are replaced by those of an untrained network: from the top, one after
another (*cascading*), and each alone, all others as trained (*independent*). Printed are rank correlations of
the sizes of features, or of weights, with those of the trained network; *untrained* is that of two untrained
networks with each other, which is what data and architecture alone do, such as pixels that never vary.

A good attribution changes as soon as the decisions do, and falls to *untrained* once all blocks are new.
*Same decisions* is the share of held-out rows that are decided as before; of values, the squared correlation.

References:
    Adebayo et al. (2018), "Sanity checks for saliency maps", https://arxiv.org/abs/1810.03292
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from torch import Tensor, nn

import nif
from faithfulness_data import friedman, planted
from faithfulness_randomised import correlation
from nif.core.random import isolated_library

METHOD = nif.Currents(rows=64, backgrounds=16, steps=8, by_class=False, paths=0)

ROWS = 256
"""That gradients are averaged over."""

STEPS, BATCH = 400, 128

SEEDS = 2

CHANGES = ("the top", "half", "all", "one alone", "untrained")


class Residual(nn.Module):
    """Two Linear modules with batch norm, which a shortcut leads past."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Tokens(nn.Module):
    """Each line of an image as a token: a map to 16 numbers, and a number for its place."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.place = nn.Linear(8, 16), nn.Parameter(torch.randn(8, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x.reshape(-1, 8, 8)) + self.place


class Mean(nn.Module):
    """Classes from the mean token."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.mean(1))


class Recurrent(nn.Module):
    """The last state of a recurrent layer that reads the lines of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 24, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x.reshape(-1, 8, 8))[0][:, -1]


def table(*sizes: int) -> nn.Sequential:
    blocks = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes[:-1])]
    return nn.Sequential(*blocks, nn.Linear(sizes[-2], sizes[-1]))


def convolution() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(4)),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(16 * 9, 32), nn.ReLU()),
        nn.Linear(32, 10),
    )


def residual() -> nn.Sequential:
    first = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
    return nn.Sequential(first, Residual(32), Residual(32), nn.Linear(32, 10))


def transformer() -> nn.Sequential:
    layers = [nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True) for _ in range(2)]
    return nn.Sequential(Tokens(), *layers, Mean())


def recurrent() -> nn.Sequential:
    return nn.Sequential(Recurrent(), nn.Sequential(nn.Linear(24, 24), nn.ReLU()), nn.Linear(24, 10))


def of_planted() -> tuple[np.ndarray, np.ndarray]:
    return planted(np.random.default_rng(0))


def of_friedman() -> tuple[np.ndarray, np.ndarray]:
    return friedman(np.random.default_rng(0))


def of_digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = datasets.load_digits(return_X_y=True)
    return x / 16, y


def of_mnist() -> tuple[np.ndarray, np.ndarray]:
    data = nif.datasets.load("mnist")
    return data.x[:3000].reshape(-1, 1, 28, 28) / data.x.max(), data.y[:3000]


@dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        make: An untrained one, as blocks.
        draw: Rows and labels; real labels are values.
        side: Of the patches of an image that are one feature each.
    """

    make: Callable[[], nn.Sequential]
    draw: Callable[[], tuple[np.ndarray, np.ndarray]]
    side: int | None = None


KINDS = {
    "table, 2 classes": Kind(lambda: table(8, 32, 24, 2), of_planted),
    "table, values": Kind(lambda: table(10, 32, 24, 1), of_friedman),
    "residual, digits": Kind(residual, of_digits),
    "transformer, digits": Kind(transformer, of_digits),
    "recurrent, digits": Kind(recurrent, of_digits),
    "convolution, MNIST": Kind(convolution, of_mnist, side=4),
}


def untrained(kind: Kind, seed: int) -> nn.Sequential:
    """A network as it is before training; the random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.make().eval()


def trained(kind: Kind, x: Tensor, y: Tensor, seed: int) -> nn.Sequential:
    """By Adam."""
    net = untrained(kind, seed).train()
    loss = nn.functional.cross_entropy if y.dtype == torch.int64 else nn.functional.mse_loss
    optimizer, generator = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        batch = torch.randint(len(x), (BATCH,), generator=generator)
        optimizer.zero_grad()
        loss(net(x[batch]), y[batch]).backward()
        optimizer.step()
    return net.eval()


def with_blocks_of(net: nn.Sequential, other: nn.Sequential, blocks: Sequence[int]) -> nn.Sequential:
    """A copy of a network whose blocks of some numbers are those of another."""
    chosen = [(other if place in blocks else net)[place] for place in range(len(net))]
    return copy.deepcopy(nn.Sequential(*chosen)).eval()


def attributions(kind: Kind, net: nn.Sequential, x: Tensor) -> dict[str, np.ndarray]:
    """Sizes of features, or of weights, by the name of the method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flow = nif.measure(net, x, METHOD, input_groups=kind.side, progress=False)
    units = flow.neurons().loc["input"]
    found = {
        "currents": units["current"].to_numpy(),
        "currents, absolute": units["absolute"].to_numpy(),
        "currents of weights": np.concatenate(
            [flow.weights(name).nats.ravel() for name in flow.weight_names]
        ),
        "integrated gradients": by_gradients(kind, net, x, "IntegratedGradients"),
        "gradient x input": by_gradients(kind, net, x, "InputXGradient"),
    }
    if any(isinstance(module, nn.ReLU) for module in net.modules()):
        found["guided backpropagation"] = by_gradients(kind, net, x, "GuidedBackprop")
    return {name: np.abs(values) for name, values in found.items()}


def by_gradients(kind: Kind, net: nn.Sequential, x: Tensor, name: str) -> np.ndarray:
    """Mean size over rows, of the output of the class that is decided, by a method of captum."""
    with isolated_library():
        import captum.attr

    net, rows, mean = copy.deepcopy(net), x[:ROWS], x.mean(0, keepdim=True)
    with torch.no_grad():
        outputs = net(rows)
    target = outputs.argmax(1) if outputs.shape[1] > 1 else 0
    options = {"baselines": mean, "n_steps": 16} if name == "IntegratedGradients" else {}
    with isolated_library(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = getattr(captum.attr, name)(net).attribute(rows, target=target, **options).detach()
    if kind.side is not None:
        found = nn.functional.avg_pool2d(found, kind.side)
    return found.flatten(1).abs().mean(0).numpy()


@torch.no_grad()
def same_decisions(net: nn.Sequential, other: nn.Sequential, x: Tensor) -> float:
    """Share of rows that are decided alike; of values, the squared correlation."""
    one, two = net(x), other(x)
    if one.shape[1] > 1:
        return float((one.argmax(1) == two.argmax(1)).double().mean())
    return float(torch.corrcoef(torch.cat([one, two], 1).T)[0, 1].square())


def of_kind(name: str, seed: int = 0) -> list[dict[str, object]]:
    """One row for each attribution and each network that is compared with the trained one."""
    kind = KINDS[name]
    features, labels = kind.draw()
    order = np.random.default_rng(seed).permutation(len(features))
    held = len(features) // 4
    x = torch.from_numpy(features[order].astype(np.float32))
    y = torch.from_numpy(labels[order].astype(np.float32 if labels.dtype.kind == "f" else np.int64))
    net = trained(kind, x[held:], y[held:], seed)
    new, other = untrained(kind, 100 + seed), untrained(kind, 200 + seed)
    count = len(net)
    changed = [("cascading", top, range(count - top, count)) for top in range(1, count + 1)]
    changed += [("independent", block + 1, range(block, block + 1)) for block in range(count)]
    before, rows = attributions(kind, net, x[held:]), []
    for how, number, blocks in changed:
        after = with_blocks_of(net, new, blocks)
        compared = attributions(kind, after, x[held:])
        figures = {of: correlation(before[of], values) for of, values in compared.items()}
        figures["same decisions"] = same_decisions(net, after, x[:held])
        rows += [(how, number, of, figure) for of, figure in figures.items()]
        if (how, number) == ("cascading", count):
            of_other = attributions(kind, other, x[held:])
            rows += [("untrained", 0, of, correlation(compared[of], of_other[of])) for of in of_other]
            rows.append(("untrained", 0, "same decisions", same_decisions(new, other, x[:held])))
    shared = {"network": name, "seed": seed, "blocks": count}
    return [{**shared, "how": how, "number": n, "of": of, "figure": figure} for how, n, of, figure in rows]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """By network and attribution: cascading by one, half and all blocks, one alone, and untrained."""
    kept = {
        "the top": (rows["how"] == "cascading") & (rows["number"] == 1),
        "half": (rows["how"] == "cascading") & (rows["number"] == (rows["blocks"] + 1) // 2),
        "all": (rows["how"] == "cascading") & (rows["number"] == rows["blocks"]),
        "one alone": rows["how"] == "independent",
        "untrained": rows["how"] == "untrained",
    }
    by = ["network", "of"]
    columns = {name: rows[chosen].groupby(by, sort=False)["figure"].mean() for name, chosen in kept.items()}
    return pd.DataFrame(columns)[list(CHANGES)].round(2)


def tables(*, small: bool = False) -> dict[str, pd.DataFrame]:
    """Of every kind, and the means over kinds."""
    names = ["table, 2 classes"] if small else list(KINDS)
    seeds = range(1 if small else SEEDS)
    rows = [row for seed in seeds for name in names for row in of_kind(name, seed)]
    return tables_of(pd.DataFrame(rows))


def tables_of(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """From rows for each network, attribution and change."""
    found = summary(rows)
    return {
        "rank correlation with the trained network": found,
        "means over networks": found.groupby("of", sort=False).mean().round(2),
    }
