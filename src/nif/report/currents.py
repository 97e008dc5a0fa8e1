"""What the page shows of a flow of currents in place of inflow, outflow and sums over paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nif.core.types import CurrentTables
from nif.core.unit import text_unit
from nif.flow.path_currents import Onward

if TYPE_CHECKING:
    from nif.flow.flow import Flow

LEVEL = 0.95

MOST_PATHS = 1_000
"""Evaluated paths in the page: the strongest."""

NAMES = {
    "explained": "rows explained",
    "backgrounds": "backgrounds of each",
    "path": "way",
    "steps": "steps of the way",
    "rows_key": "key of the rows, equal for flows that can be subtracted",
}
"""Of options that are shown as they are."""


def arrays(flow: Flow, tables: CurrentTables) -> dict[str, np.ndarray]:
    """Currents of the units, the factors that make them shares onward, and those of features by class."""
    units = flow.by_unit.of_units
    assert units is not None
    names = {"current": "nats", "current_stderr": "stderr", "absolute": "absolute"}
    features = slice(0, flow.graph.feature_count)
    of_all, error = units.column("nats")[features], units.column("stderr")[features]
    several = len(tables.classes) > 1
    by_class = tables.attribution if several else tables.attribution[:, :0]
    errors = tables.attribution_stderr if several else tables.attribution_stderr[:, :0]
    return {
        **{name: units.column(column) for name, column in names.items()},
        "onward": np.concatenate(_onward(flow, tables).scales),
        "attribution": np.column_stack([by_class, of_all]),
        "attribution_stderr": np.column_stack([errors, error]),
    }


def meta(flow: Flow, tables: CurrentTables) -> dict[str, Any]:
    """The total, and the names of the classes; none if all are shown together only."""
    above, below = flow.by_unit.by_sign()
    total = tables.total
    return {
        "total": total.nats,
        "stderr": total.stderr,
        "decision": flow.measurement.options["decision"],
        "classes": tables.classes if len(tables.classes) > 1 else [],
        "for": above.tolist(),
        "against": below.tolist(),
        "absolute": [float(units.absolute.sum()) for units in tables.units],
        "left_out": left_out(flow, tables),
        "paths": paths(flow, tables),
    }


def paths(flow: Flow, tables: CurrentTables) -> dict[str, Any] | None:
    """The strongest paths that were evaluated within rows; None if the flow has none.

    Units are numbered through all layers.
    """
    known = tables.paths
    if known is None:
        return None
    order, first = np.argsort(-np.abs(known.nats), kind="stable")[:MOST_PATHS], flow.by_unit.first
    units = [
        [int(begin + u) for begin, u in zip(first, path, strict=True) if u >= 0]
        for path in known.units[order]
    ]
    return {
        "units": units,
        "nats": known.nats[order].tolist(),
        "stderr": known.stderr[order].tolist(),
        "evaluated": f"{known.evaluated:,} paths on {known.rows} rows x {known.backgrounds} backgrounds",
    }


def summary(flow: Flow, tables: CurrentTables) -> str:
    """The measure, the total and the decision."""
    return f"Currents: {tables.total} about {flow.measurement.options['decision']}"


def left_out(flow: Flow, tables: CurrentTables) -> str:
    """A sentence on the units that no path leads through; empty if there are none."""
    return _onward(flow, tables).left_out(flow.layers, tables)


def _onward(flow: Flow, tables: CurrentTables) -> Onward:
    features = [(layer, unit) for layer in flow.graph.features for unit in range(len(flow.layers[layer]))]
    return Onward.of(flow.graph, tables, features)


def method(flow: Flow, tables: CurrentTables) -> list[tuple[str, str]]:
    """How it was measured, in the words of a reader; options that are not known here keep their names."""
    options = dict(flow.measurement.options)
    half = flow.by_unit.deviations(LEVEL) * tables.total.stderr
    of, unit = text_unit().of, text_unit().name
    low, high = of(tables.total.nats - half), of(tables.total.nats + half)
    decision, noise, change = (options.pop(name, None) for name in ("decision", "noise", "step_error"))
    rows = [
        ("measure", "currents"),
        ("decision", str(decision)),
        ("total", f"{tables.total} (95 %: {low:.3f} to {high:.3f})"),
        ("the total is", str(options.pop("total_is", "I(X; Y)"))),
    ]
    exact = options.pop("exact_total", None)
    if exact is not None:
        rows.append(("its closed form", f"{of(exact):.3f} {unit}"))
    if "value" in str(decision) and noise is not None:
        rows.append(("noise of a value", f"{noise} of its standard deviation"))
    rows += [(name, str(options.pop(key))) for key, name in NAMES.items() if key in options]
    if "steps" in flow.measurement.options:
        rows.append(("error of the steps", _of_the_total(change)))
    names = {
        "in_proportion": "links divided in proportion",
        "not_measured": "ran and is not measured",
        "held": "inputs that stay those of the row",
    }
    rows += [
        (name, ", ".join(options.pop(key) or ()) or "none") for key, name in names.items() if key in options
    ]
    return [*rows, *((name.replace("_", " "), str(value)) for name, value in options.items())]


def _of_the_total(change: float | None) -> str:
    if change is None:
        return "not measured, as the number of steps was given"
    return f"at most {100 * change:.2g} % of the total for a unit"
