"""Sections of the printed results of currents: features, layers and paths, in nats or bits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nif.cli.text import by_label, numbers, paragraph, table
from nif.core.unit import text_unit
from nif.flow.flow import Flow

STRONGEST, MOST_PATHS = 10, 5


def features(flow: Flow) -> str:
    """Features by the size of their currents: for each class, and in all with error and share."""
    assert flow.total is not None
    by_class, shares = flow.attribution(), flow.shares()["share"]
    units = flow.neurons().iloc[: len(by_class)]
    nats = units["current"].to_numpy()
    order = np.argsort(-np.abs(nats), kind="stable")[:STRONGEST]
    columns: dict[str, list[str]] = {"feature": [str(name) for name in by_class.index[order]]}
    if by_class.shape[1] > 1:
        columns |= by_label(by_class.columns, [_shown(values) for values in by_class.to_numpy()[order].T])
    columns[text_unit().name] = _shown(nats[order])
    columns["± stderr"] = _shown(units["stderr"].to_numpy()[order])
    columns["absolute"] = _shown(units["absolute"].to_numpy()[order])
    columns["share"] = numbers(shares.to_numpy()[order], ".1%")
    rest = len(nats) - len(order)
    left = text_unit().of(nats.sum() - nats[order].sum())
    more = f" {rest} more features carry {left:.3f} {text_unit().name}." if rest else ""
    return f"{table(columns)}\n" + paragraph(
        f"Currents in {text_unit().name}; below 0 they speak against the decision. All features sum to the "
        f"total of {flow.total}. Absolute: mean over rows, without sign.{more}"
    )


def layers(flow: Flow) -> str:
    """Size, silence and currents of each layer."""
    assert flow.currents is not None
    rows, (above, below) = flow.by_unit.by_layer(), flow.by_unit.by_sign()
    absolute = [float(units.absolute.sum()) for units in flow.currents.units]
    return table(
        {
            "layer": rows["layer"],
            "units": rows["units"],
            "constant": [int(constant.sum()) for constant in flow.constant],
            "silent": rows["silent"],
            f"{text_unit().name} for": _shown(above),
            "against": _shown(below),
            "sum": _shown(above + below),
            "absolute": _shown(absolute),
            "communities": flow.by_unit.communities_of_layers(),
        }
    )


def paths(flow: Flow) -> str:
    """The strongest paths from features to outputs, and their sum against the total."""
    found = flow.paths(k=MOST_PATHS)
    names = [" > ".join(unit for _, unit in path) for path in found["path"]]
    columns = {"strongest paths": names, text_unit().name: _shown(found["current"])}
    if "stderr" in found:
        columns["± stderr"] = _shown(found["stderr"])
    columns["share"] = numbers(found["share"], ".1%")
    return f"{table(columns)}\n" + paragraph(found.attrs["summary"])


def _shown(nats: Iterable[float]) -> list[str]:
    """In the unit of the text, with three decimals; what rounds to 0 has no sign."""
    return numbers((round(text_unit().of(value), 3) + 0.0 for value in nats), ".3f")
