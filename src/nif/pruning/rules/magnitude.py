"""Units with the smallest weights first, for comparison."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nif.pruning.labels import Unit
from nif.pruning.subject import Subject
from nif.pruning.wiring import Wiring


def magnitude(subject: Subject, units: Unit, seed: int) -> Float[np.ndarray, " unit"]:
    """Norm of the weights that make a unit, as a share of the mean norm in its layer.

    References:
        Li et al. (2017), Pruning filters for efficient convnets, https://arxiv.org/abs/1608.08710
    """
    labels, total = subject.wiring.labels, np.zeros(len(units))
    order = np.argsort(units)
    makers = {**subject.wiring.makes, **_silencers(subject.wiring)}
    for name, makes in makers.items():
        made = labels.of(makes)
        weight = subject.model.get_parameter(f"{name}.weight").detach().double()
        norms = weight.reshape(len(weight), -1).norm(dim=1).cpu().numpy()
        share = norms / max(norms.mean(), np.finfo(np.float64).tiny)
        known = np.isin(made, units)
        np.add.at(total, order[np.searchsorted(units[order], made[known])], share[known])
    return total


def _silencers(wiring: Wiring) -> dict[str, Unit]:
    """Units that no Linear or convolution of all channels makes, by the module that gives them."""
    made = {label for units in wiring.makes.values() for label in wiring.labels.of(units).tolist()}
    return {
        name: units
        for name, units in wiring.keeps.items()
        if made.isdisjoint(wiring.labels.of(units).tolist())
    }
