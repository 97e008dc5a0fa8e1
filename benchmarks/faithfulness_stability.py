"""Whether the same links are chosen when the data are others.

Links are ranked on two disjoint halves of the data that the network was trained on, several times. *Overlap*
is Jaccard's index of the strongest tenth: links chosen on both halves, of those chosen on either. *Kept* and
*lost* tell whether the chosen links are worth it: the share of the decision, on other rows, that those of the
first half keep alone, or take along when they are removed; see `faithfulness_decision.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch

import nif
from faithfulness_attributions import measured
from faithfulness_data import Trained
from faithfulness_decision import Ranked, figures, strongest
from faithfulness_links import RANKINGS, with_links
from faithfulness_tables import differences

HIDDEN, SEEDS = (2,), 1

CHOSEN = 0.1
"""Share of all links."""

SPLITS = 3
"""In halves."""

FIGURES = ("overlap", "kept", "lost")


def of_currents(network: Trained) -> dict[str, Ranked]:
    """By the size of a current, by that in standard errors, and by what is surely exceeded."""
    links = measured(network, nif.Currents(by_class=False)).links
    sizes = [np.abs(each.nats.T) for each in links]
    errors = [np.maximum(each.stderr.T, 1e-300) for each in links]
    return {
        "currents": sizes,
        "currents / stderr": [
            np.where(size > 0, size / error, 0.0) for size, error in zip(sizes, errors, strict=True)
        ],
        "currents - 2 stderr": [size - 2 * error for size, error in zip(sizes, errors, strict=True)],
    }


METHODS: tuple[Callable[[Trained], dict[str, Ranked]], ...] = (
    of_currents,
    *(
        partial(lambda network, name: {name: RANKINGS[name](network)}, name=name)
        for name in RANKINGS
        if name not in {"currents", "random"}
    ),
)


def rankings(network: Trained) -> dict[str, Ranked]:
    """Of all methods."""
    return {name: ranked for method in METHODS for name, ranked in method(network).items()}


def overlap(first: Ranked, second: Ranked, seed: int) -> float:
    """Jaccard's index of the strongest links by two rankings, ties in the same random order."""
    chosen = [
        torch.cat([mask.flatten() for mask in strongest(ranked, CHOSEN, seed)]) for ranked in (first, second)
    ]
    return float((chosen[0] & chosen[1]).sum() / (chosen[0] | chosen[1]).sum())


def of_network(network: Trained) -> list[dict[str, object]]:
    """One row for each ranking, the mean over splits."""
    generator = torch.Generator().manual_seed(network.seed)
    found: list[dict[str, object]] = []
    for _ in range(SPLITS):
        order = torch.randperm(len(network.x), generator=generator)
        first, second = (
            rankings(replace(network, x=network.x[half], y=network.y[half])) for half in order.chunk(2)
        )
        for name, ranked in first.items():
            carried = figures(network, ranked, with_links, (CHOSEN,))
            found.append(
                {
                    "of": name,
                    "overlap": overlap(ranked, second[name], network.seed),
                    "kept": carried["kept, mean, outcome"],
                    "lost": carried["lost, mean, outcome"],
                }
            )
    means = pd.DataFrame(found).groupby("of", sort=False).mean().reset_index()
    return [
        {**network.kind, **{str(key): value for key, value in row.items()}}
        for row in means.to_dict("records")
    ]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over networks, and paired differences."""
    order = rows["of"].drop_duplicates()
    return {
        "means": rows.groupby("of")[list(FIGURES)].mean().loc[order].round(3),
        "currents, minus the others": differences(rows, FIGURES),
    }
