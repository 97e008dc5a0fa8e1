"""Information between a feature and the label: no network is asked."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.comparison.subject import Subject
from nif.contracts import AllPairs


def raw_mi(subject: Subject) -> Float[np.ndarray, " feature"]:
    r"""Mutual information of each feature and the label, in nats; an estimate below 0 counts as 0.

    .. math:: A_i = \max\{0, \hat I(X_i; Y)\}
    """
    label = subject.y[:, None].astype(np.float64)
    if isinstance(subject.estimator, AllPairs):
        nats = subject.estimator.pairwise(subject.x, label, seed=subject.seed).nats[:, 0]
    else:
        x = subject.x.T[:, :, None]
        y = np.broadcast_to(label, x.shape).copy()
        nats = subject.estimator.estimate(x, y, seed=subject.seed).nats
    return np.maximum(nats, 0.0)
