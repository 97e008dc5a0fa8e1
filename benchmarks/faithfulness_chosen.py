"""Whether the rankings by currents that were chosen elsewhere hold on networks that nothing was chosen on.

The ways of `faithfulness_rankings.py` that are chosen, also on the data sets of `faithfulness_unseen.py` and
`faithfulness_further.py`; with ``--first 10``, say, on seeds that were not seen either.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from faithfulness_data import DATA, Trained
from faithfulness_features import AREAS
from faithfulness_further import FURTHER
from faithfulness_rankings import METHOD, ORDERS, PUBLISHED, by_row, by_sign, evaluated, measured
from faithfulness_tables import differences
from faithfulness_unseen import UNSEEN

HIDDEN, SEEDS = (1, 2, 4), 1

ONLY = [data.name for data in (*UNSEEN, *FURTHER, *DATA) if data.name != "digits"]
"""Data sets; of the 64 features of digits orders would take long."""

SIGNS = ("signed", "absolute", "for")

MANY_ORDERS = replace(ORDERS, rows=512, backgrounds=32, orders=2)
"""As many rows and backgrounds as `nif.Currents` takes where nothing is said."""

SHOWN = (*SIGNS, "for, rms", "orders, for")
"""Ways whose differences are printed."""


def rankings(network: Trained) -> dict[str, np.ndarray]:
    """By the name of the way, one number for each feature; larger for one that matters more."""
    flow, orders = measured(network, replace(METHOD, by_class=False)), measured(network, MANY_ORDERS)
    return {
        **{sign: by_sign(flow)[sign] for sign in SIGNS},
        "for, rms": by_row(flow)["for, rms"],
        **{f"orders, {sign}": by_sign(orders)[sign] for sign in SIGNS},
        **{name: method(network) for name, method in PUBLISHED.items()},
    }


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluated(network, rankings(network))


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and paired differences: of all networks, and of new data sets alone.

    A file of rows may hold ways that were measured on some of the networks; differences are of these.
    """
    known, found = [data.name for data in DATA], {}
    for title, some in (("all", rows), ("new data sets", rows[~rows["data"].isin(known)])):
        counts = some["of"].value_counts(sort=False)
        everywhere = counts.index[counts == counts.max()]
        means = some.groupby("of")[[*AREAS]].mean().loc[everywhere].round(4)
        found[f"{title}, means over {counts.max()} networks"] = means
        for way in SHOWN:
            minus = some[some["of"].isin([way, *PUBLISHED])]
            name = f"{title}, {way}, minus the others, over {counts[way]} networks"
            found[name] = differences(minus, AREAS, way)
    return {name: table for name, table in found.items() if len(table)}
