"""Whether currents name the features and links that a network uses, beside other attributions.

``python benchmarks/currents_faithfulness.py features|links [--seeds 2] [--hidden 1 2 4] [--only NAME ...]
[--jobs 2] [--save rows.csv]``: networks of 1, 2 and 4 hidden layers on seventeen data sets
(`faithfulness_data.py`), twelve of them with classes.

- *features*: areas under accuracy, or under R² for values, on rows that were held out, as features are
  replaced one by one. Deletion begins with the most important ones, and less is better; insertion ends with
  all in place, and more is better. They are replaced by their mean or by those of another row. *Precision* is
  the part of the strongest features that are informative, and *on ignored* the part of the mass on features
  whose weights are 0. SHAP and integrated gradients are means of absolute values over rows and outputs.
- *links*: the strongest share q of all links is kept, or deleted, for q = 2 to 50 %; the sources of all other
  links stand at their means, or at those of another row. *Kept* and *lost* are the share of the decision, as
  averages over q.

Paired differences are means over networks, ± one standard error; in brackets that over the means of data
sets, which are fewer and independent; then the median over networks.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Hashable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

import faithfulness_features
import faithfulness_links
from environment import environment
from faithfulness_data import DATA, trained

STUDIES = {"features": faithfulness_features, "links": faithfulness_links}

Row = dict[Hashable, object]

KEY = ["data", "hidden", "seed"]
"""Columns that name a network."""


def one(study: str, name: str, hidden: int, seed: int) -> list[Row]:
    """The rows of one network."""
    torch.set_num_threads(1)
    data = next(each for each in DATA if each.name == name)
    found: list[Row] = STUDIES[study].of_network(trained(data, hidden, seed))
    return found


def rows_of(options: argparse.Namespace) -> pd.DataFrame:
    """The rows of all networks; those that are in the file already are not repeated."""
    names = options.only or [data.name for data in DATA]
    asked = list(itertools.product(names, options.hidden, range(options.seeds)))
    kept = pd.read_csv(options.save) if options.save and options.save.exists() else pd.DataFrame()
    known = set(kept[KEY].itertuples(index=False, name=None)) if len(kept) else set()
    rows: list[Row] = kept.to_dict("records")
    missing = sorted((network for network in asked if network not in known), key=lambda network: network[2])
    if missing:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as processes:
            found = processes.map(partial(one, options.study), *zip(*missing, strict=True))
            for network, of_network in zip(missing, found, strict=True):
                rows += of_network
                if options.save:
                    pd.DataFrame(rows).to_csv(options.save, index=False)
                print(*network, file=sys.stderr, flush=True)
    return pd.DataFrame([row for row in rows if tuple(row[key] for key in KEY) in set(asked)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--only", nargs="*", help=", ".join(data.name for data in DATA))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--save", type=Path, help="a CSV file, written after each network, and read if it exists"
    )
    options = parser.parse_args()
    print(environment())
    rows = rows_of(options)
    study = STUDIES[options.study]
    count = len(rows[KEY].drop_duplicates())
    print(f"{count} networks, {rows['data'].nunique()} data sets")
    print(study.summary(rows).round(3).to_string())
    print("currents minus the others:")
    print(study.paired(rows).to_string())


if __name__ == "__main__":
    main()
