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


def standard_scores(columns: Float[np.ndarray, "sample column"]) -> Float[np.ndarray, "sample column"]:
    """The same with mean 0 and variance 1, whatever the ties; constant columns 0."""
    scores = normal_scores(columns)
    scores = scores - scores.mean(axis=0)
    deviation = scores.std(axis=0)
    return scores / np.where(deviation > 0, deviation, 1.0)


def lost_to_ranks(
    rho: Float[np.ndarray, "*shape"], rows: int, untied: Float[np.ndarray, "*shape"] | float = 1.0
) -> Float[np.ndarray, "*shape"]:
    r"""Nats by which the information of a correlation of normal scores is too low on average.

    A rank tells where a value stands among others, and not where it is. Like any noise in either column this
    weakens a correlation; here the angle between the columns, whose cosine it is, grows by

    .. math:: \frac{|\rho|}{2 - \rho^2} \, \frac{0.4 + 0.41 \log N}{N}.

    The form is fitted to normal pairs of 50 to 10,000 rows with correlations of .1 to .999. It is little
    beside the standard error of one value (a tenth at .7 and N = 500, half at .97), but all links of a
    network have it.

    Args:
        rho: Of the normal scores.
        rows: Among which a value is ranked.
        untied: Share of them that ranks tell apart; values that are the same are ranked without noise.

    Example:
        >>> lost_to_ranks(np.array([0.0, 0.7, 0.97]), rows=500).round(4).tolist()
        [0.0, 0.0027, 0.0218]
    """
    angle = np.arccos(np.abs(rho))
    grown = np.abs(rho) / (2 - rho**2) * (0.4 + 0.41 * np.log(rows)) / rows * untied
    # No less than is left between columns that are as good as the same.
    return np.log(np.sin(angle) / np.sin(np.maximum(angle - grown, np.minimum(angle, 1e-6))))
