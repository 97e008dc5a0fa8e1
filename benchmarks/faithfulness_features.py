"""How fast the score falls or rises with the features that an attribution names first.

Areas under accuracy, or under R² for values, on rows that were held out, as features are replaced one by one,
by their mean or by those of another row, the same one for all features. *Deletion* begins with the most
important ones, and less is better; *insertion* ends with all in place, and more is better. *Precision* is the
part of the strongest features that are informative, and *on ignored* the part of the mass on features whose
weights are 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from faithfulness_attributions import attributions
from faithfulness_data import Trained
from faithfulness_tables import differences
from nif.comparison.faithfulness import ranking

HIDDEN, SEEDS = (1, 2, 4), 3

DRAWS = 10
"""Of other rows, and of ties."""

AREAS = ("deletion, mean", "deletion, other", "insertion, mean", "insertion, other")


def areas(network: Trained, attribution: np.ndarray) -> dict[str, float]:
    """Areas under the score over the share of features replaced, most important first or last."""
    generator = np.random.default_rng(network.seed)
    x, count = network.test_x, len(network.test_x)
    mean = network.x.mean(0).expand_as(x)
    drawn: dict[str, list[float]] = {name: [] for name in AREAS}
    for _ in range(DRAWS):
        order = torch.from_numpy(ranking(attribution, generator))
        other = x[torch.from_numpy(generator.permutation(count))]
        for name, filled in (("mean", mean), ("other", other)):
            drawn[f"deletion, {name}"].append(_area(network, x, filled, order))
            drawn[f"insertion, {name}"].append(_area(network, filled, x, order))
    return {name: float(np.mean(values)) for name, values in drawn.items()}


def _area(network: Trained, start: Tensor, end: Tensor, order: Tensor) -> float:
    """Area under the score as features go from one table to another."""
    x, curve = start.clone(), [network.score(start, network.test_y)]
    for feature in order:
        x[:, feature] = end[:, feature]
        curve.append(network.score(x, network.test_y))
    return float(trapezoid(curve, dx=1 / len(order)))


def planted(network: Trained, attribution: np.ndarray) -> dict[str, float]:
    """Part of the strongest features that are informative, and of the mass that is on ignored ones."""
    data, found = network.data, np.abs(attribution)
    known = len(data.informative)
    first = np.argsort(-attribution, kind="stable")[:known]
    return {
        "precision": float(np.isin(first, data.informative).mean()) if known else float("nan"),
        "on ignored": float(found[list(data.ignored)].sum() / found.sum()) if data.ignored else float("nan"),
    }


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each attribution of a network."""
    return [
        {**network.kind, "of": name, **areas(network, found), **planted(network, found)}
        for name, found in attributions(network).items()
    ]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and paired differences of three ways to rank by currents."""
    order = rows["of"].drop_duplicates()
    found = {"means": rows.groupby("of")[[*AREAS, "precision", "on ignored"]].mean().loc[order].round(3)}
    for name in ("currents", "currents, absolute", "currents, for"):
        found[f"{name}, minus the others"] = differences(rows, AREAS, name)
    without = rows[rows["data"] != "suppressed"]
    if 0 < len(without) < len(rows):
        found["currents, minus the others, without the data set 'suppressed'"] = differences(without, AREAS)
    return found
