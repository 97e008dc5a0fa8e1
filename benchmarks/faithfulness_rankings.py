"""Ways to rank features by the same currents: which rows, classes and signs count.

Of every feature the mean current (*signed*), the mean size of the currents of rows (*absolute*), half of the
sum of both, which is the mean of what speaks for the decision (*for*), and the root of the mean square
(*rms*); the same of classes by themselves; and the same of currents about the class that the network decides
for, in place of all classes in proportion (*predicted*). By deletion and insertion, as in
`faithfulness_features.py`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

import nif
from faithfulness_attributions import deep_shap, sage
from faithfulness_data import Trained
from faithfulness_features import AREAS, areas
from faithfulness_tables import differences

HIDDEN, SEEDS = (2, 1), 1

METHOD = nif.Currents(rows=256, backgrounds=32, steps=16)


def rankings(network: Trained) -> dict[str, np.ndarray]:
    """By the name of the way, one number for each feature."""
    flow = nif.measure(network.net, network.x, METHOD, seed=network.seed, progress=False)
    rows = flow.local().sort_index().to_numpy()
    classes = np.asarray(flow.to_shap().values).reshape(*rows.shape, -1)
    found = {
        **by_sign(flow),
        "rms": np.sqrt(np.square(rows).mean(0)),
        "for, by class": np.clip(classes, 0, None).mean(0).sum(1),
        "absolute, by class": np.abs(classes).mean(0).sum(1),
    }
    if network.classes:
        data, method = (network.x, network.net(network.x).argmax(1)), replace(METHOD, decision="labels")
        flow = nif.measure(network.net, data, method, seed=network.seed, progress=False)
    predicted = {f"predicted, {name}": values for name, values in by_sign(flow).items()}
    return {**found, **predicted, "SHAP, deep": deep_shap(network), "SAGE": sage(network)}


def by_sign(flow: nif.Flow) -> dict[str, np.ndarray]:
    """Three of the ways, from the columns of the flow."""
    units = flow.neurons().loc["input"]
    signed, absolute = units["current"].to_numpy(), units["absolute"].to_numpy()
    return {"signed": signed, "absolute": absolute, "for": (signed + absolute) / 2}


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rankings(network)
    return [{**network.kind, "of": name, **areas(network, values)} for name, values in found.items()]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and each way less deep SHAP, also without the data set with suppressors."""
    order = rows["of"].drop_duplicates()
    without = rows[rows["data"] != "suppressed"]
    return {
        "means": rows.groupby("of")[[*AREAS]].mean().loc[order].round(4),
        "SHAP, deep, minus the others": differences(rows, AREAS, "SHAP, deep"),
        "the same without the data set 'suppressed'": differences(without, AREAS, "SHAP, deep"),
    }
