"""How much of a decision the strongest links of a network carry, by several ways to rank them."""

from __future__ import annotations

import pandas as pd

import nif
from faithfulness_data import Trained
from faithfulness_features import differences, measured
from nif.comparison.link_comparison import SHARES, carried
from nif.comparison.link_problem import LinkProblem, link_problem
from nif.comparison.link_rankings import LINK_RANKINGS

REPLACEMENTS = {"mean": "mean", "other": "row"}
"""Names of the columns, and of the replacement."""

MEASURED = {"outcome": "", "divergence": "_divergence"}

FIGURES = tuple(
    f"{what}, {name}, {by}" for by in MEASURED for name in REPLACEMENTS for what in ("kept", "lost")
)


def problem(network: Trained) -> LinkProblem:
    """The links of a network, ranked on the rows that it was trained on."""
    association = measured(network, nif.Association(nif.Binned()))
    currents = measured(network, nif.Currents())
    return link_problem(network.net, association, network.x, currents=currents, seed=network.seed)


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each ranking of the links of a network, judged on rows that were held out."""
    kind = {
        "data": network.data.name,
        "classes": network.classes,
        "hidden": network.hidden,
        "seed": network.seed,
    }
    links, rows = problem(network), list[dict[str, object]]()
    for name, rank in LINK_RANKINGS.items():
        ranked, found = rank(links), dict[str, float]()
        for column, replacement in REPLACEMENTS.items():
            means = carried(links, ranked, network.test_x, replacement, SHARES).mean()
            for by, ending in MEASURED.items():
                found |= {f"{what}, {column}, {by}": means[f"{what}{ending}"] for what in ("kept", "lost")}
        rows.append({**kind, "of": name.removesuffix(" ranking"), **found})
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over networks, and currents over EAP-IG."""
    names = [name.removesuffix(" ranking") for name in LINK_RANKINGS]
    means = rows.groupby("of")[list(FIGURES)].mean().loc[names]
    means.loc["currents / EAP-IG"] = means.loc["currents"] / means.loc["EAP-IG"]
    return means


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Currents minus the others, over networks."""
    return differences(rows, FIGURES).T
