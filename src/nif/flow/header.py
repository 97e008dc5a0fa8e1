"""The header of a flow file: every field, its type, range and length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nif.core.errors import InputError
from nif.core.schema import Form, flag, items, maybe, number, read_json, real, record, row, text, whole

FORMAT = "nif-flow"

VERSION = 2
"""Of the layout of the file; a reader refuses newer versions. Files of nif 0.1 have version 1: they hold
dense arrays only, and other names in `OLD_NAMES`."""

SIZES = items(whole(1, 2**31))

OPTIONS = record(
    {},
    {
        "terms": whole(),
        "noise": maybe(number),
        "steps": maybe(whole()),
        "step_error": maybe(number),
        "exact_total": maybe(number),
        "missed_by_branches": number,
        "decision": text,
        "total_is": text,
        "path": text,
        "held": items(text),
        "in_proportion": items(text),
        "not_measured": maybe(items(text)),
    },
)
"""Options that are read; others are shown as they are."""

_COUNTS = {"samples": whole(), "not_converged": whole(), "seed": whole(), "version": text}

_ABOUT = record({}, {"model": text, "data": text, "score": text, "value": real(), "scored": whole()})

_TIMES = {"began": maybe(text), "seconds": maybe(real(0, 1e12)), "about": _ABOUT}

MEASUREMENT = record({"method": text, "options": OPTIONS, **_COUNTS}, _TIMES)

OLD_MEASUREMENT = record(
    {
        "estimator": text,
        "automatic": flag,
        "decomposition": record({}),
        "noise": number,
        "terms": whole(),
        **_COUNTS,
    },
    _TIMES,
)
"""Of nif 0.1."""

LAYERS = items(record({"name": text, "kind": text, "units": items(text, 1)}, {"shape": SIZES}))

LINKS = items(row(whole(), whole()))

LEFT_OUT = record({"links": whole(), "fraction": real(-1e-6, 1)})

CURRENTS = record(
    {"nats": real(), "stderr": real(0), "classes": items(text)},
    {
        "weights": items(row(items(text, 1), SIZES, maybe(whole()), flag)),
        "heads": items(text),
        "paths": row(whole(), whole(), whole()),
    },
)

FORMS: dict[str, Form] = {"layers": LAYERS, "links": LINKS, "left_out": LEFT_OUT, "currents": CURRENTS}


def entries_of(header: Mapping[str, str]) -> dict[str, Any]:
    """The entries of a header, checked; those of a flow of association are without ``currents``.

    Raises:
        InputError: An entry is missing, or not of its form.
    """
    for name in ("layers", "links", "measurement"):
        if name not in header:
            raise InputError(f"it has no {name!r}")
    read = {name: read_json(header[name], form, name) for name, form in FORMS.items() if name in header}
    read["measurement"] = read_json(header["measurement"], _measurement, "measurement")
    if "currents" in read:
        record({"decision": text})(read["measurement"].get("options", {}), "measurement.options")
    return read


def _measurement(value: Any, where: str) -> dict[str, Any]:
    """As it is written: with lists."""
    checked: dict[str, Any] = record({})(value, where)
    (MEASUREMENT if "method" in checked else OLD_MEASUREMENT)(value, where)
    return checked
