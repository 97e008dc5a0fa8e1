"""What a measurement is of, in short texts: a checkpoint of another one is refused, and says what differs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nif.core import __version__
from nif.data.rows import Rows
from nif.measures.measure import Measure
from nif.network.network import Network


def work_of(network: Network, rows: Rows, measure: Measure, seed: int) -> dict[str, str]:
    """What the numbers of a measurement depend on, by name.

    Large values are represented by a fingerprint. The code of functions is not part of it.

    Args:
        network: The network and what of it is measured.
        rows: The rows that are read.
        measure: The options of the method.
        seed: Random seed.
    """
    of_network = ("layers", "output", "reduce", "class_names")
    of_measure: tuple[Field[Any], ...] = fields(measure) if is_dataclass(measure) else ()
    return {
        "the model": fingerprint(network.module),
        "the data": fingerprint(rows),
        "method": type(measure).__name__,
        **{name: _text(getattr(network, name)) for name in of_network},
        **{one.name: _text(getattr(measure, one.name)) for one in of_measure},
        "seed": str(seed),
        "the version of nif": __version__,
        "the version of torch": torch.__version__,
    }


def fingerprint(value: Any) -> str:
    """A text that is the same for equal values.

    Example:
        >>> zeros = torch.zeros(2)
        >>> [fingerprint(other) == fingerprint(zeros) for other in (zeros.clone(), zeros.double())]
        [True, False]
    """
    hashed = hashlib.sha256()
    for part in _parts(value):
        hashed.update(part)
    return hashed.hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, (Rows, Tensor, np.ndarray)) or hasattr(value, "__array__"):
        return fingerprint(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, nn.Module):
        yield _text(value).encode()
        for name, tensor in (*value.named_parameters(), *value.named_buffers()):
            yield name.encode()
            yield from _parts(tensor)
    elif isinstance(value, Rows):
        for part in (*value.inputs, value.labels, value.numbers, value.groups, value.flat):
            yield from _parts(part)
        yield _text((value.names, value.feature_names, dict(value.constants))).encode()
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _parts(getattr(value, one.name))
    elif isinstance(value, Tensor):
        dense = value.detach() if value.layout == torch.strided else value.detach().to_dense()
        yield f"{value.dtype} {list(value.shape)}".encode()
        yield dense.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
        array = array.astype(str) if array.dtype.hasobject else array
        yield f"{array.dtype} {array.shape}".encode()
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    else:
        yield _text(value).encode()
