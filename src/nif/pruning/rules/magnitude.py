"""Units with the smallest weights first, for comparison."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.pruning.capture import weighted
from nif.pruning.labels import Unit
from nif.pruning.subject import Subject


def magnitude(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """Norm of the weights that make a unit, as a share of the mean norm in its layer.

    References:
        Li et al. (2017), Pruning filters for efficient convnets, https://arxiv.org/abs/1608.08710
    """
    labels, total = subject.wiring.labels, np.zeros(len(units))
    order = np.argsort(units)
    for name, makes in subject.wiring.makes.items():
        made = labels.of(makes)
        weight = weighted(subject.model, name).weight.detach().double().flatten(1)
        norms = weight.norm(dim=1).cpu().numpy()
        share = norms / max(norms.mean(), np.finfo(np.float64).tiny)
        known = np.isin(made, units)
        np.add.at(total, order[np.searchsorted(units[order], made[known])], share[known])
    return total
