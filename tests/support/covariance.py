"""Estimators of a number that is known for any pair of columns; worker processes can import them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nif.core.types import Advance, ignore
from nif.estimators.estimate import Estimate


@dataclass(frozen=True)
class Covariance:
    """Not information, but a number that is defined for any pair of columns and not symmetric."""

    def estimate(self, x: np.ndarray, y: np.ndarray, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        advance(len(x))
        value = (x[..., 0] * y[..., 0]).mean(axis=1)
        return Estimate.of(value, stderr=x[:, 0, 0], p_value=0.5, samples=x.shape[1], estimator=repr(self))


@dataclass(frozen=True)
class CovarianceTable(Covariance):
    """The same with a faster method for all pairs."""

    def pairwise(self, x: np.ndarray, y: np.ndarray, *, seed: int = 0, advance: Advance = ignore) -> Estimate:
        advance(x.shape[1] * y.shape[1])
        value = (x[:, :, None] * y[:, None, :]).mean(axis=0)
        stderr = np.broadcast_to(x[0][:, None], value.shape)
        return Estimate.of(value, stderr=stderr, p_value=0.5, samples=len(x), estimator=repr(self))
