"""Units with the least information through them first (the flow itself as a rule)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.pruning.labels import Unit
from nif.pruning.rules.rule import of_units
from nif.pruning.subject import Subject


def throughput(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """Throughput of each unit in the flow, as a share of its layer's mean.

    Layers of different width carry different amounts; without the share a wide layer would go first.
    """
    table = subject.flow.neurons()["throughput"]
    scores = {}
    for layer in subject.hidden:
        values = table.loc[layer].to_numpy(dtype=np.float64)
        scores[layer] = values / max(float(np.abs(values).mean()), np.finfo(np.float64).tiny)
    return of_units(subject, units, scores)
