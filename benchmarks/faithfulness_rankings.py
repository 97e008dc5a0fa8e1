"""Ways to rank features by currents: which signs, rows, classes, ways and sample sizes count.

By deletion and insertion, as in `faithfulness_features.py`. Of the currents of rows, weighted as in the flow:

- *signed*, their mean, and *absolute*, their mean size; *for*, half of the sum of both, is the mean of what
  speaks for the decision; *absolute + 1/2 signed* and its like lie between these;
- *rms*, the root of the mean square, and *for, rms*, that of what speaks for the decision;
- *of rows*, where each row counts alike: its currents are divided by the sum of their sizes;
- *by class*, of the term of each class by itself, added up over classes.

Of other currents, *absolute* and *for* too: over orders of the features, which are Shapley values of v
(*orders*), of 64 rows against 8 backgrounds. With seed 0, on which ways are tried, also from the mean row
alone (*mean row*), about the class that the network decides for (*predicted*), and from twice the rows and
backgrounds (*large*).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

import nif
from faithfulness_attributions import deep_shap, problem, sage, shap_by_orders
from faithfulness_data import Trained
from faithfulness_features import AREAS, areas
from faithfulness_tables import differences
from nif.comparison.libraries import integrated_gradients

HIDDEN, SEEDS = (2,), 1

METHOD = nif.Currents(paths=0)

TRIED = 0
"""The seed on which more ways are tried."""

LARGE = replace(METHOD, rows=1024, backgrounds=64, steps=8, by_class=False)

ORDERS = replace(METHOD, path="orders", rows=64, backgrounds=8, orders=4, steps=1, by_class=False)

MOST_IN_ORDERS = 32
"""Features that move one after another."""

PARTS = {"1/4": 0.25, "1/2": 0.5, "3/4": 0.75}
"""Of the signed current that are added to the absolute one."""


SHOWN = ("absolute", "for", "for, rms", "orders, absolute", "orders, for")
"""Ways whose differences are printed."""

PUBLISHED: dict[str, Callable[[Trained], np.ndarray]] = {
    "integrated gradients": lambda network: integrated_gradients(problem(network)),
    "SHAP, orders": shap_by_orders,
    "SHAP, deep": deep_shap,
    "SAGE": sage,
}
"""What currents are to be level with."""


def measured(
    network: Trained, method: nif.Currents, number: int | None = None, **options: object
) -> nif.Flow:
    """A flow of currents, without a word; of the draw of the network, or of another number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, seed = options.pop("data", network.x), network.seed if number is None else number
        return nif.measure(network.net, x, method, seed=seed, progress=False, **options)  # type: ignore[arg-type]


def rankings(network: Trained) -> dict[str, np.ndarray]:
    """By the name of the way, one number for each feature; larger for one that matters more."""
    flow = measured(network, METHOD)
    found = {**by_sign(flow), **by_row(flow)}
    others = {}
    if network.x.shape[1] <= MOST_IN_ORDERS:
        others["orders"] = measured(network, ORDERS)
    if network.seed == TRIED:
        others |= tried(network)
    for name, other in others.items():
        signs = by_sign(other)
        found |= {f"{name}, {sign}": signs[sign] for sign in ("absolute", "for")}
    return {**found, **{name: method(network) for name, method in PUBLISHED.items()}}


def tried(network: Trained) -> dict[str, nif.Flow]:
    """Other currents, which take longer."""
    mean = network.x.mean(0, keepdim=True)
    found = {"mean row": measured(network, METHOD, background=mean), "large": measured(network, LARGE)}
    if network.classes:
        data = (network.x, network.net(network.x).argmax(1))
        found["predicted"] = measured(network, replace(METHOD, decision="labels"), data=data)
    return found


def by_sign(flow: nif.Flow) -> dict[str, np.ndarray]:
    """Ways that the columns of the flow give."""
    units = flow.neurons().loc["input"]
    signed, absolute = units["current"].to_numpy(), units["absolute"].to_numpy()
    between = {f"absolute + {name} signed": absolute + part * signed for name, part in PARTS.items()}
    return {"signed": signed, "absolute": absolute, "for": (signed + absolute) / 2, **between}


def by_row(flow: nif.Flow) -> dict[str, np.ndarray]:
    """Ways that take the currents of rows, or of rows and classes."""
    local = flow.local()
    weights, rows = np.asarray(local.attrs["weights"]), local.to_numpy()
    sizes = np.maximum(np.abs(rows).sum(1, keepdims=True), 1e-12)
    classes = np.asarray(flow.to_shap().values).reshape(*rows.shape, -1)
    return {
        "rms": np.sqrt(weights @ np.square(rows)),
        "for, rms": np.sqrt(weights @ np.square(np.clip(rows, 0, None))),
        "absolute, of rows": weights @ (np.abs(rows) / sizes),
        "for, of rows": weights @ (np.clip(rows, 0, None) / sizes),
        "absolute, by class": np.tensordot(weights, np.abs(classes), 1).sum(1),
        "for, by class": np.tensordot(weights, np.clip(classes, 0, None), 1).sum(1),
    }


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluated(network, rankings(network))


def evaluated(network: Trained, found: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """One row for each way; equal rankings are evaluated once."""
    known: dict[bytes, dict[str, float]] = {}
    rows: list[dict[str, object]] = []
    for name, values in found.items():
        order = np.unique(values, return_inverse=True)[1].tobytes()
        if order not in known:
            known[order] = areas(network, values)
        rows.append({**network.kind, "of": name, **known[order]})
    return rows


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and some ways minus what they are to be level with, paired."""
    order = rows["of"].drop_duplicates()
    found = {"means": rows.groupby("of")[[*AREAS]].mean().loc[order].round(4)}
    for way in SHOWN:
        some = rows[rows["of"].isin([way, *PUBLISHED])]
        found[f"{way}, minus the others"] = differences(some, AREAS, way)
    return found
