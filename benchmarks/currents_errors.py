"""Coverage of the 95 % intervals of currents over many data sets from the same generator.

``python benchmarks/currents_errors.py [--repeats 200] [--first 0] [--samples 300 1000 5000]
[--only NAME ...] [--jobs 2]``: each network is trained once. Its currents are measured on many small data
sets, and on a few large ones, whose mean is the value that the intervals should cover. Features, differences
of two of them, the 100 strongest links, hidden units and the total are counted, and mean absolute row
currents against their own mean; *ratio* is the deviation of the estimates over the stated standard error.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from environment import environment
from networks import mlp
from nif.data.rows import read
from nif.estimators.pairs import Resources
from nif.measures.currents.currents import Currents
from nif.measures.currents.grouped_sums import GROUPS
from nif.measures.measure import Measured
from nif.network.network import Network

STEPS = 2
"""Of the way; the value to be covered is that of as many, so few are enough."""

LARGE, LARGE_ROWS, LARGE_REPEATS = 10_000, 2_000, 4
STRONGEST = 100

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Named = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Data from a generator, and the network that is trained on them."""

    draw: Draw
    sizes: tuple[int, ...]
    loss: Loss
    decision: str

    def network(self) -> nn.Sequential:
        """Trained on 2,000 rows."""
        torch.manual_seed(0)
        net = mlp(*self.sizes)
        x, y = self.draw(2000, torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(200):
            optimizer.zero_grad()
            self.loss(net(x), y).backward()
            optimizer.step()
        return net.eval()


def two_classes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Correlated inputs; a product and two lines decide."""
    common = torch.randn(count, 1, generator=generator)
    x = 0.6 * common + 0.8 * torch.randn(count, 8, generator=generator)
    score = x[:, 0] + x[:, 1] * x[:, 2] - x[:, 3].abs()
    return x, (score > 0).long()


def ten_classes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clouds around ten centres."""
    centres = torch.randn(10, 20, generator=torch.Generator().manual_seed(1))
    y = torch.randint(10, (count,), generator=generator)
    return centres[y] + torch.randn(count, 20, generator=generator), y


def rare_class(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three classes, one of them with 4 % of the rows."""
    x = torch.randn(count, 6, generator=generator)
    return x, (x[:, 0] + x[:, 1] > 0).long() + 2 * ((x[:, 2] > 1.5) & (x[:, 0] + x[:, 1] <= 0)).long() // 2


def flags(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Exclusive-or of two flags, one of them rare, beside numbers."""
    flag = (torch.rand(count, 2, generator=generator) < torch.tensor([0.5, 0.2])).float()
    number = torch.randn(count, 4, generator=generator)
    x = torch.cat([flag, number], 1)
    return x, ((flag[:, 0] != flag[:, 1]) ^ (number[:, 0] > 1)).long()


def smooth_value(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A value of a line, a product and a wave."""
    x = torch.randn(count, 6, generator=generator)
    return x, (x[:, :1] + x[:, 1:2] * x[:, 2:3] + torch.sin(2 * x[:, 3:4]))


def answers(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three answers, yes or no, from heavy-tailed inputs."""
    x = torch.randn(count, 8, generator=generator) / torch.rand(count, 1, generator=generator).sqrt()
    return x, (torch.stack([x[:, 0] - x[:, 1], x[:, 2] + x[:, 1], x[:, 3].abs() - 1], 1) > 0).float()


cross_entropy: Loss = nn.functional.cross_entropy
TASKS = {
    "two classes": Task(two_classes, (8, 24, 16, 2), cross_entropy, "softmax"),
    "ten classes": Task(ten_classes, (20, 32, 16, 10), cross_entropy, "softmax"),
    "rare class": Task(rare_class, (6, 24, 3), cross_entropy, "softmax"),
    "flags": Task(flags, (6, 16, 12, 2), cross_entropy, "softmax"),
    "value": Task(smooth_value, (6, 24, 16, 1), nn.functional.mse_loss, "value"),
    "answers": Task(answers, (8, 24, 3), nn.functional.binary_cross_entropy_with_logits, "bernoulli"),
}


def measured(net: nn.Module, x: Tensor, decision: str, rows: int, seed: int) -> Measured:
    """The currents of one data set."""
    network = Network.of(net)
    options = Currents(decision=decision, rows=rows, steps=STEPS, by_class=False, paths=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return options.measure(
            network,
            read(x, network.signature),
            seed=seed,
            resources=Resources(10**9, None),
            advance=lambda work: None,
        )


def parts(result: Measured) -> tuple[Named, Named]:
    """Estimates and standard errors of every part, flat."""
    tables = result.currents
    assert tables is not None
    features, deviations = tables.units[0].nats, tables.units[0].deviations
    assert deviations is not None
    one, other = np.triu_indices(len(features), 1)
    nats = {
        "features": features,
        "differences": features[one] - features[other],
        "units": np.concatenate([units.nats for units in tables.units[1:-1]]),
        "absolute": np.concatenate([units.absolute for units in tables.units[:-1]]),
        "links": np.concatenate([links.nats.ravel() for links in result.links]),
        "total": np.array([tables.total.nats]),
    }
    stderr = {
        "features": tables.units[0].stderr,
        "differences": np.linalg.norm(deviations[:, one] - deviations[:, other], axis=0),
        "units": np.concatenate([units.stderr for units in tables.units[1:-1]]),
        "absolute": np.concatenate([units.absolute_stderr for units in tables.units[:-1]]),
        "links": np.concatenate([links.stderr.ravel() for links in result.links]),
        "total": np.array([tables.total.stderr]),
    }
    return nats, stderr


def one(name: str, count: int, rows: int, seed: int) -> tuple[Named, Named]:
    """The parts of one redraw."""
    torch.set_num_threads(1)
    task = TASKS[name]
    x = task.draw(count, torch.Generator().manual_seed(1000 + seed))[0]
    return parts(measured(network(name), x, task.decision, rows, seed))


@cache
def network(name: str) -> nn.Sequential:
    """The trained network of a task."""
    return TASKS[name].network()


def stacked(drawn: list[Named]) -> Named:
    """Redraws on top of each other."""
    return {part: np.stack([values[part] for values in drawn]) for part in drawn[0]}


def coverage(
    name: str, count: int, truth: Named, redraws: list[tuple[Named, Named]]
) -> list[dict[str, object]]:
    """How often the intervals cover the value of a large sample."""
    nats, stderr = stacked([pair[0] for pair in redraws]), stacked([pair[1] for pair in redraws])
    rows: list[dict[str, object]] = []
    # Absolute row currents also depend on how many rows the backgrounds stand for.
    for part, value in {**truth, "absolute": nats["absolute"].mean(0)}.items():
        chosen = np.argsort(-np.abs(value))[:STRONGEST] if part == "links" else np.arange(len(value))
        chosen = chosen[np.abs(value[chosen]) > 0]
        error = nats[part][:, chosen] - value[chosen]
        covered = np.abs(error) <= stats.t.ppf(0.975, GROUPS - 1) * stderr[part][:, chosen]
        deviation = nats[part][:, chosen].std(0)
        rows.append({
            "network": name, "N": count, "part": part, "of": len(chosen), "covered": covered.mean(),
            "least": covered.mean(0).min(), "bias, in errors": np.mean(error.mean(0) / deviation),
            "absolute bias": np.mean(np.abs(error.mean(0)) / deviation),
            "ratio": np.median(deviation / np.sqrt(np.square(stderr[part][:, chosen]).mean(0))),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first redraw")
    parser.add_argument("--samples", type=int, nargs="*", default=[300, 1000, 5000])
    parser.add_argument("--only", nargs="*", default=list(TASKS), help=", ".join(TASKS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    print(environment())
    tables: list[dict[str, object]] = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as processes:
        for name in options.only:
            large = processes.map(
                partial(one, name, LARGE, LARGE_ROWS), range(10_000, 10_000 + LARGE_REPEATS)
            )
            truth = {part: values.mean(0) for part, values in stacked([pair[0] for pair in large]).items()}
            for count in options.samples:
                rows = min(count, 512)
                seeds = range(options.first, options.first + options.repeats)
                found = coverage(
                    name, count, truth, list(processes.map(partial(one, name, count, rows), seeds))
                )
                print(pd.DataFrame(found).round(3).to_string(index=False, header=not tables))
                tables += found
    print("pooled over all networks")
    print(pooled(pd.DataFrame(tables)).round(3).to_string())


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage of all numbers of a kind, and its range over networks."""
    covered = table.assign(times=table["covered"] * table["of"]).groupby(["N", "part"], sort=False)
    found = pd.DataFrame({"of": covered["of"].sum(), "covered": covered["times"].sum() / covered["of"].sum()})
    return found.assign(lowest=covered["covered"].min(), highest=covered["covered"].max())


if __name__ == "__main__":
    main()
