"""An estimator that does not estimate again what has not changed, such as the inputs of a watched network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from nif.core.types import Advance, ignore
from nif.estimators.estimate import Estimate, Estimator, PairwiseEstimator


def remembering(estimator: Estimator) -> Estimator:
    """The estimator with a memory, if it has a way of its own for all pairs of columns.

    Example:
        >>> from nif.estimators.binned.estimator import Binned
        >>> remembering(Binned())
        Binned()
    """
    return Remembered(estimator, estimator) if isinstance(estimator, PairwiseEstimator) else estimator


@dataclass(eq=False)
class Remembered:
    """Gives the same bits as its estimator; arrays that come a third time cost nothing.

    A training run moves every layer but the inputs, so only what has come twice is kept: the results of the
    inputs among themselves, which are most of the terms of a network with many inputs.

    Attributes:
        estimator: Does the work.
        pairs: The same, in its role for all pairs.
        met: What has been seen, as digests.
        kept: Results of what has been seen twice.
    """

    estimator: Estimator
    pairs: PairwiseEstimator
    met: set[bytes] = field(default_factory=set)
    kept: dict[bytes, Estimate] = field(default_factory=dict)

    def estimate(
        self,
        x: Float[np.ndarray, "pair sample dim_x"],
        y: Float[np.ndarray, "pair sample dim_y"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """As the estimator does it."""
        return self.estimator.estimate(x, y, seed=seed, advance=advance)

    def pairwise(
        self,
        x: Float[np.ndarray, "sample a"],
        y: Float[np.ndarray, "sample b"],
        *,
        seed: int = 0,
        advance: Advance = ignore,
    ) -> Estimate:
        """As the estimator does it, or did it for the same arrays."""
        digest = _digest(x, y, seed)
        if digest in self.kept:
            found = self.kept[digest]
            advance(found.nats.size)
            return found
        found = self.pairs.pairwise(x, y, seed=seed, advance=advance)
        if digest in self.met:
            self.kept[digest] = found
        self.met.add(digest)
        return found

    def __repr__(self) -> str:
        return repr(self.estimator)


def _digest(x: np.ndarray, y: np.ndarray, seed: int) -> bytes:
    """Of two arrays that may be the same one, which an estimator can treat otherwise than two alike."""
    whole = hashlib.blake2b(repr((x.shape, x.dtype, y.shape, y.dtype, seed, y is x)).encode())
    for side in (x,) if y is x else (x, y):
        whole.update(np.ascontiguousarray(side).tobytes())
    return whole.digest()
