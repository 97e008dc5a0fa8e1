"""Integrated gradients, by captum."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from nif.comparison.extra import needs_extra
from nif.comparison.subject import Subject, some_rows

ROWS_EXPLAINED = 500
STEPS = 50
ROWS_AT_ONCE = 20_000


def integrated_gradients(subject: Subject) -> Float[np.ndarray, " feature"]:
    r"""Mean over samples and outputs of the absolute integrated gradient, from the mean sample.

    Up to 500 samples are explained, in 50 steps each.

    .. math::
        A_i = E_{x, k} \Big| (x_i - \bar x_i) \int_0^1 \partial_i f_k(\bar x + t (x - \bar x)) dt \Big|

    References:
        Sundararajan, Taly & Yan (2017), https://arxiv.org/abs/1703.01365
    """
    with needs_extra("captum"):
        from captum.attr import IntegratedGradients

    method = IntegratedGradients(subject.outputs)
    every = subject.tensor(subject.x)
    mean = every.mean(dim=0, keepdim=True)
    x = every[some_rows(subject, ROWS_EXPLAINED)]
    with torch.no_grad():
        outputs = subject.outputs(mean).shape[1]
    total = sum(
        method.attribute(x, mean, target=k, n_steps=STEPS, internal_batch_size=ROWS_AT_ONCE).abs().mean(dim=0)
        for k in range(outputs)
    )
    return np.asarray(total, dtype=np.float64) / outputs
