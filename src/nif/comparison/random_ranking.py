"""The baseline every attribution must beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.comparison.subject import Subject


def random_ranking(subject: Subject) -> Float[np.ndarray, " feature"]:
    """Every feature alike; the deletion test breaks ties at random, so each repeat tries another ranking."""
    return np.ones(subject.x.shape[1])
