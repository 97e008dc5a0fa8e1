"""Pruning without training again: rules side by side, with the same compensation, and silent units.

``python benchmarks/pruning.py [--seeds 5] [--only digits mnist cnn silent]`` prints for every network the
loss of test accuracy, in points, by share removed, compensation and rule (mean over seeds, with its standard
error), torch-pruning's own pruners on the same networks, how far the best rule of nif is ahead, how far
outputs move, what the pruned networks cost, and how many neurons are silent.
MNIST needs NIF_DATA or a way to OpenML.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import nif
from environment import environment
from networks import cnn, mlp
from nif.datasets import load

OURS, OTHERS = ["redundancy", "contribution", "throughput"], ["magnitude", "taylor", "random"]
COMPENSATIONS = ["linear", "mean", None]


@dataclass(frozen=True)
class Task:
    """A network to prune and the data it is trained on.

    Attributes:
        dataset: Name for `nif.datasets.load`.
        make: Gives an untrained network.
        shape: Of one row, as the network takes it.
        hold_out: Share of the rows tested on.
        epochs: Of training with Adam, batches of 64.
        shares: Of the hidden units, removed without training again.
        rows: Training rows that are pruned with.
    """

    dataset: str
    make: Callable[[], nn.Sequential]
    shape: tuple[int, ...]
    hold_out: float
    epochs: int
    shares: tuple[float, ...]
    rows: int = 10_000


TASKS = {
    "digits": Task("digits", lambda: mlp(64, 256, 128, 10), (64,), 1 / 3, 60, (0.25, 0.5, 0.7, 0.9)),
    "mnist": Task("mnist", lambda: mlp(784, 300, 100, 10), (784,), 0.2, 15, (0.5, 0.7, 0.9)),
    "cnn": Task("mnist", cnn, (1, 28, 28), 0.2, 4, (0.3, 0.5, 0.7), 2_000),
}


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network with the rows it was trained on and those held out."""

    model: nn.Sequential
    train: TensorDataset
    test: TensorDataset

    def accuracy(self, model: nn.Module) -> float:
        """On the rows held out, in points."""
        x, y = self.test.tensors
        with torch.no_grad():
            return 100 * float((model.eval()(x).argmax(1) == y).double().mean())

    def moved(self, model: nn.Module) -> float:
        """Mean squared change of the outputs on the rows held out, in shares of their variance."""
        x, _ = self.test.tensors
        with torch.no_grad():
            before = self.model(x)
            return float((model.eval()(x) - before).square().mean() / before.var(0).mean())


def trained(task: Task, seed: int) -> Trained:
    """Train with Adam on a stratified split; pixels are scaled to 0 … 1."""
    data = load(task.dataset)
    x = (data.x / data.x.max()).reshape(-1, *task.shape)
    parts = train_test_split(x, data.y, test_size=task.hold_out, stratify=data.y, random_state=seed)
    x_train, x_test, y_train, y_test = map(torch.as_tensor, parts)
    torch.manual_seed(seed)
    model = fitted(task.make(), x_train, y_train, task.epochs)
    return Trained(model, TensorDataset(x_train, y_train), TensorDataset(x_test, y_test))


def fitted(model: nn.Sequential, x: Tensor, y: Tensor, epochs: int) -> nn.Sequential:
    """The model after training, in eval mode."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval()


def flow_of(model: nn.Module, x: Tensor) -> nif.Flow:
    """The flow on up to 2,000 training rows."""
    return nif.measure(model, x[:2000], nif.Binned(), progress=False)


def rules_compared(task: Task, seed: int) -> Iterator[dict[str, object]]:
    """Loss of test accuracy for every rule, share and compensation."""
    found = trained(task, seed)
    before = found.accuracy(found.model)
    rows = TensorDataset(*(part[: task.rows] for part in found.train.tensors))
    flow = flow_of(found.model, rows.tensors[0])
    for share, how, rule in itertools.product(task.shares, COMPENSATIONS, OURS + OTHERS):
        small = nif.prune(
            found.model,
            flow,
            rows,
            remove=share,
            tolerance=None,
            rule=rule,
            compensate=how,
            seed=seed,
            progress=False,
        )
        yield {
            "share": share,
            "compensation": how or "none",
            "rule": rule,
            "loss": before - found.accuracy(small.model),
            "moved": found.moved(small.model),
            "unpruned": before,
            "parameters": small.size_after.parameters / small.size_before.parameters,
            "operations": small.size_after.flops / small.size_before.flops,
            "file": small.size_after.bytes / small.size_before.bytes,
            "time": small.size_after.milliseconds / small.size_before.milliseconds,
        }
    for share, rule in itertools.product(task.shares, ("tp magnitude", "tp taylor")):
        after = found.accuracy(by_torch_pruning(found, rule, share))
        yield {
            "share": share,
            "compensation": "none",
            "rule": rule,
            "loss": before - after,
            "unpruned": before,
        }


def by_torch_pruning(found: Trained, rule: str, share: float) -> nn.Module:
    """The network as torch-pruning prunes it: its group importance, one ranking for all layers."""
    import torch_pruning

    model = copy.deepcopy(found.model)
    x, y = found.train.tensors
    importance = (
        torch_pruning.importance.GroupTaylorImportance()
        if rule == "tp taylor"
        else torch_pruning.importance.GroupMagnitudeImportance(p=2)
    )
    pruner = torch_pruning.pruner.BasePruner(
        model, x[:2], importance, global_pruning=True, pruning_ratio=share, ignored_layers=[model[-1]]
    )
    functional.cross_entropy(model(x[:2000]), y[:2000]).backward()
    pruner.step()
    return model


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean loss with its standard error over seeds; one row a share and compensation, one column a rule."""
    cells = rows.groupby(["share", "compensation", "rule"], sort=False)["loss"].agg(["mean", "sem"])
    text = cells.apply(lambda cell: f"{cell['mean']:.2f} ± {cell['sem']:.2f}", axis=1)
    return text.unstack("rule")[list(dict.fromkeys(rows["rule"]))].fillna("")


def ahead(rows: pd.DataFrame) -> pd.DataFrame:
    """By how many points the best rule of ours is ahead of the best of the others, over the same seeds."""
    found = []
    for (share, how), losses in rows.groupby(["share", "compensation"], sort=False):
        by_rule = losses.pivot(index="seed", columns="rule", values="loss")
        own, other = (str(by_rule[rules].mean().idxmin()) for rules in (OURS, OTHERS))
        points = (by_rule[other] - by_rule[own]).agg(["mean", "sem"])
        text = f"{points['mean']:.2f} ± {points['sem']:.2f}"
        found.append({"share": share, "compensation": how, "ours": own, "other": other, "ahead": text})
    return pd.DataFrame(found).set_index(["share", "compensation"])


def moves(rows: pd.DataFrame) -> pd.DataFrame:
    """How far the outputs move with linear compensation: the accuracy of a few thousand rows is coarser."""
    chosen = rows[rows["compensation"] == "linear"]
    return chosen.pivot_table(index="share", columns="rule", values="moved")[OURS + OTHERS].round(4)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """What is left of the network's cost, as shares, with the default rule and compensation."""
    chosen = rows[(rows["rule"] == "redundancy") & (rows["compensation"] == "linear")]
    return chosen.groupby("share")[["parameters", "operations", "file", "time"]].mean().astype(float).round(3)


SILENT = {
    "iris 4-10-3": ("iris", (4, 10, 3), 200),
    "banknote 4-10-10-2": ("banknote", (4, 10, 10, 2), 40),
    "digits 64-32-16-10": ("digits", (64, 32, 16, 10), 40),
    "banknote 4-64-64-2, over-wide": ("banknote", (4, 64, 64, 2), 40),
    "banknote 4-64-64-2, planted": ("banknote", (4, 64, 64, 2), 40),
}
"""Networks whose silent units are removed; in the planted one some units are made dead or constant."""

PLANTED = {0: (3, 11, 40), 2: (5, 17)}
"""Units of Linears 0 and 2 whose weights are zeroed; the first of each gets a bias of -1, others of 1."""


def silent_removed(name: str, seed: int) -> dict[str, object]:
    """How many hidden units are silent, how many go, and what that does to the test accuracy."""
    dataset, sizes, epochs = SILENT[name]
    parts = nif.datasets.split(load(dataset), seed=seed)
    torch.manual_seed(seed)
    x, y = torch.from_numpy(parts.train.x), torch.from_numpy(parts.train.y)
    model = fitted(mlp(*sizes), x, y, epochs)
    planted = plant(model) if "planted" in name else set()
    flow = nif.measure(model, x, nif.Binned(), seed=seed, progress=False)
    small = nif.prune(model, flow, TensorDataset(x, y), progress=False)
    found = Trained(
        model, TensorDataset(x, y), TensorDataset(*map(torch.from_numpy, (parts.test.x, parts.test.y)))
    )
    gone = set(zip(small.removed["layer"], small.removed["index"], strict=True))
    return {
        "network": name,
        "hidden": sum(sizes[1:-1]),
        "silent": len(small.removed) + len(small.put_back),
        "removed": len(small.removed),
        "planted": len(planted),
        "planted, removed": len(planted & gone),
        "train loss": 100 * (small.score_before - small.score_after),
        "test loss": found.accuracy(model) - found.accuracy(small.model),
    }


@torch.no_grad()
def plant(model: nn.Sequential) -> set[tuple[str, int]]:
    """Make some units dead or constant; their layer and index."""
    for layer, units in PLANTED.items():
        weight, bias = model[layer].get_parameter("weight"), model[layer].get_parameter("bias")
        for place, unit in enumerate(units):
            weight[unit] = 0
            bias[unit] = 1.0 if place else -1.0
    return {(str(layer + 1), unit) for layer, units in PLANTED.items() for unit in units}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[*TASKS, "silent"], default=[*TASKS, "silent"])
    options = parser.parse_args()
    print(environment())
    for name in (name for name in TASKS if name in options.only):
        rows = pd.DataFrame(
            [
                {"seed": seed, **row}
                for seed in range(options.seeds)
                for row in rules_compared(TASKS[name], seed)
            ]
        )
        print(f"\n{name}: unpruned {rows['unpruned'].mean():.2f} %; points of test accuracy lost\n")
        print(table(rows).to_string())
        for title, shown in (
            ("points ahead of the best other rule, on the same seeds", ahead(rows)),
            ("squared change of outputs in shares of their variance, linear compensation", moves(rows)),
            ("cost left, redundancy with linear compensation", costs(rows)),
        ):
            print(f"\n{name}: {title}\n\n{shown.to_string()}", flush=True)
    if "silent" in options.only:
        runs = pd.DataFrame([silent_removed(name, seed) for name in SILENT for seed in range(options.seeds)])
        shown = runs.groupby("network", sort=False).mean().round(2)
        shown["test loss, worst"] = runs.groupby("network", sort=False)["test loss"].max().round(2)
        print(f"\nsilent units removed at tolerance 0, mean of {options.seeds} seeds\n\n{shown.to_string()}")


if __name__ == "__main__":
    main()
