"""A test of values that repeat: do two numbers have theirs, such as the 0 of a ReLU, in the same rows?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Column = Float[np.ndarray, " sample"]


def with_test_of_atoms(p_value: float, x: Column, y: Column, generator: np.random.Generator) -> float:
    r"""Combine a p-value with that of the most frequent values, by Tippett's method.

    .. math:: p = 1 - (1 - \min(p, p_{atoms}))^2

    At a level of .05 at most .0506 of independent pairs are rejected, however the two tests depend on each
    other.

    References:
        Tippett (1931), The methods of statistics.
    """
    return float(-np.expm1(2 * np.log1p(-min(p_value, atoms_p_value(x, y, generator), 1 - 1e-16))))


def atoms_p_value(x: Column, y: Column, generator: np.random.Generator) -> float:
    """Fisher's exact test of the rows in which x and y have their most frequent value.

    Randomised among tables that are as likely as that of the data, so that it has exactly its level.

    References:
        Fisher (1922), On the interpretation of chi-squared from contingency tables.

    Example:
        >>> three = np.arange(400.0) >= 397  # positive in the same three rows: 1 in 10,586,800
        >>> bool(atoms_p_value(three * 1.0, three * 2.0, np.random.default_rng(0)) < 1e-7)
        True
    """
    from scipy.stats import hypergeom  # here: a long import, which other estimators do without

    of_x, of_y = (_most_frequent(side) for side in (x, y))
    samples, marked, drawn = len(x), int(of_x.sum()), int(of_y.sum())
    both = np.arange(max(0, marked + drawn - samples), min(marked, drawn) + 1)
    chances = hypergeom(samples, marked, drawn).pmf(both)
    own = chances[int((of_x & of_y).sum()) - both[0]]
    equal = np.isclose(chances, own, rtol=1e-7, atol=0)
    return float(chances[(chances < own) & ~equal].sum() + generator.uniform() * chances[equal].sum())


def _most_frequent(side: Column) -> np.ndarray:
    """The rows that have it."""
    values, counts = np.unique(side, return_counts=True)
    return np.asarray(side == values[counts.argmax()])
