"""What units know of the decision, and what it uses of them; as points of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nif.flow.known_and_used import IGNORED, SYNERGY, known_and_used

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_POINTS = 3_000
"""Units that are shown: of more, all outliers and then those with the most nats."""


def known_content(association: Flow, currents: Flow) -> dict[str, Any]:
    """Numbers of units, their nats known and used with errors, and which are outliers.

    Args:
        association: Of `nif.DecisionInformation`.
        currents: Of the same network and data.

    Raises:
        InputError: See `nif.known_and_used`.

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> x, net = torch.randn(60, 2), torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Sigmoid())
        >>> known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
        >>> found = known_content(known, nif.measure(net, x, progress=False))
        >>> len(found["unit"]), found["of"], sorted(found["outliers"])
        (2, 2, ['ignored', 'synergy'])
    """
    table = known_and_used(association, currents)
    outlier = table["outlier"].to_numpy()
    size = np.maximum(table["known"].to_numpy(), table["used"].abs().to_numpy())
    order = np.lexsort((-size, outlier == ""))[:MOST_POINTS]
    columns = ("known", "known_stderr", "used", "used_stderr", "absolute")
    return {
        "of": len(table),
        "unit": order.tolist(),
        **{name: table[name].to_numpy()[order].round(6).tolist() for name in columns},
        "outliers": {name: np.flatnonzero(outlier[order] == name).tolist() for name in (IGNORED, SYNERGY)},
    }
