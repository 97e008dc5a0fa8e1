"""What one network uses more than another, on the same rows: ``flow - other``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from nif.core.errors import InputError
from nif.core.statistics import benjamini_hochberg
from nif.core.types import CurrentTables
from nif.flow.current_views import Difference
from nif.flow.currents import UnitTable, of_features
from nif.flow.significance import p_values
from nif.flow.unit_names import feature_names

if TYPE_CHECKING:
    from nif.flow.flow import Flow


def difference(first: Flow, second: Flow) -> pd.DataFrame:
    """The current of each feature in one flow less that in another, with paired errors.

    Both rest on the same rows, so what the rows have in common cancels: both are measured anew without each
    tenth of the rows.

    Args:
        first: A flow of currents.
        second: One of the same rows, with the same seed and the same features.

    Returns:
        By feature: nats, standard error, p-value (of no difference) and q-value. ``attrs["total"]`` is the
        difference of the totals, a `Difference`.

    Raises:
        InputError: The flows do not rest on the same rows, or are flows of association.
    """
    one, other = _tables(first), _tables(second)
    _check_same_rows(first, second)
    before, after = _deviations(first, one), _deviations(second, other)
    nats, others = (UnitTable(part).column("nats")[: before.shape[1]] for part in (one, other))
    nats = nats - others
    stderr = np.linalg.norm(before - after, axis=0)
    degrees = min(one.degrees, other.degrees)
    p_value = p_values(nats, stderr, degrees)
    index = first.attribution().index
    table = pd.DataFrame({"nats": nats, "stderr": stderr, "p_value": p_value}, index=index)
    table["q_value"] = benjamini_hochberg(p_value)
    total = one.total.nats - other.total.nats
    of_total = float(np.linalg.norm((before - after).sum(axis=1)))
    p_of_total = float(p_values(np.array(total), np.array(of_total), degrees))
    table.attrs["total"] = Difference(float(total), of_total, p_of_total)
    return table


def _tables(flow: Flow) -> CurrentTables:
    if flow.currents is None:
        raise InputError(
            "The difference of two flows is one of currents, and this is a flow of association; measure both "
            "with nif.Currents()."
        )
    return flow.currents


def _check_same_rows(first: Flow, second: Flow) -> None:
    """Refuse flows of other features or rows."""
    if feature_names(first.layers) != feature_names(second.layers):
        raise InputError("The flows have different features; measure both on the same rows.")
    keys = [flow.measurement.options.get("rows_key") for flow in (first, second)]
    if keys[0] is None or keys[0] != keys[1]:
        raise InputError(
            "The flows do not rest on the same rows, so their difference has no paired error; measure both "
            "on the same data with the same seed."
        )


def _deviations(flow: Flow, tables: CurrentTables) -> Float[np.ndarray, "group feature"]:
    """Of the features; see `nif.core.types.UnitCurrents`."""
    known = of_features(tables, flow.graph.features, "deviations")
    if known is None:
        raise InputError("A flow of an earlier version does not hold how its currents vary; measure again.")
    return known
