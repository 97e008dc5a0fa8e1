r"""From mutual information to the weight of a link: relevance less redundancy (eq. 2).

.. math:: \text{link}(i, k) = \text{relevance}(i, k) - \beta \\, \text{redundancy}(i)

Relevance is the information about the target unit k; redundancy is the information that unit i has in common
with the other units of its own layer, which would be counted more than once.

References:
    Davis et al. (2019), eq. 2 and 3, https://arxiv.org/abs/1901.08557. Relevance of a unit: Battiti (1994),
    MIFS. Beta: Peng et al. (2005), mRMR.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nif.core.types import Links
from nif.estimators.estimate import Estimate


def beta_for(beta: float | None, units: int) -> float:
    """The factor of redundancy in a layer with this number of units; None is ``1 / (units - 1)``.

    Example:
        >>> beta_for(None, 5), beta_for(1.0, 5)
        (0.25, 1.0)
    """
    return 1 / max(1, units - 1) if beta is None else beta


def redundancy_weights(order: str, units: int) -> Float[np.ndarray, "unit other"]:
    """The factor of :math:`I(X_i; X_j)` in the redundancy of unit i.

    Example:
        >>> redundancy_weights("index", 3).tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    if order == "index":
        return np.tril(np.ones((units, units)), k=-1)
    return 0.5 * (1.0 - np.eye(units))


def redundancy(
    within: Estimate, order: str = "average", connected: Bool[np.ndarray, "unit target"] | None = None
) -> Estimate:
    r"""Redundancy of each unit with its own layer, with its standard error; p-values have no meaning here.

    Args:
        within: Mutual information of all pairs of units of the layer, ``[unit, unit]``.
        order: ``"average"`` or ``"index"``; see `nif.Association`.
        connected: Which units feed which target; None where all feed all. Only the inputs of a target are
            redundant for it.

    Returns:
        One value for each unit, ``[unit]``; for each unit and target, ``[unit, target]``, with `connected`.

    Example:
        >>> values = [[9.0, 0.2], [0.2, 9.0]]
        >>> pairs = Estimate.of(values, stderr=0.1, p_value=0, samples=100, estimator="Ksg()")
        >>> redundancy(pairs).nats.tolist()
        [0.1, 0.1]
    """
    weights = redundancy_weights(order, len(within.nats))
    inputs = np.ones(len(weights)) if connected is None else connected.astype(np.float64)
    return Estimate.of(
        (weights * within.nats) @ inputs,
        stderr=np.sqrt((weights * within.stderr) ** 2 @ inputs),
        p_value=1.0,
        samples=within.samples,
        estimator=within.estimator,
    )


def links(
    relevance: Estimate,
    shared: Estimate,
    source: int,
    target: int,
    *,
    beta: float | None = None,
    connected: Bool[np.ndarray, "source target"] | None = None,
) -> Links:
    r"""Weights of the links between two layers (eq. 2) from the two terms.

    The standard error takes the terms as independent. They rest on the same rows, so it is an approximation;
    relevance dominates it.

    Args:
        relevance: Of each link, ``[source, target]``.
        shared: Redundancy of each source unit, ``[source]`` or ``[source, target]``.
        source: Index of the source layer.
        target: Index of the target layer.
        beta: Factor of redundancy; None is that of the number of units that feed each target.
        connected: Which units feed which target; None where all feed all.
    """
    counts = [len(relevance.nats)] if connected is None else connected.sum(axis=0).tolist()
    factor = np.array([beta_for(beta, units) for units in counts])
    shared = shared.map(lambda values: values[:, None]) if connected is None else shared
    return Links(
        source=source,
        target=target,
        nats=relevance.nats - factor * shared.nats,
        stderr=np.hypot(relevance.stderr, factor * shared.stderr),
        p_value=relevance.p_value,
        relevance=relevance.nats,
    )
