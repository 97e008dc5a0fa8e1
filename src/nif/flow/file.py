"""A flow as one safetensors file: arrays, and a header of plain text that says what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialised

from nif.core.errors import InputError
from nif.core.files import whole_file
from nif.core.types import Layer, Links, SumErrors
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement
from nif.flow.tables import ERRORS, NUMBERS

FORMAT = "nif-flow"

VERSION = 1
"""Of the layout of the file; a reader refuses what is newer than itself."""


def save(flow: Flow, path: str | os.PathLike[str]) -> None:
    """Write a flow beside `path` and move it there when it is whole.

    Raises:
        InputError: The path can not be written; what was there before is unchanged.
    """
    arrays = {f"constant/{index}": flags for index, flags in enumerate(flow.constant)}
    for index, found in enumerate(flow.links):
        arrays |= {f"links/{index}/{name}": getattr(found, name) for name in NUMBERS}
        if found.joined is not None:
            arrays[f"links/{index}/joined"] = found.joined
    if flow.errors is not None:
        known = {name: getattr(flow.errors, name) for name in ERRORS}
        arrays |= {f"errors/{name}": values for name, values in known.items() if values is not None}
    whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with whole_file(path, "The flow") as beside:
        beside.write_bytes(serialised(whole, metadata=_header(flow)))


def load(path: str | os.PathLike[str]) -> Flow:
    """Read a flow that `Flow.save` wrote; it equals the one that was saved, bit for bit.

    Args:
        path: Of the file. Nothing in it is run.

    Raises:
        InputError: The file can not be read, is cut short, is no flow, or is of a newer version.

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
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{os.fspath(path)} can not be read as a flow ({error}); give a whole file that flow.save wrote."
        ) from error
    try:
        return _flow(header, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{os.fspath(path)} is not a whole flow ({error}); measure the network again and save it."
        ) from error


def _header(flow: Flow) -> dict[str, str]:
    return {
        "format": FORMAT,
        "version": str(VERSION),
        "layers": json.dumps([asdict(layer) for layer in flow.layers]),
        "links": json.dumps([[found.source, found.target] for found in flow.links]),
        "measurement": json.dumps(asdict(flow.measurement)),
    }


def _check_format(header: Mapping[str, str], path: str | os.PathLike[str]) -> None:
    if header.get("format") != FORMAT:
        raise InputError(f"{os.fspath(path)} holds tensors but no flow; give a file that flow.save wrote.")
    version = header.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise InputError(
            f"{os.fspath(path)} has the flow format {version!r} and this nif reads up to {VERSION}; "
            "upgrade neural-information-flow."
        )


def _flow(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Flow:
    layers = tuple(_layer(given) for given in json.loads(header["layers"]))
    ends = json.loads(header["links"])
    links = tuple(
        Links(
            int(source),
            int(target),
            **{name: arrays[f"links/{index}/{name}"] for name in NUMBERS},
            joined=arrays.get(f"links/{index}/joined"),
        )
        for index, (source, target) in enumerate(ends)
    )
    constant = tuple(arrays[f"constant/{index}"] for index in range(len(layers)))
    errors = (
        SumErrors(**{name: arrays[f"errors/{name}"] for name in ERRORS if f"errors/{name}" in arrays})
        if "errors/by_class" in arrays
        else None
    )
    return Flow(layers, links, constant, Measurement.read(json.loads(header["measurement"])), errors)


def _layer(given: Mapping[str, Any]) -> Layer:
    return Layer(given["name"], given["kind"], tuple(given["units"]), tuple(given.get("shape", ())))
