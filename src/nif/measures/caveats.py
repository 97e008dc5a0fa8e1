"""Warnings of data for which errors, or a comparison of features, would mislead."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from nif.core.types import Layer, Links
from nif.data.rows import Rows
from nif.data.signature import EMBEDDINGS
from nif.estimators.series import FEW_VALUES, RARE, follow

FEWEST_DISTINCT = 0.9
"""Part of the rows that are distinct below which a warning says that errors are too small."""

MOST_COLUMNS = 64
"""Features that are looked at, spread over all."""

RARE_FLAG = 0.02
"""Part of the rows of a flag that have its rarer value, for it to be looked at; see `RARE`."""

MOST_OF_CATEGORY = 12
"""Distinct values up to which a feature has few beside others: months are a category."""

MANY_VALUES = 20
"""Distinct values of a feature above which it counts as continuous; the pixels of digits have 17."""

MANY_PAIRS, MOST_PATCHES = 10_000_000, 256
"""Of inputs, from which on groups are proposed; and how many groups these are of an image."""


def warn_of_order(rows: Rows, stacklevel: int) -> None:
    """Warn of rows that depend on those before them, as in a time series."""
    values = rows.first.detach().cpu().flatten(1)
    columns = np.unique(np.linspace(0, values.shape[1] - 1, min(values.shape[1], MOST_COLUMNS)).astype(int))
    table = values[:, columns].double().numpy()
    alike = [column for column, one in zip(columns, table.T, strict=True) if follow(one)]
    if not alike:
        return
    names = rows.feature_names if rows.groups is None else None
    first = repr(names[alike[0]]) if names is not None and len(names) == values.shape[1] else f"{alike[0]}"
    warnings.warn(
        f"Neighbouring rows are alike in {len(alike)} of {len(columns)} features (the first is {first}), as "
        "in a time series. Standard errors and p-values assume independent rows and are then too small: pass "
        "blocks= to the method, as in nif.Currents(blocks=50), the number of rows that depend on each other; "
        "or shuffle rows that are only sorted.",
        stacklevel=stacklevel,
    )


def warn_of_nodes(blocks: object, stacklevel: int) -> None:
    """Warn of the nodes of one graph, which depend on their neighbours."""
    if blocks is None:
        warnings.warn(
            "Nodes of one graph depend on their neighbours. Standard errors and p-values take them as "
            "independent and are too small: pass nif.Association(blocks=), a label for each node, such as "
            "its community.",
            stacklevel=stacklevel,
        )


def warn_of_duplicates(features: Float[np.ndarray, "row feature"], stacklevel: int) -> None:
    """Warn of rows that come several times."""
    distinct = len(np.unique(features, axis=0)) / len(features)
    if distinct < FEWEST_DISTINCT:
        warnings.warn(
            f"{1 - distinct:.0%} of the rows are duplicates. Standard errors and p-values assume "
            "independent rows and are too small.",
            stacklevel=stacklevel,
        )


def warn_of_few_values(
    features: Float[np.ndarray, "row feature"], names: Sequence[str], stacklevel: int
) -> None:
    """Warn of features that can tell less than others, which association does not rank by use.

    These are features of few values beside continuous ones, and in a table of categories those of fewer
    values than others have. A rare value counts in a flag, so that columns of a one-hot block are seen; among
    other features it does not, as at the edges of images.
    """
    counts = [np.unique(column, return_counts=True)[1] for column in features.T]
    few = {
        name: len(count)
        for name, count in zip(names, counts, strict=True)
        if 1 < len(count) <= MOST_OF_CATEGORY and count.max() <= (1 - _rarest(count)) * count.sum()
    }
    if not few:
        return
    name, values = min(few.items(), key=lambda each: each[1])
    most = max(few.values())
    if any(len(count) > MANY_VALUES for count in counts):
        beside, bound = "others are continuous", "and a continuous one has no such bound"
    elif most < FEW_VALUES and len(few) == len(counts) and most > values:
        beside, bound = f"others have up to {most}", f"and one of {most} at most {np.log(most):.2f}"
    else:
        return
    warnings.warn(
        f"{len(few)} of {len(counts)} features have few values, such as {name!r} with {values}, and "
        f"{beside}. A feature of {values} values tells at most ln {values} = {np.log(values):.2f} nats "
        f"{bound}, so association cannot rank them; nif.Currents() can.",
        stacklevel=stacklevel,
    )


def _rarest(counts: Int[np.ndarray, " value"]) -> float:
    """Part of the rows that have to have another than the most common value."""
    return RARE_FLAG if len(counts) == 2 else RARE


def warn_of_many_pairs(rows: Rows, terms: int, stacklevel: int) -> None:
    """Warn of inputs whose redundancy takes very many pairs, and name groups that have fewer."""
    inputs = sum(values[0].numel() for values in rows.inputs)
    pairs = sum(math.comb(values[0].numel(), 2) for values in rows.inputs)
    if pairs < MANY_PAIRS or rows.groups is not None:
        return
    *_, height, width = 1, *rows.first.shape[1:]
    side = next(side for side in itertools.count(2) if -(-height // side) * -(-width // side) <= MOST_PATCHES)
    image = len(rows.inputs) == 1 and rows.first.ndim > 2
    groups = f"such as input_groups={side} for patches of {side} x {side}" if image else "an array of numbers"
    warnings.warn(
        f"{pairs:,} of {terms:,} terms are those of the {inputs:,} inputs with each other, which take from "
        f"minutes to hours. Pass input_groups=, {groups}, or nif.Currents(), which has no such terms.",
        stacklevel=stacklevel,
    )


def warn_of_redundancy(layers: Sequence[Layer], links: Sequence[Links], stacklevel: int) -> None:
    """Warn of connections with significant links of which none is above 0."""
    for one in links:
        p_values = one.values("p_value")
        significant = int((p_values < 0.05 / max(1, len(p_values))).sum())
        source, target = layers[one.source].name, layers[one.target].name
        if significant and not (one.values("nats") > 0).any():
            warnings.warn(
                f"None of the links from {source!r} to {target!r} is above 0, though {significant} are "
                f"significant: units of {source!r} tell the same, and "
                "redundancy exceeds relevance. Pass input_groups= to measure features in groups, a smaller "
                "beta, such as nif.Association(beta=0), or nif.Currents().",
                stacklevel=stacklevel,
            )


def warn_of_ids(rows: Rows, network: nn.Module, stacklevel: int) -> None:
    """Warn of token ids, which association takes as numbers."""
    whole = [values for values in rows.inputs if not values.is_floating_point()]
    embeds = any(isinstance(module, EMBEDDINGS) for module in network.modules())
    if embeds and any(len(torch.unique(values)) > 2 for values in whole):
        warnings.warn(
            "The inputs are ids of categories, which association takes as ordered numbers: other numbers for "
            "the same tokens would give other links. nif.Currents() moves between their embeddings instead.",
            stacklevel=stacklevel,
        )
