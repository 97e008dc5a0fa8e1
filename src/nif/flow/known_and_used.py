"""What units tell of the decision beside what the decision uses of them, and where the two part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import stdtr

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.statistics import benjamini_hochberg
from nif.core.types import CurrentTables
from nif.flow.tables import unit_index

if TYPE_CHECKING:
    from nif.flow.flow import Flow

DECISION = "the decision"
"""Name of the last layer of a flow of `nif.DecisionInformation`."""

LITTLE = 0.25
"""Fraction of its part of the total below which a unit is used little."""

IGNORED, SYNERGY = "ignored", "synergy"


@checked_arguments()
def known_and_used(association: Flow, currents: Flow, *, alpha: float = 0.05) -> pd.DataFrame:
    r"""What each unit tells of the decision, what of it the decision uses, and which units are outliers.

    What a unit *knows* is the mutual information :math:`K = I(H; Y)` of the unit alone and the decision. What
    is *used* is its current C, which together with those of its layer is the total :math:`T = I(X; Y)`. Both
    are in nats about the same decision. Two kinds of outliers are named:

    - ``"ignored"``: much known, little used. If the decision used all units of a layer in proportion to what
      they know, the unit would carry :math:`T K / \sum K`; its mean absolute current is below a quarter
      of this. An unused copy of a feature is an example.
    - ``"synergy"``: used beyond what is known, :math:`|C| > K`. The unit counts together with others only.
      The inputs of an exclusive-or are an example, and features that suppress the noise of others.

    Each is a one-sided test of the difference, by Student's t with the degrees of freedom of the currents and
    the errors of both measures, taken as independent (they rest on the same rows, so they tend to rise
    together and the test is rather careful), at a false discovery rate of `alpha` over all units
    (Benjamini-Hochberg).

    Args:
        association: A flow of `nif.DecisionInformation`.
        currents: A flow of `nif.Currents`, of the same network and data.
        alpha: Expected fraction of wrong names among the outliers of either kind.

    Returns:
        By (layer, unit), of all layers before the output: ``known``, ``known_stderr``, ``used`` (signed),
        ``used_stderr``, ``absolute``, the q-values ``q_ignored`` and ``q_synergy``, and ``outlier``:
        ``"ignored"``, ``"synergy"`` or ``""``.

    Raises:
        InputError: The flows are not of these measures, or not of the same units and decision.

    References:
        Synergy: Williams & Beer (2010), Nonnegative decomposition of multivariate information,
        https://arxiv.org/abs/1004.2515

    Example:
        >>> import nif, torch
        >>> _ = torch.manual_seed(0)
        >>> first = torch.randn(600, 1)
        >>> x = torch.cat([first, first + 0.1 * torch.randn(600, 1)], dim=1)  # a feature and a noisy copy
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Sigmoid())
        >>> net[0].weight.data = torch.tensor([[5.0, 0.0]])  # which the network does not use
        >>> known = nif.measure(net, x, nif.DecisionInformation(), progress=False)
        >>> used = nif.measure(net, x, progress=False)
        >>> table = nif.known_and_used(known, used)
        >>> table["outlier"].loc["input"].to_dict(), table["used"].loc["input"].round(2).to_dict()
        ({'x1': '', 'x2': 'ignored'}, {'x1': 0.44, 'x2': 0.0})
    """
    tables = _checked(association, currents)
    layers = currents.layers[:-1]
    units = sum(map(len, layers))
    links = [between for between in association.links if between.source < len(layers)]
    known, known_stderr = (
        np.concatenate([between.values(name) for between in links]) for name in ("nats", "stderr")
    )
    used, used_stderr, absolute, absolute_stderr = (
        np.concatenate([getattr(part, name) for part in tables.units])[:units]
        for name in ("nats", "stderr", "absolute", "absolute_stderr")
    )
    part = LITTLE * _parts(known, [len(layer) for layer in layers], tables.total.nats)
    ignored = _q_values(
        part * known - absolute, np.hypot(part * known_stderr, absolute_stderr), tables.degrees
    )
    synergy = _q_values(np.abs(used) - known, np.hypot(used_stderr, known_stderr), tables.degrees)
    columns = {"known": known, "known_stderr": known_stderr, "used": used, "used_stderr": used_stderr}
    columns |= {"absolute": absolute, "q_ignored": ignored, "q_synergy": synergy}
    outlier = np.where(ignored < alpha, IGNORED, np.where(synergy < alpha, SYNERGY, ""))
    return pd.DataFrame({**columns, "outlier": outlier.astype(object)}, index=unit_index(layers))


def _parts(known: Float[np.ndarray, " unit"], sizes: list[int], total: float) -> Float[np.ndarray, " unit"]:
    """Nats of the total for each nat that a unit knows, if those of its layer are used in proportion."""
    sums = [float(part.sum()) for part in np.split(known, np.cumsum(sizes)[:-1])]
    return np.repeat([max(total, 0.0) / whole if whole > 0 else 0.0 for whole in sums], sizes)


def _q_values(
    difference: Float[np.ndarray, " unit"], stderr: Float[np.ndarray, " unit"], degrees: int
) -> Float[np.ndarray, " unit"]:
    """One-sided, of a difference of 0 or less; 1 where no error is known.

    Example:
        >>> _q_values(np.array([0.3, -0.1, 0.0]), np.array([0.1, 0.1, 0.0]), 9).round(3).tolist()
        [0.022, 1.0, 1.0]
    """
    if degrees < 1:
        return np.ones(len(difference))
    t = np.divide(difference, stderr, out=np.copysign(np.inf, difference), where=stderr > 0)
    p_value = np.where(difference > 0, stdtr(degrees, -t), 1.0)
    q_value: np.ndarray = benjamini_hochberg(p_value)
    return q_value


def _checked(association: Flow, currents: Flow) -> CurrentTables:
    """The currents, if the two flows are of the same units and decision."""
    if association.layers[-1].name != DECISION:
        what = "currents" if association.currents is not None else "what units tell of each other"
        raise InputError(
            f"association is a flow of {what}; expected what units tell of the decision, from "
            "nif.measure(model, data, nif.DecisionInformation())."
        )
    if currents.currents is None:
        raise InputError("currents is a flow of association; expected one from nif.measure(model, data).")
    one, other = ([(layer.name, layer.units) for layer in flow.layers] for flow in (association, currents))
    if one[:-1] != other:
        one_shape, other_shape = (
            ", ".join(f"{name} ({len(units)})" for name, units in part) for part in (one[:-1], other)
        )
        raise InputError(
            f"association has the units of {one_shape} and currents those of {other_shape}; expected the "
            "same units by the same names, so measure both with the same model, layers= and names."
        )
    decisions = [flow.measurement.options.get("decision") for flow in (association, currents)]
    if decisions[0] != decisions[1]:
        raise InputError(
            f"association is about {decisions[0]} and currents about {decisions[1]}; measure both with the "
            "same decision=, noise= and target=."
        )
    return currents.currents
