"""A flow as one safetensors file: arrays, and a plain-text header that describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError
from nif.core.files import whole_file
from nif.core.schema import Array, is_version
from nif.core.types import LINK_ARRAYS, CurrentTables, Layer, Links, SumErrors, Total, UnitCurrents
from nif.core.weights import HeadCurrents, PathCurrents, StoredWeight
from nif.flow.current_views import carrying_weights
from nif.flow.flow import Flow
from nif.flow.header import FORMAT, VERSION, entries_of
from nif.flow.measurement import Measurement
from nif.flow.significance import unit_p_values
from nif.flow.strongest import LeftOut, carrying
from nif.flow.validation import CURRENTS, HEADS, OPTIONAL, PATHS, UNITS

OLD_NAMES = {
    "connected": "joined",
    "attribution": "by_class",
    "attribution_total": "over_classes",
    "layer_inflow": "into_layers",
    "layer_outflow": "out_of_layers",
}
"""Names of arrays, now and in files of version 1."""

MOST_LINKS = 10_000_000
"""A file holds every link of a flow up to here; it then takes 32 bytes a link, 320 MB."""

CARRIED = 0.999
"""Fraction of the absolute nats that the file of a larger flow holds."""

TYPES = ("F32", "F64", "I32", "I64", "BOOL")
"""Of the arrays of flows, as safetensors names them."""


def save(flow: Flow, path: str | os.PathLike[str], keep: float | None = None) -> None:
    """Write a flow beside `path` and move it there when it is complete; see `nif.Flow.save`."""
    if keep is None:
        weights = () if flow.currents is None else flow.currents.weights
        count = flow.count + sum(weight.count for weight in weights)
        keep = 1.0 if count <= MOST_LINKS else CARRIED
    with whole_file(path, "The flow") as beside:
        stored = flow if keep == 1 else without_weakest(flow, keep)
        try:
            save_file(arrays_of(stored), beside, metadata=_header(stored))
        except SafetensorError as error:  # such as of a full disk
            raise OSError(str(error)) from error


def without_weakest(flow: Flow, keep: float) -> Flow:
    """The flow of the strongest links and weights; the p-values of its units are still those of all links."""
    if flow.currents is not None:
        weights = carrying_weights(flow.currents.weights, keep)
        flow = replace(flow, currents=replace(flow.currents, weights=weights))
    links, count, fraction = carrying(flow.links, keep)
    if count == 0:
        return flow
    before = flow.left_out or LeftOut(0, 0.0, unit_p_values(flow.links, flow.constant))
    fraction = before.fraction + (1 - before.fraction) * fraction
    return replace(flow, links=links, left_out=LeftOut(before.links + count, fraction, before.p_value))


def arrays_of(flow: Flow) -> dict[str, np.ndarray]:
    """Every array of a flow, by its name in the file."""
    arrays = {f"constant/{index}": flags for index, flags in enumerate(flow.constant)}
    for index, links in enumerate(flow.links):
        arrays |= {f"links/{index}/{name}": links.stored(name) for name in LINK_ARRAYS}
        if isinstance(links.connected, csr_array):
            arrays[f"links/{index}/indptr"] = links.connected.indptr
            arrays[f"links/{index}/indices"] = links.connected.indices
        elif links.connected is not None:
            arrays[f"links/{index}/connected"] = links.connected
    if flow.errors is not None:
        arrays |= _held(flow.errors, "errors")
    if flow.currents is not None:
        tables = flow.currents
        whole = {f"currents/{name}": getattr(tables, name) for name in CURRENTS}
        arrays |= {name: array for name, array in whole.items() if array is not None}
        several: dict[str, Sequence[Any]] = {"": tables.units, "weights/": tables.weights}
        if tables.paths is not None:
            arrays |= _held(tables.paths, "currents/paths")
        for kind, parts in {**several, "heads/": tables.heads}.items():
            for index, part in enumerate(parts):
                arrays |= _held(part, f"currents/{kind}{index}")
    if flow.left_out is not None:
        arrays["left_out/p_value"] = flow.left_out.p_value
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _held(holder: Any, prefix: str) -> dict[str, np.ndarray]:
    """The arrays among the attributes of an object."""
    known = vars(holder).items()
    return {f"{prefix}/{name}": array for name, array in known if isinstance(array, np.ndarray)}


def same(flow: Flow, other: Flow) -> bool:
    """The same layers, measurement, and bits in every array."""
    arrays, others = arrays_of(flow), arrays_of(other)
    return (
        (flow.layers, flow.measurement) == (other.layers, other.measurement)
        and described(flow) == described(other)
        and arrays.keys() == others.keys()
        and all(np.array_equal(arrays[name], others[name]) for name in arrays)
    )


@checked_arguments()
def load(path: str | os.PathLike[str]) -> Flow:
    """Read a flow that `Flow.save` wrote; it equals the saved one, bit for bit.

    A file of more than 10 million links may hold the strongest only; `Flow.left_out` then says how many are
    missing.

    Args:
        path: Of the file. Nothing in it is run.

    Raises:
        InputError: The file cannot be read, is truncated, is no flow, or is of a newer version.

    Example:
        >>> import tempfile
        >>> from nif.flow.flow import example
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     example().save(f"{folder}/flow.safetensors")
        ...     load(f"{folder}/flow.safetensors") == example()
        True
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            _check_format(header, path)
            known = [name for name in file.keys() if file.get_slice(name).get_dtype() in TYPES]  # noqa: SIM118
            arrays = _Arrays({name: file.get_tensor(name) for name in known})
    except InputError:
        raise
    except (OSError, SafetensorError, ValueError) as error:  # numpy: shapes larger than any array
        raise InputError(
            f"{os.fspath(path)} cannot be read as a flow ({error}); pass a complete file of flow.save."
        ) from error
    try:
        return _flow(entries_of(header), arrays)
    except InputError as error:
        raise InputError(
            f"{os.fspath(path)} is not a complete flow ({str(error).rstrip('.')}); measure the network again "
            "and save it."
        ) from error


class _Arrays(dict[str, np.ndarray]):
    """Arrays by their names in the file."""

    def __missing__(self, name: str) -> np.ndarray:
        raise InputError(f"it has no array {name!r} of the types {', '.join(TYPES)}")


def described(flow: Flow) -> dict[str, str]:
    """The layers that the links join, and the number of links left out, as JSON."""
    header = {"links": json.dumps([[links.source, links.target] for links in flow.links])}
    if flow.currents is not None:
        tables = flow.currents
        weights = [(w.names, w.shape, w.links, w.transposed) for w in tables.weights]
        stored = {"nats": tables.total.nats, "stderr": tables.total.stderr, "classes": tables.classes}
        stored |= {"weights": weights, "heads": [heads.layer for heads in tables.heads]}
        if tables.paths is not None:
            stored["paths"] = [tables.paths.rows, tables.paths.backgrounds, tables.paths.evaluated]
        header["currents"] = json.dumps(stored)
    if flow.left_out is not None:
        header["left_out"] = json.dumps({"links": flow.left_out.links, "fraction": flow.left_out.fraction})
    return header


def _header(flow: Flow) -> dict[str, str]:
    return {
        "format": FORMAT,
        "version": str(VERSION),
        "layers": json.dumps([asdict(layer) for layer in flow.layers]),
        "measurement": json.dumps(asdict(flow.measurement)),
        **described(flow),
    }


def _check_format(header: Mapping[str, str], path: str | os.PathLike[str]) -> None:
    if header.get("format") != FORMAT:
        raise InputError(f"{os.fspath(path)} holds tensors but no flow; pass a file written by flow.save.")
    version = header.get("version", "")
    if not is_version(version, VERSION):
        raise InputError(
            f"{os.fspath(path)} has the flow format {version[:20]!r} and this nif reads up to {VERSION}; "
            "upgrade neural-information-flow."
        )


def _flow(entries: Mapping[str, Any], arrays: _Arrays) -> Flow:
    layers = tuple(Layer(**{"shape": (), **_fields(Layer, entry)}) for entry in entries["layers"])
    links = tuple(
        _links(arrays, f"links/{index}", source, target, layers)
        for index, (source, target) in enumerate(entries["links"])
    )
    constant = tuple(arrays[f"constant/{index}"] for index in range(len(layers)))
    left_out = (
        LeftOut(**_fields(LeftOut, entries["left_out"]), p_value=arrays["left_out/p_value"])
        if "left_out" in entries
        else None
    )
    errors: dict[str, Any] = {field.name: _named(arrays, "errors", field.name) for field in fields(SumErrors)}
    known = None if errors["attribution"] is None else SumErrors(**errors)
    tables = _currents(entries["currents"], arrays, len(layers)) if "currents" in entries else None
    return Flow(layers, links, constant, Measurement.read(entries["measurement"]), known, tables, left_out)


def _fields(kind: type, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an entry that a class has; a later version may write more."""
    return {name: value for name, value in entry.items() if name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _currents(stored: Mapping[str, Any], arrays: _Arrays, layers: int) -> CurrentTables:
    def known(kind: type, prefix: str) -> dict[str, np.ndarray]:
        names = {field.name: f"currents/{prefix}/{field.name}" for field in fields(kind)}
        forms = {UnitCurrents: UNITS, HeadCurrents: HEADS}.get(kind, {})
        required = {name for name in forms if name not in OPTIONAL}
        return {name: arrays[where] for name, where in names.items() if where in arrays or name in required}

    weights = [
        StoredWeight(names, shape, links, transposed, **known(StoredWeight, f"weights/{index}"))
        for index, (names, shape, links, transposed) in enumerate(stored.get("weights", ()))
    ]
    heads = [
        HeadCurrents(layer, **known(HeadCurrents, f"heads/{index}"))
        for index, layer in enumerate(stored.get("heads", ()))
    ]
    whole: dict[str, Any] = {name: arrays.get(f"currents/{name}") for name in CURRENTS}
    return CurrentTables(
        Total(stored["nats"], stored["stderr"]),
        tuple(UnitCurrents(**known(UnitCurrents, str(index))) for index in range(layers)),
        stored["classes"],
        weights=tuple(weights),
        heads=tuple(heads),
        paths=_paths(arrays, *stored["paths"]) if "paths" in stored else None,
        **whole,
    )


def _paths(arrays: _Arrays, rows: int, backgrounds: int, evaluated: int) -> PathCurrents:
    units, nats, deviations = (arrays[f"currents/paths/{name}"] for name in PATHS)
    return PathCurrents(units, nats, deviations, rows, backgrounds, evaluated)


def _links(arrays: _Arrays, prefix: str, source: int, target: int, layers: Sequence[Layer]) -> Links:
    if not source < target < len(layers):
        raise InputError(f"links lead from layer {source} to layer {target} of {len(layers)} layers")
    values = {name: arrays[f"{prefix}/{name}"] for name in LINK_ARRAYS}
    connected: np.ndarray | csr_array | None = _named(arrays, prefix, "connected")
    shape = len(layers[source]), len(layers[target])
    if f"{prefix}/indptr" in arrays:
        connected = _sparse(arrays[f"{prefix}/indptr"], arrays[f"{prefix}/indices"], shape, prefix)
    elif connected is not None:
        Array("b", shape).check(connected, f"{prefix}/connected")
    return Links(source, target, **values, connected=connected)


def _sparse(begin: np.ndarray, indices: np.ndarray, shape: tuple[int, int], prefix: str) -> csr_array:
    """A compressed sparse row (CSR) structure: columns of each row, in order, and where the rows begin."""
    Array("i", ("link",), 0, shape[1] - 1).check(indices, f"{prefix}/indices")
    Array("i", (shape[0] + 1,), 0, len(indices)).check(begin, f"{prefix}/indptr")
    counts = np.diff(begin)
    whole = begin[0] == 0 and begin[-1] == len(indices) and (counts >= 0).all()
    if not whole or (np.diff(np.repeat(np.arange(shape[0]), counts) * shape[1] + indices) <= 0).any():
        raise InputError(f"{prefix}/indptr and {prefix}/indices are no compressed sparse rows")
    return csr_array((np.ones(len(indices), dtype=bool), indices, begin), shape=shape)


def _named(arrays: _Arrays, prefix: str, name: str) -> np.ndarray | None:
    """An array under its name, or under the one that it has in files of version 1."""
    return arrays.get(f"{prefix}/{name}", arrays.get(f"{prefix}/{OLD_NAMES.get(name, name)}"))
