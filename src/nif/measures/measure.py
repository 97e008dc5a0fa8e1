"""The contract of a measure, and its result: what every link of a network weighs in nats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from nif.core.types import Advance, CurrentTables, Layer, Links, SumErrors
from nif.data.rows import Rows
from nif.estimators.pairs import Resources
from nif.network.network import Network


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a measure.

    Attributes:
        layers: In order of execution, from the inputs to the output.
        links: Weights between the units of connected layers.
        constant: For each layer, whether each unit has one value on all the data.
        errors: Standard errors of sums of links, from the rows that they all rest on; None if unknown.
        currents: Of units and features, which sum to a total; None if the links of the measure do not.
        samples: Number of samples that the links rest on.
        not_converged: Number of terms whose optimisation ran out of steps.
        options: The options of the measure and what was chosen for them, by name. Stored with the flow.
    """

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    constant: tuple[Bool[np.ndarray, " _"], ...]
    errors: SumErrors | None
    currents: CurrentTables | None
    samples: int
    not_converged: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Measure(Protocol):
    """A way to weigh every link in nats: a frozen dataclass of options, whose repr states them."""

    @property
    def rows_read(self) -> int | None:
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
