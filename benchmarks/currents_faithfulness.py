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

Paired differences are over networks, ± one standard error; in brackets that over the means of data sets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pandas as pd
import torch

import faithfulness_features
import faithfulness_links
from environment import environment
from faithfulness_data import DATA, trained

STUDIES = {"features": faithfulness_features, "links": faithfulness_links}

Row = dict[str, object]


def one(study: str, name: str, hidden: int, seed: int) -> list[Row]:
    """The rows of one network."""
    torch.set_num_threads(1)
    data = next(each for each in DATA if each.name == name)
    found: list[Row] = STUDIES[study].of_network(trained(data, hidden, seed))
    return found


def rows_of(options: argparse.Namespace, save: Callable[[pd.DataFrame], None]) -> pd.DataFrame:
    """The rows of all networks."""
    names = options.only or [data.name for data in DATA]
    asked = [
        (name, hidden, seed) for seed in range(options.seeds) for name in names for hidden in options.hidden
    ]
    rows: list[Row] = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as processes:
        found = processes.map(partial(one, options.study), *zip(*asked, strict=True))
        for network, of_network in zip(asked, found, strict=True):
            rows += of_network
            save(pd.DataFrame(rows))
            print(*network, file=sys.stderr, flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--only", nargs="*", help=", ".join(data.name for data in DATA))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", help="a CSV file, written after each network")
    options = parser.parse_args()
    print(environment())
    rows = rows_of(options, lambda table: table.to_csv(options.save, index=False) if options.save else None)
    study = STUDIES[options.study]
    count = len(rows[["data", "hidden", "seed"]].drop_duplicates())
    print(f"{count} networks, {rows['data'].nunique()} data sets")
    print(study.summary(rows).round(3).to_string())
    print("currents minus the others:")
    print(study.paired(rows).to_string(index=False))


if __name__ == "__main__":
    main()
