"""Attribution by information flow (eq. 4)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.comparison.subject import Subject
from nif.flow import Flow


def information_flow(subject: Subject) -> Float[np.ndarray, " feature"]:
    """Sum over all classes and all paths of the product of the link weights, of the flow given."""
    return over_classes(subject.flow)


def over_classes(flow: Flow) -> Float[np.ndarray, " feature"]:
    """The attribution of each feature to all classes together."""
    return flow.attribution().to_numpy(dtype=np.float64).sum(axis=1)
