"""Attribution by information flow with the decomposition as published in 2019."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float

from nif.comparison.information_flow import over_classes
from nif.comparison.subject import Subject
from nif.decomposition import DAVIS2019
from nif.pipeline import measure


def davis2019(subject: Subject) -> Float[np.ndarray, " feature"]:
    """As `information_flow`, of the published flow the subject came with, or else of one measured here.

    It says little about a deterministic network (see `nif.DAVIS2019`); it is here for the comparison.

    References:
        Davis et al. (2019), https://arxiv.org/abs/1901.08557
    """
    if subject.davis is not None:
        return over_classes(subject.davis)
    with warnings.catch_warnings():
        # The user did not choose this decomposition, so its warning would not be for them.
        warnings.simplefilter("ignore", UserWarning)
        flow = measure(
            subject.model,
            subject.tensor(subject.x),
            decomposition=DAVIS2019,
            noise=subject.flow.measurement.noise,
            seed=subject.seed,
            progress=False,
        )
    return over_classes(flow)
