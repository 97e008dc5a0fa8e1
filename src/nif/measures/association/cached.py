"""Cache of pairwise estimates for unchanged arrays, such as the inputs of a watched network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from nif.core.types import Advance, ignore
from nif.estimators.estimate import ColumnsX, ColumnsY, Estimate, Estimator, PairwiseEstimator, SidesX, SidesY


def cached(estimator: Estimator) -> Estimator:
    """The estimator with a cache, if it is a `PairwiseEstimator`."""
    return CachedEstimator(estimator, estimator) if isinstance(estimator, PairwiseEstimator) else estimator


@dataclass(eq=False)
class CachedEstimator:
    """Returns the same bits as its estimator; arrays that come a third time cost nothing.

    Training changes every layer but the inputs, so only results that came twice are kept: those of the inputs
    among themselves, which are most of the terms of a network with many inputs.

    Attributes:
        estimator: Does the work.
        pairs: The same, as a pairwise estimator.
        seen: Digests of the arrays that came.
        kept: Results for arrays that came twice.
    """

    estimator: Estimator
    pairs: PairwiseEstimator
    seen: set[bytes] = field(default_factory=set)
    kept: dict[bytes, Estimate] = field(default_factory=dict)

    def estimate(self, x: SidesX, y: SidesY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """See the estimator."""
        return self.estimator.estimate(x, y, seed=seed, advance=advance)

    def pairwise(self, x: ColumnsX, y: ColumnsY, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        """See the estimator; kept results for the same arrays."""
        digest = _digest(x, y, seed)
        if digest in self.kept:
            estimate = self.kept[digest]
            advance(estimate.nats.size)
            return estimate
        estimate = self.pairs.pairwise(x, y, seed=seed, advance=advance)
        if digest in self.seen:
            self.kept[digest] = estimate
        self.seen.add(digest)
        return estimate

    def __repr__(self) -> str:
        return repr(self.estimator)


def _digest(x: np.ndarray, y: np.ndarray, seed: int) -> bytes:
    """Of two arrays, or of one passed twice, which an estimator may treat differently from two equal ones."""
    whole = hashlib.blake2b(repr((x.shape, x.dtype, y.shape, y.dtype, seed, y is x)).encode())
    for side in (x,) if y is x else (x, y):
        whole.update(np.ascontiguousarray(side).tobytes())
    return whole.digest()
