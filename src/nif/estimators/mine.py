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
    samples that its critic never saw, plus half of what the critic wins on its own samples: what it lost by
    learning from few (`nif.estimators.cross_fitting`). Independent data give 0 on average.

    The value is a lower bound that gets close when the critic does. Beyond about ln(samples) nats no
    estimator of this kind can be right (McAllester & Stratos, 2020). The options are those of `Variational`.

    On the CPU, with one number on each side and `hidden` a multiple of 32, critics are trained by compiled
    code (`nif.fused`), and the product distribution is summed over a grid and not sampled: `shifts` and
    `scored_shifts` then play no part. Everything else runs in PyTorch.

    References:
        Belghazi et al. (2018), MINE, https://arxiv.org/abs/1801.04062

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((2, 1, 500, 1))
        >>> estimate = Mine().estimate(x[0], 0.9 * x[0] + 0.4 * x[1])  # the truth is 0.90
        >>> bool(abs(estimate.nats[0] - 0.9) < 0.1)
        True
    """

    hidden: int = 32
    steps: int = 600
    learning_rate: float = 3e-2

    @property
    def bound(self) -> bounds.Bound:
        return bounds.MINE
