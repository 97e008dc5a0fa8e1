"""From mutual information to the weight of a link: relevance less redundancy (eq. 2).

.. math:: \text{link}(i, k) = \text{relevance}(i, k) - \beta \\, \text{redundancy}(i)

Relevance is what the target unit k knows of the source layer; redundancy is what unit i shares with the other
units of its own layer, and so would be counted more than once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float

from nif.core.errors import InputError
from nif.core.types import Links
from nif.estimators.estimate import Estimate

CHOICES = {
    "relevance": ("unit", "layer"),
    "order": ("average", "index"),
    "critic": ("separate", "shared", "joint"),
}


@dataclass(frozen=True)
class Decomposition:
    r"""Which information makes the weight of a link.

    Args:
        beta: Multiplies the redundancy. None is ``1 / (n - 1)`` for a layer of n units, which keeps layers of
            any width comparable (mRMR).
        relevance: ``"unit"`` is :math:`I(X_i; Q_k)`. ``"layer"`` is :math:`I(X; Q_k)` of the whole layer, the
            same for every i: as published. It misleads in two ways: links of one target then differ by
            redundancy alone, so features are told apart by how little they share and not by what they say;
            and in a network without noise it is infinite for continuous inputs, so it needs ``noise > 0``.
        order: ``"average"`` is the mean over all orders of the units,
            :math:`\tfrac12 \sum_{j \ne i} I(X_i; X_j)`. ``"index"`` is :math:`\sum_{j < i} I(X_i; X_j)`: as
            published. It misleads where units have no natural order: the first unit never pays, the last
            pays for all, and renumbering the features changes the result.
        critic: ``"separate"``: every term has its own best critic; the only choice in which each term is the
            mutual information it is named after. ``"shared"``: one critic for the relevance and all
            redundancies of a link, trained to tighten every bound; each bound is valid and weaker.
            ``"joint"``: eq. 3 as printed, ascent on relevance less redundancy. It pushes the redundancy
            bounds below what any information can be, so its critic is bounded, and the result says how far
            the critic could be pushed rather than how much is shared. For study.

    References:
        Davis et al. (2019), eq. 2 and 3, https://arxiv.org/abs/1901.08557. Relevance of a unit: Battiti
        (1994), MIFS. Beta: Peng et al. (2005), mRMR.

    Example:
        >>> Decomposition().weight(5)
        0.25
    """

    beta: float | None = None
    relevance: str = "unit"
    order: str = "average"
    critic: str = "separate"

    def __post_init__(self) -> None:
        for option, known in CHOICES.items():
            given = getattr(self, option)
            if given not in known:
                raise InputError(f"{option} is {given!r}; expected {' or '.join(map(repr, known))}.")
        if self.beta is not None and not (np.isfinite(self.beta) and self.beta >= 0):
            raise InputError(
                f"beta is {self.beta}; expected a number from 0 up, or None for 1 / (units - 1)."
            )

    def weight(self, units: int) -> float:
        """Beta for a layer of this many units."""
        return 1 / max(1, units - 1) if self.beta is None else self.beta

    def shares(self, units: int) -> Float[np.ndarray, "unit other"]:
        """How much of :math:`I(X_i; X_j)` counts as redundancy of unit i.

        Example:
            >>> Decomposition(order="index").shares(3).tolist()
            [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
        """
        if self.order == "index":
            return np.tril(np.ones((units, units)), k=-1)
        return 0.5 * (1.0 - np.eye(units))

    def as_dict(self) -> dict[str, object]:
        """The options by name, as they are stored with a flow."""
        return asdict(self)


DAVIS2019 = Decomposition(beta=1.0, relevance="layer", order="index", critic="joint")
"""The decomposition as published, for reproduction; `Decomposition` says what each of its choices does."""


def redundancy(
    decomposition: Decomposition, within: Estimate, joined: Bool[np.ndarray, "unit target"] | None = None
) -> Estimate:
    r"""What each unit shares with its own layer, with its standard error; p-values have no meaning here.

    Args:
        decomposition: Gives the order.
        within: Mutual information of all pairs of units of the layer, ``[unit, unit]``.
        joined: Which units feed which target; None where all feed all. What a target does not hear is not
            redundant for it.

    Returns:
        One value for each unit, ``[unit]``; for each unit and target, ``[unit, target]``, with `joined`.

    Example:
        >>> values = [[9.0, 0.2], [0.2, 9.0]]
        >>> pairs = Estimate.of(values, stderr=0.1, p_value=0, samples=100, estimator="Ksg()")
        >>> redundancy(Decomposition(), pairs).nats.tolist()
        [0.1, 0.1]
    """
    shares = decomposition.shares(len(within.nats))
    heard = np.ones(len(shares)) if joined is None else joined.astype(np.float64)
    return Estimate.of(
        (shares * within.nats) @ heard,
        stderr=np.sqrt((shares * within.stderr) ** 2 @ heard),
        p_value=1.0,
        samples=within.samples,
        estimator=within.estimator,
    )


def links(
    decomposition: Decomposition,
    relevance: Estimate,
    shared: Estimate,
    source: int,
    target: int,
    joined: Bool[np.ndarray, "source target"] | None = None,
) -> Links:
    r"""Weights of the links between two layers (eq. 2) from the two terms.

    The standard error takes the terms as independent. They rest on the same rows, so it is an approximation;
    relevance dominates it.

    Args:
        decomposition: Gives beta.
        relevance: Of each link, ``[source, target]``.
        shared: Redundancy of each source unit, ``[source]`` or ``[source, target]``.
        source: Index of the source layer.
        target: Index of the target layer.
        joined: Which units feed which target; beta is that of as many units as the target hears.
    """
    heard = [len(relevance.nats)] if joined is None else joined.sum(axis=0).tolist()
    beta = np.array([decomposition.weight(units) for units in heard])
    shared = shared.map(lambda values: values[:, None]) if joined is None else shared
    return Links(
        source=source,
        target=target,
        nats=relevance.nats - beta * shared.nats,
        stderr=np.hypot(relevance.stderr, beta * shared.stderr),
        p_value=relevance.p_value,
        relevance=relevance.nats,
    )
