"""Which units carry information that can be told from chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from nif.core.statistics import benjamini_hochberg, simes_of_columns
from nif.core.types import Links

Flags = Sequence[Bool[np.ndarray, " _"]]


def unit_p_values(links: Sequence[Links], constant: Flags) -> Float[np.ndarray, " unit"]:
    """p-value of "no information flows through this unit", for the units of all layers in order.

    A hidden unit carries something only if it hears something and is heard: the larger of the Simes p-value
    of its links from earlier layers and that of its links to later ones. An input has only the latter, an
    output only the former. Links with constant units tell nothing, and units that no path joins have no link:
    those are not tests. A constant unit gets 1.
    """
    values = []
    for layer, flags in enumerate(constant):
        into = [_tests(found)[~constant[found.source]] for found in links if found.target == layer]
        out = [_tests(found)[:, ~constant[found.target]].T for found in links if found.source == layer]
        sides = [simes_of_columns(np.concatenate(side)) for side in (into, out) if side]
        both = np.maximum.reduce(sides) if sides else np.ones(len(flags))
        values.append(np.where(flags, 1.0, both))
    return np.concatenate(values)


def _tests(found: Links) -> Float[np.ndarray, "source target"]:
    """p-values of links; NaN where there is none."""
    return found.p_value if found.joined is None else np.where(found.joined, found.p_value, np.nan)


def unit_q_values(
    p_values: Float[np.ndarray, " unit"], constant: Bool[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """The same, adjusted for the number of units that are not constant (Benjamini–Hochberg)."""
    adjusted = np.ones(len(p_values))
    adjusted[~constant] = benjamini_hochberg(p_values[~constant])
    return adjusted


def silent_units(links: Sequence[Links], constant: Flags, alpha: float = 0.05) -> Bool[np.ndarray, " unit"]:
    """Units that are constant, or whose information can not be told from none (level `alpha`)."""
    flags = np.concatenate(constant)
    return flags | (unit_q_values(unit_p_values(links, constant), flags) >= alpha)
