"""Entropy of the values that were seen: no information exceeds it, whatever an estimator finds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def entropy_of_values(side: Float[np.ndarray, "sample _"]) -> float:
    r"""Entropy in nats of the distinct rows, at most :math:`\ln N`; exactly 0 where all are equal.

    Example:
        >>> round(entropy_of_values(np.array([[0.0], [1.0], [1.0], [0.0]])), 4)
        0.6931
    """
    values = side[:, 0] if side.shape[1] == 1 else side
    counts = np.unique(values, axis=0, return_counts=True)[1]
    if len(counts) == 1:
        return 0.0
    return float(-(counts * np.log(counts / len(side))).sum() / len(side))


def entropies_of_values(columns: Float[np.ndarray, "sample column"]) -> Float[np.ndarray, " column"]:
    """The same for each column."""
    return np.array([entropy_of_values(column[:, None]) for column in columns.T])
