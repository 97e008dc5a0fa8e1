"""What the draw of rows, backgrounds and orders does to a ranking of features by currents.

The same network is measured several times with other draws. *Error* is the largest standard error of a
feature, in shares of the total; the areas are those of `faithfulness_features.py`, as means over draws, with
the deviation over them.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import pandas as pd

from faithfulness_data import Trained
from faithfulness_features import AREAS, areas
from faithfulness_rankings import METHOD, ORDERS, by_sign, measured
from faithfulness_tables import KEY

HIDDEN, SEEDS = (1, 2), 1

SIZES = {
    "straight, 128 x 8": replace(METHOD, rows=128, backgrounds=8),
    "straight, 512 x 32": METHOD,
    "straight, 1000 x 64": replace(METHOD, rows=1000, backgrounds=64),
    "orders, 64 x 8": ORDERS,
    "orders, 512 x 32": replace(ORDERS, rows=512, backgrounds=32, orders=2),
}
"""Rows against backgrounds; the second is the default."""

ONLY = ["friedman"]

DRAWS = 3

RANKED = ("absolute", "for")


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each size, draw and ranking."""
    rows: list[dict[str, object]] = []
    for name, method in SIZES.items():
        for draw in range(DRAWS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                flow = measured(network, replace(method, by_class=False), number=draw)
            error = flow.shares()["stderr"].max()
            for sign in RANKED:
                found = areas(network, by_sign(flow)[sign])
                rows.append({**network.kind, "of": f"{name}, {sign}", "draw": draw, "error": error, **found})
    return rows


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and mean deviations over draws."""
    order, columns = rows["of"].drop_duplicates(), ["error", *AREAS]
    spread = rows.groupby([*KEY, "of"])[[*AREAS]].std().groupby("of").mean()
    return {
        "means": rows.groupby("of")[columns].mean().loc[order].round(4),
        "deviations over draws": spread.loc[order].round(4),
    }
