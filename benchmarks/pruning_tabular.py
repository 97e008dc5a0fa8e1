"""Rules of pruning on many small networks of tables, without training again: which is the better default.

``python benchmarks/pruning_tabular.py [--seeds 2] [--hidden 2] [--save rows.csv]`` prunes networks on the
seventeen data sets of `faithfulness_data.py` and prints the held-out score that is lost, in points of
accuracy or of R², by fraction removed, compensation and rule, and how far each rule is behind the default on
the same networks.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pandas as pd
from torch import nn

import nif
from environment import environment
from faithfulness_data import DATA, DataSet, Trained, trained
from pruning import OTHERS
from pruning_tables import DEFAULT, OURS, behind, losses

SHARES, COMPENSATIONS = (0.5, 0.7, 0.9), ("linear", "mean", "none")

RULES = [*OURS, *OTHERS]

KEY = ["data", "hidden", "number"]


def rules_compared(network: Trained) -> Iterator[dict[Hashable, object]]:
    """The score lost by each rule, fraction and compensation, in points."""
    rows = network.x, network.y if network.classes else network.y.double()
    by_currents = nif.Currents(backgrounds=16, rows=256, by_class=False)
    flows = {
        "current": nif.measure(network.net, network.x, by_currents, progress=False),
        "": nif.measure(network.net, network.x, nif.Binned(), progress=False),
    }
    before = network.score(network.test_x, network.test_y)
    for share, how, rule in itertools.product(SHARES, COMPENSATIONS, RULES):
        small = nif.prune(
            network.net,
            flows.get(rule, flows[""]),
            rows,
            remove=share,
            tolerance=None,
            rule=OTHERS.get(rule, rule),
            compensate=None if how == "none" else how,
            seed=network.seed,
            progress=False,
        )
        after = replace(network, net=cast(nn.Sequential, small.model)).score(network.test_x, network.test_y)
        yield {
            "share": share,
            "compensation": how,
            "rule": rule,
            "unpruned": before,
            "loss": 100 * (before - after),
        }


def of_network(data: DataSet, hidden: int, number: int) -> list[dict[Hashable, object]]:
    """The rows of one network."""
    network = trained(data, hidden, number)
    key: dict[Hashable, object] = {"data": data.name, "hidden": hidden, "number": number}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [{**key, **row} for row in rules_compared(network)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="*", default=[2])
    parser.add_argument("--only", nargs="*", default=[data.name for data in DATA])
    parser.add_argument(
        "--save", type=Path, help="a CSV file, written after each network, and read if it exists"
    )
    options = parser.parse_args()
    rows = pd.read_csv(options.save).to_dict("records") if options.save and options.save.exists() else []
    done = {tuple(row[key] for key in KEY) for row in rows}
    wanted = itertools.product(
        range(options.seeds), options.hidden, (d for d in DATA if d.name in options.only)
    )
    asked = [(data, hidden, number) for number, hidden, data in wanted]
    for data, hidden, number in asked:
        if (data.name, hidden, number) not in done:
            rows += of_network(data, hidden, number)
            if options.save:
                pd.DataFrame(rows).to_csv(options.save, index=False)
    found = pd.DataFrame(rows)
    found["seed"] = found.groupby(KEY, sort=False).ngroup()
    print(environment())
    networks = found.drop_duplicates(KEY)
    score, count = networks["unpruned"].mean(), networks["data"].nunique()
    print(f"{len(networks)} networks, {count} data sets; mean score {score:.3f}")
    paired = f"points by which {DEFAULT} is ahead of each rule, on the same networks, with 95 % intervals"
    for title, shown in (("points of score lost", losses(found)), (paired, behind(found))):
        print(f"\n{title}\n\n{shown.to_string()}")


if __name__ == "__main__":
    main()
