"""Arrays of a flow as tables with names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from nif.core.statistics import benjamini_hochberg
from nif.core.types import Layer, Links, SumErrors
from nif.flow.paths import Path
from nif.flow.significance import Flags

NUMBERS = ("nats", "stderr", "p_value", "relevance")
"""Arrays of `Links`."""

ERRORS = ("by_class", "over_classes", "shares", "inflow", "outflow", "into_layers", "out_of_layers")
"""Arrays of `SumErrors`; the last four may be None."""


def edges(layers: Sequence[Layer], links: Sequence[Links]) -> pd.DataFrame:
    """One row for each link, source by source."""
    table = pd.concat([_edges_between(layers, found) for found in links], ignore_index=True)
    return table.assign(q_value=benjamini_hochberg(table["p_value"].to_numpy()))


def _edges_between(layers: Sequence[Layer], found: Links) -> pd.DataFrame:
    source, target = layers[found.source], layers[found.target]
    table = pd.DataFrame(
        {
            "source_layer": source.name,
            "source_unit": np.repeat(np.array(source.units, dtype=object), len(target)),
            "target_layer": target.name,
            "target_unit": np.tile(np.array(target.units, dtype=object), len(source)),
            "nats": found.nats.ravel(),
            "stderr": found.stderr.ravel(),
            "p_value": found.p_value.ravel(),
        }
    )
    return table if found.joined is None else table[found.joined.ravel()]


def by_feature(
    features: Sequence[int], layers: Sequence[Layer], values: Float[np.ndarray, "feature label"]
) -> pd.DataFrame:
    """Features x classes; with the shape of the picture that the features are, where they are one."""
    table = pd.DataFrame(
        values,
        index=pd.Index([unit for layer in features for unit in layers[layer].units], name="feature"),
        columns=pd.Index(layers[-1].units, name="class"),
    )
    shapes = [layers[layer].shape for layer in features]
    if len(shapes) == 1 and shapes[0]:
        table.attrs["shape"] = shapes[0]
    return table


def unit_index(layers: Sequence[Layer]) -> pd.MultiIndex:
    """(layer, unit) of all units in order."""
    names = [(layer.name, unit) for layer in layers for unit in layer.units]
    return pd.MultiIndex.from_tuples(names, names=["layer", "unit"])


def paths(layers: Sequence[Layer], found: Sequence[Path], whole: float) -> pd.DataFrame:
    """One row for each path, strongest first, with its share of the whole."""
    named = [
        tuple((layers[layer].name, layers[layer].units[unit]) for layer, unit in path.places)
        for path in found
    ]
    products = np.array([path.product for path in found], dtype=np.float64)
    shares = products / whole if len(found) else products
    return pd.DataFrame(
        {
            "product": products,
            "share": shares,
            "path": pd.Series(named, index=range(len(named)), dtype=object),
        }
    ).set_axis(pd.RangeIndex(1, len(found) + 1, name="rank"))


def same_numbers(links: Sequence[Links], others: Sequence[Links], flags: Flags, other_flags: Flags) -> bool:
    """Whether two flows of the same layers hold the same bits."""
    if [(each.source, each.target) for each in links] != [(each.source, each.target) for each in others]:
        return False
    return all(map(np.array_equal, flags, other_flags)) and all(
        np.array_equal(getattr(one, name), getattr(other, name))  # None equals None
        for one, other in zip(links, others, strict=True)
        for name in (*NUMBERS, "joined")
    )


def same_errors(one: SumErrors | None, other: SumErrors | None) -> bool:
    """Whether both have the same bits, or none."""
    if one is None or other is None:
        return one is other
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ERRORS)
