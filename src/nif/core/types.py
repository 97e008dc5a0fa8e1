"""Layers, the links between two layers, and the axis names of every shape annotation.

====================  =====================================================
``sample``            one row of the data
``pair``              one mutual information to estimate
``source, target``    units of an earlier and of a later layer
``dim_x, dim_y``      components of a vector-valued side of a pair
====================  =====================================================

All information is in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Values = Float[Any, "..."]
"""A number for each pair: a numpy array, or one number of numpy's for a single pair."""

Advance = Callable[[float], None]
"""Called with the number of pairs done since the last call; drives the progress bar."""


def ignore(pairs: float | int) -> None:
    """The `Advance` of a caller that shows no progress."""


@dataclass(frozen=True)
class Layer:
    """The units recorded at one place of a network.

    Attributes:
        name: ``"input"``, ``"output"``, or the dotted name of the module whose output this is.
        kind: Class name of that module, for example ``"ReLU"``; ``"input"`` for the features.
        units: One name for each unit.
        shape: Of the picture that the units are in row-major order, for example ``(1, 28, 28)`` for pixels or
            ``(7, 7)`` for patches of them; empty for units without such an order.
    """

    name: str
    kind: str
    units: tuple[str, ...]
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.units)


@dataclass(frozen=True, eq=False)
class Links:
    """Weights of all links from the units of one layer to those of a later one (eq. 2).

    Attributes:
        source: Index of the earlier layer in the list of layers.
        target: Index of the later layer.
        nats: ``relevance - beta * redundancy`` for each link; may be negative.
        stderr: Standard error of `nats`.
        p_value: Of the relevance, against independence of the two sides.
        relevance: The information term alone, in nats.
        joined: Which units a path joins, such as a channel and the features it is flattened to; None where
            all are. Where none does there is no link: 0 nats, p-value 1, and no test.
    """

    source: int
    target: int
    nats: Float[np.ndarray, "source target"]
    stderr: Float[np.ndarray, "source target"]
    p_value: Float[np.ndarray, "source target"]
    relevance: Float[np.ndarray, "source target"]
    joined: Bool[np.ndarray, "source target"] | None = None

    @property
    def count(self) -> int:
        """How many links there are."""
        return int(self.nats.size if self.joined is None else self.joined.sum())


@dataclass(frozen=True, eq=False)
class SumErrors:
    """Standard errors of sums of links, from the rows of data that all links rest on.

    Attributes:
        by_class: Of each feature's attribution to each class.
        over_classes: Of its sum over all classes.
        shares: Of its share in the attribution of all features to all classes.
        inflow: Of the nats that come into each unit, of all layers in order; None where it is not known.
        outflow: Of those that go out of it.
        into_layers: Of those that come into all units of each layer.
        out_of_layers: Of those that go out of them.
    """

    by_class: Float[np.ndarray, "feature label"]
    over_classes: Float[np.ndarray, " feature"]
    shares: Float[np.ndarray, " feature"]
    inflow: Float[np.ndarray, " unit"] | None = None
    outflow: Float[np.ndarray, " unit"] | None = None
    into_layers: Float[np.ndarray, " layer"] | None = None
    out_of_layers: Float[np.ndarray, " layer"] | None = None


FEWEST_SAMPLES = 50
