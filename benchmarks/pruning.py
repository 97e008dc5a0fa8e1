"""Pruning without retraining: rules side by side, with the same compensation, and silent units.

``python benchmarks/pruning.py [--seeds 5] [--only digits banknote mnist cnn published silent] [--rules
redundancy current ...] [--shares 0.5 ...] [--save rows.csv]`` prints for every network the loss of test
accuracy, in points, by fraction removed, compensation and rule (mean over seeds with standard error),
torch-pruning's own pruners on the same networks, how far every rule is behind the default and the best rule
of nif ahead of the best other on the same seeds, how far outputs move, what the pruned networks cost,
published prunings on the same networks (medians, paired), and how many neurons are silent. MNIST needs
NIF_DATA or a way to OpenML.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import nif
from environment import environment
from networks import cnn, mlp
from nif.datasets import load
from nif.network.forward import BATCH, batches
from nif.network.unit_groups import UnitIds
from nif.network.weights import calls, channel_rows, weighted
from nif.pruning.problem import PruningProblem
from nif.pruning.rules import Rule
from nif.pruning.sensitivity import requiring_grad
from pruning_published import PUBLISHED, paired
from pruning_tables import OURS, tables

COMPENSATIONS = ["linear", "mean", "none"]

TORCH_PRUNING = ("tp magnitude", "tp taylor")


@dataclass(frozen=True)
class Task:
    """A network to prune and the data it is trained on.

    Attributes:
        dataset: Name for `nif.datasets.load`.
        make: Gives an untrained network.
        shape: Of one row, as the network takes it.
        hold_out: Share of the rows tested on.
        epochs: Of training with Adam, batches of 64.
        shares: Fractions of the hidden units that are removed.
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
    "banknote": Task("banknote", lambda: mlp(4, 32, 32, 2), (4,), 1 / 3, 60, (0.5, 0.7, 0.9)),
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
        """Mean squared change of the outputs on the rows held out, relative to their variance."""
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


def flows_of(model: nn.Module, x: Tensor) -> dict[str, nif.Flow]:
    """The flow that each rule reads, on up to 2,000 training rows: currents or association."""
    by_currents = nif.Currents(backgrounds=16, rows=256, by_class=False)
    return {
        "current": nif.measure(model, x[:2000], by_currents, progress=False),
        "": nif.measure(model, x[:2000], nif.Binned(), progress=False),
    }


def rules_compared(
    task: Task, seed: int, rules: Sequence[str], compensations: Sequence[str]
) -> Iterator[dict[Hashable, object]]:
    """Loss of test accuracy for every rule, fraction and compensation."""
    original = trained(task, seed)
    before = original.accuracy(original.model)
    rows = TensorDataset(*(part[: task.rows] for part in original.train.tensors))
    flows = flows_of(original.model, rows.tensors[0])
    of_ours = [rule for rule in rules if rule not in TORCH_PRUNING]
    for share, how, rule in itertools.product(task.shares, compensations, of_ours):
        small = nif.prune(
            original.model,
            flows.get(rule, flows[""]),
            rows,
            remove=share,
            tolerance=None,
            rule=OTHERS.get(rule, rule),
            compensate=None if how == "none" else how,
            seed=seed,
            progress=False,
        )
        yield {
            "share": share,
            "compensation": how,
            "rule": rule,
            "loss": before - original.accuracy(small.model),
            "moved": original.moved(small.model),
            "unpruned": before,
            "parameters": small.size_after.parameters / small.size_before.parameters,
            "operations": small.size_after.flops / small.size_before.flops,
            "file": small.size_after.bytes / small.size_before.bytes,
            "time": small.size_after.milliseconds / small.size_before.milliseconds,
        }
    for share, rule in itertools.product(task.shares, [rule for rule in rules if rule in TORCH_PRUNING]):
        after = original.accuracy(by_torch_pruning(original, rule, share))
        yield {
            "share": share,
            "compensation": "none",
            "rule": rule,
            "loss": before - after,
            "unpruned": before,
        }


def by_torch_pruning(original: Trained, rule: str, share: float) -> nn.Module:
    """The network as torch-pruning prunes it: its group importance, one ranking for all layers."""
    import torch_pruning

    model = copy.deepcopy(original.model)
    x, y = original.train.tensors
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


def taylor(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    r"""First-order change of the loss when a unit is set to 0, where the next layers read it.

    .. math:: E \left\lvert x_i \, \partial L / \partial x_i \right\rvert

    The loss is cross-entropy where the data have classes, else half the squared outputs.

    References:
        Molchanov et al. (2017), https://arxiv.org/abs/1611.06440
    """
    labels, total = problem.weights.groups, np.zeros(len(units))
    order = np.argsort(units)
    for name, change in _changes(problem).items():
        read = labels.of(problem.weights.columns[name])
        known = np.isin(read, units)
        np.add.at(total, order[np.searchsorted(units[order], read[known])], change[known])
    return total


@torch.enable_grad()
def _changes(problem: PruningProblem) -> dict[str, np.ndarray]:
    """Mean absolute first-order change of the loss for every input of every layer, positions added up."""
    changes: dict[str, Tensor] = {}
    with calls(problem.model, problem.weights.columns) as noted:
        for start, piece in enumerate(batches(problem.call, problem.inputs)):
            given = {}
            outputs = problem.criterion.differentiable(problem.call, requiring_grad(piece))
            loss = _loss(problem, outputs, start * BATCH)
            for name, seen in noted.items():
                given[name] = [x for x, _ in seen if x.requires_grad]
                seen.clear()
            for name, tensors in given.items():
                module = weighted(problem.model, name)
                slopes = torch.autograd.grad(loss, tensors, retain_graph=True, materialize_grads=True)
                for x, slope in zip(tensors, slopes, strict=True):
                    change = channel_rows(module, x * slope).detach().double()
                    of_samples = change.reshape(len(outputs), -1, change.shape[-1]).sum(1).abs().sum(0).cpu()
                    changes[name] = changes.get(name, torch.zeros(())) + of_samples
    return {name: (value / len(problem.inputs[0])).numpy() for name, value in changes.items()}


def _loss(problem: PruningProblem, outputs: Tensor, start: int) -> Tensor:
    """Sum over the rows of one batch, which begins at row `start`."""
    labels = problem.criterion.labels
    if labels is None or outputs.shape[1] < 2:
        return outputs.square().sum() / 2
    right = torch.from_numpy(labels[start : start + len(outputs)]).to(outputs.device)
    return functional.cross_entropy(outputs, right, reduction="sum")


def random(problem: PruningProblem, units: UnitIds, seed: int) -> Float[np.ndarray, " unit"]:
    """A random number for each unit: any unit of the network is as likely to be removed as any other."""
    return np.random.default_rng(seed).random(len(units))


def published_compared(task: Task, seed: int) -> Iterator[dict[str, object]]:
    """Redundancy with linear compensation, with and without exchanges, beside what others have published."""
    original = trained(task, seed)
    before = original.accuracy(original.model)
    rows = TensorDataset(*(part[: task.rows] for part in original.train.tensors))
    flow = nif.measure(original.model, rows.tensors[0][:2000], nif.Binned(), progress=False)
    for share in task.shares:
        models = {"redundancy": 20, "no exchanges": 0} | PUBLISHED
        for name, how in models.items():
            if isinstance(how, int):
                options: dict[str, Any] = {"remove": share, "tolerance": None, "exchanges": how}
                model = nif.prune(original.model, flow, rows, progress=False, **options).model
            else:
                model = how(original.model, flow, rows, share)
            loss = before - original.accuracy(model)
            size = sum(weight.numel() for weight in model.parameters())
            yield {"share": share, "rule": name, "loss": loss, "moved": original.moved(model), "size": size}


OTHERS: dict[str, str | Rule] = {"magnitude": "magnitude", "taylor": taylor, "random": random}
"""Rules that need no information flow."""

RULES = [*OURS, *OTHERS, *TORCH_PRUNING]

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


def silent_removed(name: str, method: Any, seed: int) -> dict[str, object]:
    """How many hidden units are silent, how many are removed, and what that does to the test accuracy."""
    dataset, sizes, epochs = SILENT[name]
    parts = nif.datasets.split(load(dataset), seed=seed)
    torch.manual_seed(seed)
    x, y = torch.from_numpy(parts.train.x), torch.from_numpy(parts.train.y)
    model = fitted(mlp(*sizes), x, y, epochs)
    planted = plant(model) if "planted" in name else set()
    flow = nif.measure(model, x, method, seed=seed, progress=False)
    small = nif.prune(model, flow, TensorDataset(x, y), progress=False)
    original = Trained(
        model, TensorDataset(x, y), TensorDataset(*map(torch.from_numpy, (parts.test.x, parts.test.y)))
    )
    gone = set(zip(small.removed["layer"], small.removed["index"], strict=True))
    return {
        "network": name,
        "method": "currents" if isinstance(method, nif.Currents) else "association",
        "hidden": sum(sizes[1:-1]),
        "silent": len(small.removed) + len(small.restored),
        "removed": len(small.removed),
        "planted": len(planted),
        "planted, removed": len(planted & gone),
        "train loss": 100 * (small.score_before - small.score_after),
        "test loss": original.accuracy(model) - original.accuracy(small.model),
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


PARTS = [*TASKS, "published", "silent"]


def rows_of(name: str, options: argparse.Namespace) -> pd.DataFrame:
    """The rows of all seeds of a network; those that are saved are not computed again."""
    known = pd.read_csv(options.save) if options.save and options.save.exists() else pd.DataFrame()
    rows: list[dict[Hashable, object]] = known.to_dict("records")
    done = {(row["network"], row["seed"]) for row in rows}
    task = replace(TASKS[name], shares=tuple(options.shares or TASKS[name].shares))
    for seed in range(options.seeds):
        if (name, seed) not in done:
            found = rules_compared(task, seed, options.rules, options.compensations)
            rows += [{"network": name, "seed": seed, **row} for row in found]
            if options.save:
                pd.DataFrame(rows).to_csv(options.save, index=False)
    every = pd.DataFrame(rows)
    asked = every["share"].isin(task.shares) & every["rule"].isin(options.rules)
    return every[asked & (every["network"] == name) & (every["seed"] < options.seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--networks", nargs="*", choices=TASKS, default=list(TASKS), help="of `published`")
    parser.add_argument("--rules", nargs="*", choices=RULES, default=RULES)
    parser.add_argument("--compensations", nargs="*", choices=COMPENSATIONS, default=COMPENSATIONS)
    parser.add_argument("--shares", type=float, nargs="*", help="fractions removed; those of the network")
    parser.add_argument("--save", type=Path, help="a CSV file of rows, written after each seed, and read")
    options = parser.parse_args()
    print(environment())
    for name in options.networks if "published" in options.only else []:
        losses = [
            {"seed": seed, **row}
            for seed in range(options.seeds)
            for row in published_compared(TASKS[name], seed)
        ]
        print(
            f"\n{name}: published prunings, medians\n\n{paired(pd.DataFrame(losses)).to_string()}", flush=True
        )
    for name in (name for name in TASKS if name in options.only):
        rows = rows_of(name, options)
        print(f"\n{name}: unpruned {rows['unpruned'].mean():.2f} %; points of test accuracy lost")
        for title, shown in tables(rows).items():
            print(f"\n{name}: {title}\n\n{shown.to_string()}", flush=True)
    if "silent" in options.only:
        cases = itertools.product(SILENT, (nif.Binned(), nif.Currents()), range(options.seeds))
        runs = pd.DataFrame([silent_removed(*case) for case in cases]).groupby(
            ["network", "method"], sort=False
        )
        shown = runs.mean().round(2)
        shown["test loss, worst"] = runs["test loss"].max().round(2)
        print(f"\nsilent units removed at tolerance 0, mean of {options.seeds} seeds\n\n{shown.to_string()}")


if __name__ == "__main__":
    main()
