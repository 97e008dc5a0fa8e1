"""The contract of a measure, and its result: what every link of a network weighs in nats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from nif.core.types import Advance, Layer, Links, SumErrors
from nif.data.rows import Rows
from nif.estimators.pairs import Resources
from nif.network.network import Network


class Composition(Enum):
    """How the links of a path combine.

    Attributes:
        PRODUCT: The weight of a path is the product of its links (eq. 4).
        SHARE: The weight of a path is its first link times the share of each further link in the outflow of
            its unit. The weights of all paths then sum to the total.
    """

    PRODUCT = "product"
    SHARE = "share"


@dataclass(frozen=True)
class Total:
    """Nats of information that reach the decision of the network, with their standard error."""

    nats: float
    stderr: float


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a measure.

    Attributes:
        layers: In order of execution, from the inputs to the output.
        links: Weights between the units of connected layers.
        constant: For each layer, whether each unit has one value on all the data.
        errors: Standard errors of sums of links, from the rows that they all rest on; None if unknown.
        total: Nats into the decision; None if links do not add up to it.
        composition: How the links of a path combine.
        samples: Number of samples that the links rest on.
        not_converged: Number of terms whose optimisation ran out of steps.
        options: The options of the measure and what was chosen for them, by name. Stored with the flow.
    """

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    constant: tuple[Bool[np.ndarray, " _"], ...]
    errors: SumErrors | None
    total: Total | None
    composition: Composition
    samples: int
    not_converged: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Measure(Protocol):
    """A way to weigh every link in nats: a frozen dataclass of options, whose repr states them."""

    @property
    def rows(self) -> int | None:
        """Number of rows to draw from data that have more; None for all."""
        ...

    def work(self, network: Network, rows: Rows) -> float:
        """Number of steps that `measure` reports to `advance`."""
        ...

    def measure(
        self, network: Network, rows: Rows, *, seed: int, resources: Resources, advance: Advance
    ) -> Measured:
        """Weigh every link.

        Args:
            network: The trained network; it is left as it was.
            rows: Data on the scale that it was trained on.
            seed: Random seed: the same seed on the same machine returns the same bits.
            resources: Memory and processes that may be used.
            advance: Called with the number of steps done since the last call.

        Raises:
            InputError: The network, the rows and the options do not fit together.
        """
        ...
