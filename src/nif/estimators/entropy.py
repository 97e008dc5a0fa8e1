"""Entropy of the observed values, the upper limit of any information, and pairs with a constant side."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from nif.estimators.estimate import ColumnsX, Estimate, Outcome, SidesX, SidesY


def entropy_of_values(side: Float[np.ndarray, "sample _"]) -> float:
    r"""Entropy in nats of the distinct rows, at most :math:`\ln N`; exactly 0 where all are equal.

    Example:
        >>> round(entropy_of_values(np.array([[0.0], [1.0], [1.0], [0.0]])), 4)
        0.6931
    """
    values = side[:, 0] if side.shape[1] == 1 else side
    counts = np.unique(values, axis=0, return_counts=True)[1]
    # `scipy.stats.entropy` divides by the sum before it takes logarithms: other last digits.
    if len(counts) == 1:
        return 0.0
    return float(-(counts * np.log(counts / len(side))).sum() / len(side))


def entropies_of_values(columns: Float[np.ndarray, "sample column"]) -> Float[np.ndarray, " column"]:
    """The same for each column."""
    return np.array([entropy_of_values(column[:, None]) for column in columns.T])


def entropy_and_stderr(column: Float[np.ndarray, " sample"]) -> tuple[float, float]:
    r"""Entropy of the observed values of a column, in nats, and its standard error.

    .. math:: \hat H = -\sum_v \hat p_v \log \hat p_v

    It is ln(samples) if all values differ. The information that a continuous column has about itself is
    infinite; this is the most that a finite sample can show.

    Example:
        >>> round(entropy_and_stderr(np.array([0.0, 1.0] * 30))[0], 4)
        0.6931
    """
    surprise = surprise_of(np.unique(column, return_inverse=True)[1])
    return float(surprise.mean()), float(surprise.std() / np.sqrt(len(column)))


def surprise_of(codes: Int[np.ndarray, " sample"]) -> Float[np.ndarray, " sample"]:
    """Of each sample, in nats, from the number of its value; the mean is the entropy.

    Example:
        >>> surprise_of(np.array([0, 1, 1, 0])).round(4).tolist()
        [0.6931, 0.6931, 0.6931, 0.6931]
    """
    return -np.log(np.bincount(codes) / len(codes))[codes]


def set_entropy(square: Estimate, x: ColumnsX) -> None:
    """Write the entropy of each column into the diagonal."""
    nats, stderr = np.array([entropy_and_stderr(column) for column in x.T]).reshape(-1, 2).T
    constant = np.ptp(x, axis=0) == 0
    np.fill_diagonal(square.nats, nats)
    np.fill_diagonal(square.stderr, stderr)
    np.fill_diagonal(square.p_value, np.where(constant, 1.0, 0.0))
    np.fill_diagonal(square.outcome, np.where(constant, Outcome.DEGENERATE, Outcome.CONVERGED))


def constant_pairs(x: SidesX, y: SidesY) -> Bool[np.ndarray, " pair"]:
    """Pairs with a side that has one value on all samples."""
    of_x, of_y = ((np.ptp(side, axis=1) == 0).all(axis=-1) for side in (x, y))
    return of_x | of_y


def with_constant_pairs(
    degenerate: Bool[np.ndarray, "*pairs"],
    nats: Float[np.ndarray, " estimated"],
    stderr: Float[np.ndarray, " estimated"],
    p_value: Float[np.ndarray, " estimated"],
    outcome: Shaped[np.ndarray, " estimated"] | Outcome = Outcome.CONVERGED,
    *,
    samples: int,
    estimator: object,
) -> Estimate:
    """Estimates of the other pairs, and 0 nats, p-value 1 and `Outcome.DEGENERATE` for the constant ones."""
    filled = [np.full(degenerate.shape, value) for value in (0.0, 0.0, 1.0, float(Outcome.DEGENERATE))]
    for array, values in zip(filled, (nats, stderr, p_value, outcome), strict=True):
        array[~degenerate] = values
    known, error, p, ended = filled
    return Estimate.of(
        known, stderr=error, p_value=p, outcome=ended, samples=samples, estimator=str(estimator)
    )
