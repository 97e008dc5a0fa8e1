"""Pairs with a constant side: nothing to estimate, exactly 0 nats."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped

from nif.contracts import Estimate, Outcome


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
