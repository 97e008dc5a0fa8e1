"""Units through which information passes, units that are silent, and p-values of currents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from nif.core.statistics import benjamini_hochberg, simes
from nif.core.types import Links

LEAST_BY_SERIES = 1e-6
"""p-values down to which ten digits are left of 1 less another number."""

Flags = Sequence[Bool[np.ndarray, " _"]]


def unit_p_values(links: Sequence[Links], constant: Flags) -> Float[np.ndarray, " unit"]:
    """p-value of "no information flows through this unit", for the units of all layers in order.

    Information passes through a hidden unit only if it has both significant inputs and significant outputs:
    the larger of the Simes p-value of its links from earlier layers and that of its links to later ones. An
    input has only the latter, an output only the former. Links of constant units carry nothing, and
    unconnected units have no link: those are not tests. A constant unit gets 1.
    """
    values = []
    for layer, flags in enumerate(constant):
        into = [
            between.incoming(_tests(between, 0, constant[between.source]), np.nan)
            for between in links
            if between.target == layer
        ]
        out = [
            between.outgoing(_tests(between, 1, constant[between.target]), np.nan)
            for between in links
            if between.source == layer
        ]
        sides = [simes(np.concatenate(side)) for side in (into, out) if side]
        both = np.maximum.reduce(sides) if sides else np.ones(len(flags))
        values.append(np.where(flags, 1.0, both))
    return np.concatenate(values)


def _tests(links: Links, end: int, constant: Bool[np.ndarray, " _"]) -> Float[np.ndarray, " link"]:
    """p-values of links; NaN where the unit at one end is constant."""
    if not constant.any():
        return links.values("p_value")
    return np.where(constant[links.units()[end]], np.nan, links.values("p_value"))


def unit_q_values(
    p_values: Float[np.ndarray, " unit"], constant: Bool[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """The same, adjusted for the number of units that are not constant (Benjamini–Hochberg)."""
    adjusted = np.ones(len(p_values))
    adjusted[~constant] = benjamini_hochberg(p_values[~constant])
    return adjusted


def p_values(
    nats: Float[np.ndarray, "..."], stderr: Float[np.ndarray, "..."], degrees: int
) -> Float[np.ndarray, "..."]:
    """Two-sided p-values of a mean of 0, by Student's t; 1 where nothing flows or no error is known.

    Example:
        >>> p_values(np.array([0.0, 0.1, 0.1]), np.array([0.0, 0.0, 0.05]), 9).round(3).tolist()
        [1.0, 0.0, 0.077]
    """
    if degrees < 1:
        return np.ones_like(nats, dtype=np.float64)
    with np.errstate(over="ignore"):
        t = np.divide(np.abs(nats), stderr, out=np.full(np.shape(nats), np.inf), where=stderr > 0)
    p: np.ndarray = np.where(nats == 0, 1.0, _two_sided(t, degrees))
    return p


def _two_sided(t: Float[np.ndarray, "..."], degrees: int) -> Float[np.ndarray, "..."]:
    """Probability of a Student t at least as far from 0, in a fraction of the time that scipy takes.

    The series that ends for whole degrees of freedom (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4); scipy
    where digits would cancel.
    """
    tangent = np.minimum(t, 1e150) / math.sqrt(degrees)
    squared = 1 / (1 + tangent**2)
    cosine, series, odd = np.sqrt(squared), np.ones_like(squared), degrees % 2
    for number in reversed(range(1 + odd, degrees - 2, 2)):
        series = 1 + series * squared * (number / (number + 1))
    inside = tangent * cosine * series
    if odd:
        inside = 2 / math.pi * (np.arctan(tangent) + (inside * cosine if degrees > 1 else 0.0))
    p = np.asarray(1 - inside)
    small = p < LEAST_BY_SERIES
    p[small] = 2 * special.stdtr(degrees, -t[small])
    return p
