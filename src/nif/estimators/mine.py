"""MINE: mutual information neural estimation."""

from __future__ import annotations

from dataclasses import dataclass

from nif import bounds
from nif.estimators.variational import Variational


@dataclass(frozen=True, repr=False)
class Mine(Variational):
    r"""Mutual information neural estimation, cross-fitted.

    .. math:: I(X; Y) \ge \sup_\theta E_{p(x, y)}[T_\theta] - \log E_{p(x) p(y)}[e^{T_\theta}]

    The mini-batch gradient of the log term is corrected by a moving average. Each value is computed on
    samples that its critic never saw, so independent data give 0 on average, not the optimism of training.

    The value is a lower bound that gets close when the critic does. Beyond about ln(samples) nats no
    estimator of this kind can be right (McAllester & Stratos, 2020). The options are those of `Variational`.

    References:
        Belghazi et al. (2018), MINE, https://arxiv.org/abs/1801.04062
    """

    @property
    def bound(self) -> bounds.Bound:
        return bounds.MINE
