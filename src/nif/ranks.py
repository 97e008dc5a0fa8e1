"""Ranks: what mutual information keeps of a column, whatever its scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import rankdata


def normal_scores(columns: Float[np.ndarray, "sample column"]) -> Float[np.ndarray, "sample column"]:
    r"""Each column mapped to a normal distribution by its ranks; mutual information does not change.

    .. math:: z = \Phi^{-1}\left(\frac{r - 1/2}{n}\right)

    Equal values get their mean rank, so that an atom stays an atom.

    References:
        van der Waerden (1952), Order tests for the two-sample problem and their power.

    Example:
        >>> normal_scores(np.array([[10.0], [20.0], [1e9]])).round(3).tolist()
        [[-0.967], [0.0], [0.967]]
    """
    ranks = rankdata(columns, axis=0)
    return ndtri((ranks - 0.5) / len(columns))
