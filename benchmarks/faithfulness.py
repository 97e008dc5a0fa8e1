"""Whether currents name the features, links and units that a network uses, beside other methods.

``python benchmarks/faithfulness.py PART [--seeds 3] [--first 0] [--hidden 1 2 4] [--only NAME ...] [--jobs 2]
[--save rows.csv] [--small]``

The parts, each of which is one file:

- *features*: deletion, insertion and planted truth, against IG, SHAP, DeepLIFT, SAGE and others;
- *suppressors*: features that are used only to remove the noise of others;
- *links*: the share of the decision that the strongest links keep, against EAP, EAP-IG and others;
- *units*: the same of hidden units, against Taylor, conductance and others;
- *stability*: the overlap of the links that are chosen on disjoint halves of the data;
- *randomised*: whether attributions change when layers are re-initialised, or labels shuffled;
- *layers*: the same for networks of six kinds, blocks of layers from the top and each alone;
- *circuits*: transformers written by hand, whose circuit is known;
- *pretrained*: networks that packages bring, against occlusion; packages that are absent are skipped;
- *variants*: what might bring links ahead of EAP-IG by divergence;
- *rankings*: which signs, rows, classes and ways of currents rank features best;
- *chosen*: whether the best of these hold on networks that nothing was chosen on;
- *sampling*: what the draw of rows, backgrounds and orders does to them.

All but *circuits*, *layers*, *pretrained* and *suppressors* take networks of 1, 2 and 4 hidden layers on the
seventeen data sets of `faithfulness_data.py`, twelve of them with classes; ``--only`` takes those of
`faithfulness_unseen.py` and `faithfulness_further.py`, too, which nothing was chosen on, as *chosen* does by
itself. ``--small`` is for a test of the scripts: it takes seconds and says nothing.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from collections.abc import Hashable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from environment import environment
from faithfulness_data import DATA, trained
from faithfulness_further import FURTHER
from faithfulness_tables import KEY
from faithfulness_unseen import UNSEEN

OF_NETWORKS = (
    *("features", "links", "units", "stability", "randomised", "variants"),
    *("rankings", "chosen", "sampling"),
)
"""Parts with rows for each network."""

OF_THEIR_OWN = ("suppressors", "circuits", "pretrained", "layers")

EVERY = (*DATA, *UNSEEN, *FURTHER)

SMALL = ["wine", "suppressed"]
"""Data sets of ``--small``."""

Row = dict[Hashable, object]


def one(part: str, name: str, hidden: int, seed: int) -> list[Row]:
    """The rows of one network."""
    torch.set_num_threads(1)
    data = next(each for each in EVERY if each.name == name)
    study = importlib.import_module(f"faithfulness_{part}")
    found: list[Row] = study.of_network(trained(data, hidden, seed))
    return found


def rows_of(options: argparse.Namespace) -> pd.DataFrame:
    """The rows of all networks; those that are in the file already are not repeated."""
    names = options.only or [data.name for data in DATA]
    asked = list(
        itertools.product(names, options.hidden, range(options.first, options.first + options.seeds))
    )
    kept = pd.read_csv(options.save) if options.save and options.save.exists() else pd.DataFrame()
    known = set(kept[KEY].itertuples(index=False, name=None)) if len(kept) else set()
    rows: list[Row] = kept.to_dict("records")
    missing = sorted((network for network in asked if network not in known), key=lambda network: network[2])
    if missing:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as processes:
            found = processes.map(partial(one, options.part), *zip(*missing, strict=True))
            for network, of_network in zip(missing, found, strict=True):
                rows += of_network
                if options.save:
                    pd.DataFrame(rows).to_csv(options.save, index=False)
                print(*network, file=sys.stderr, flush=True)
    return pd.DataFrame([row for row in rows if tuple(row[key] for key in KEY) in set(asked)])


def arguments() -> argparse.Namespace:
    """The command line; what is not given is what the part asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=(*OF_NETWORKS, *OF_THEIR_OWN))
    parser.add_argument("--seeds", type=int, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--hidden", type=int, nargs="*")
    parser.add_argument("--only", nargs="*", help=", ".join(data.name for data in EVERY))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--save", type=Path, help="a CSV file, written after each network, and read if it exists"
    )
    parser.add_argument("--small", action="store_true", help="seconds, for a test of the script")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    study = importlib.import_module(f"faithfulness_{options.part}")
    print(environment())
    if options.part in OF_THEIR_OWN:
        tables: dict[str, pd.DataFrame] = study.tables(small=options.small)
    else:
        small = options.small
        options.seeds = options.seeds or (1 if small else study.SEEDS)
        options.hidden = options.hidden or (study.HIDDEN[:1] if small else study.HIDDEN)
        options.only = options.only or (SMALL if small else getattr(study, "ONLY", None))
        rows = rows_of(options)
        count = len(rows[KEY].drop_duplicates())
        print(f"{count} networks, {rows['data'].nunique()} data sets")
        tables = study.tables(rows)
    for title, table in tables.items():
        print(f"{title}:\n{table.to_string()}")


if __name__ == "__main__":
    main()
