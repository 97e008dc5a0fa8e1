"""What units tell of the decision, by hand, beside a flow of currents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nif.core.types import Layer
from nif.flow.flow import Flow
from nif.flow.known_and_used import DECISION
from support.flows import CURRENTS, flow_of, links_of


def known_flow(currents: Flow, known: Sequence[float], stderr: float = 0.01) -> Flow:
    """A flow like that of `nif.DecisionInformation`, of the units of a flow of currents."""
    sizes = [len(layer) for layer in currents.layers]
    parts = np.split(np.array(known), np.cumsum(sizes)[:-1])
    links = [links_of(part[:, None], layer, len(sizes), stderr=stderr) for layer, part in enumerate(parts)]
    flow = flow_of(links, [*sizes, 1])
    layers = (*currents.layers, Layer(DECISION, "decision", (DECISION,)))
    return replace(flow, layers=layers, measurement=CURRENTS)
