"""Units in random order, for comparison: a rule must do better than this."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.pruning.labels import Unit
from nif.pruning.subject import Subject


def random(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """A number drawn for each unit; every unit of the network is as likely to go as any other."""
    return np.random.default_rng(seed).random(len(units))
