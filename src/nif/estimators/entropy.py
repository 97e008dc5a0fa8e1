"""Entropy of the values that were seen: no information exceeds it, whatever an estimator finds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped

from nif.estimators.estimate import Estimate, Outcome


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


def constant_pairs(
    x: Float[np.ndarray, "pair sample dim_x"], y: Float[np.ndarray, "pair sample dim_y"]
) -> Bool[np.ndarray, " pair"]:
    """Pairs of which a side has one value on all samples.

    Example:
        >>> varied, same = np.arange(3.0).reshape(1, 3, 1), np.ones((1, 3, 1))
        >>> constant_pairs(varied, same).tolist()
        [True]
    """
    return _constant(x) | _constant(y)


def fill(
    degenerate: Bool[np.ndarray, " pair"],
    nats: Float[np.ndarray, " estimated"],
    stderr: Float[np.ndarray, " estimated"],
    p_value: Float[np.ndarray, " estimated"],
    outcome: Shaped[np.ndarray, " estimated"],
    *,
    samples: int,
    estimator: str,
) -> Estimate:
    """The estimates of the other pairs, with 0 nats, p-value 1 and `Outcome.DEGENERATE` put between.

    Example:
        >>> one = np.array([0.3])
        >>> fill(np.array([True, False]), one, one, one, one * 0, samples=50, estimator="Ksg()").nats.tolist()
        [0.0, 0.3]
    """

    def with_gaps(values: np.ndarray, gap: float) -> np.ndarray:
        filled = np.full(len(degenerate), gap)
        filled[~degenerate] = values
        return filled

    return Estimate.of(
        with_gaps(nats, 0.0),
        stderr=with_gaps(stderr, 0.0),
        p_value=with_gaps(p_value, 1.0),
        outcome=with_gaps(outcome, float(Outcome.DEGENERATE)),
        samples=samples,
        estimator=estimator,
    )


def _constant(values: Float[np.ndarray, "pair sample dim"]) -> Bool[np.ndarray, " pair"]:
    return (np.ptp(values, axis=1) == 0).all(axis=-1)


def entropy(column: Float[np.ndarray, " sample"]) -> tuple[float, float]:
    r"""Entropy of the values of a column as they were seen, in nats, and its standard error.

    .. math:: \hat H = -\sum_v \hat p_v \log \hat p_v

    It is ln(samples) when all values differ: the most that so many samples can show. The information that a
    continuous column has of itself is infinite.

    Example:
        >>> round(entropy(np.array([0.0, 1.0] * 30))[0], 4)
        0.6931
    """
    _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
    surprise = -np.log(counts / len(column))[inverse]
    return float(surprise.mean()), float(surprise.std() / np.sqrt(len(column)))


def set_entropy(square: Estimate, x: Float[np.ndarray, "sample a"]) -> None:
    """Write the entropy of each column into the diagonal."""
    own = np.array([entropy(column) for column in x.T]).reshape(-1, 2)
    constant = np.ptp(x, axis=0) == 0
    np.fill_diagonal(square.nats, own[:, 0])
    np.fill_diagonal(square.stderr, own[:, 1])
    np.fill_diagonal(square.p_value, np.where(constant, 1.0, 0.0))
    np.fill_diagonal(square.outcome, np.where(constant, Outcome.DEGENERATE, Outcome.CONVERGED))
