"""Split what comes, all of it or one batch, into inputs, by the parameter they are for, and labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nif.core.errors import InputError
from nif.data.signature import Signature, is_label

TABLES = (Tensor, np.ndarray, pd.DataFrame, pd.Series)


@dataclass(frozen=True, eq=False)
class Split:
    """What of the data is for what.

    Attributes:
        inputs: What holds one row of an input for each sample.
        label: What holds the labels, or None.
        names: The parameters that the inputs are for; none for a single input.
        constants: Arguments that are the same for all rows, by their parameter.
    """

    inputs: list[Any]
    label: Any = None
    names: tuple[str, ...] = ()
    constants: dict[str, Any] = field(default_factory=dict)


def split(given: Any, signature: Signature) -> Split:
    """The inputs and the label of ``x``, ``(x, y)``, ``(x1, x2, …, y)``, a mapping, or one beside a label.

    Raises:
        InputError: It does not say what is for what, or is a graph.

    Example:
        >>> import torch
        >>> parts = split({"x": torch.zeros(2, 3), "label": torch.ones(2)}, Signature())
        >>> parts.names, len(parts.inputs), parts.label.shape
        ((), 1, torch.Size([2]))
    """
    if hasattr(given, "edge_index"):
        raise InputError(GRAPH.format(f"an object of type {type(given).__name__} with an edge_index"))
    if isinstance(given, Mapping):
        return _of_mapping({key: _stacked(value) for key, value in given.items()}, signature)
    parts = list(given) if isinstance(given, (tuple, list)) else [given]
    if len(parts) == 2 and isinstance(parts[0], Mapping) and not isinstance(parts[1], Mapping):
        return replace(split(parts[0], signature), label=parts[1])
    return _in_order(parts, signature)


GRAPH = (
    "The data are a graph: {}. Its nodes are no independent rows, and each row is measured by itself. "
    "nif.Association() takes (x, edge_index) or (x, adjacency) of one graph, with its nodes as samples. For "
    "currents pass [graph, node, feature] to a model that holds the edges, or measure the layers behind the "
    "last exchange between nodes, with the features of the nodes there."
)


def _in_order(parts: list[Any], signature: Signature) -> Split:
    """Inputs in the order of the parameters; one part more is the label."""
    count, total = signature.required, signature.required + len(signature.optional)
    if count < len(parts) == total + 1:
        count = total
    elif count + 1 < len(parts) <= total:
        raise InputError(
            f"The data have {len(parts)} parts, for {_shown(signature)} and maybe "
            f"{', '.join(map(repr, signature.optional))}, and the last may be labels; pass a mapping by name."
        )
    if len(parts) < count:
        raise InputError(
            f"The model takes {count} inputs ({', '.join(signature.needed)}) and the data are "
            f"{len(parts) if len(parts) > 1 else 'one'}; pass a tuple or mapping of them, with None for one "
            "that it does not use."
        )
    if len(parts) > count + 1 or not all(map(_is_part, parts[:count])):
        kinds = ", ".join(type(part).__name__ for part in parts)
        expected = "a tensor x, or (x, y)" if count == 1 else f"{count} tensors, for {_shown(signature)}"
        raise InputError(f"A batch of the data holds ({kinds}); expected {expected}.")
    label = parts[count] if len(parts) > count else None
    if label is not None and count < total:
        _warn_of_input(label, signature.optional[0])
    return _named(dict(zip(_parameters(signature, count), parts[:count], strict=True)), label, signature)


def _parameters(signature: Signature, count: int) -> tuple[str, ...]:
    return (*signature.needed, *signature.optional)[:count] if signature.names else ("",)


def _named(given: dict[str, Any], label: Any, signature: Signature) -> Split:
    """Inputs and constants by their parameters; a single input needs no name."""
    constants = {name: value for name, value in given.items() if _is_constant(value)}
    names = tuple(name for name in given if name not in constants)
    if not names:
        raise InputError(f"The data have no rows: {', '.join(constants)} are single values.")
    plain = [*given] in ([""], [*signature.names[:1]]) and not signature.by_keyword
    return Split([given[name] for name in names], label, () if plain else names, constants)


def _of_mapping(given: dict[Any, Any], signature: Signature) -> Split:
    if signature.mapping or signature.any_name:
        return _as_mapping(given, signature)
    label = label_of(given, signature.needed if signature.required > 1 else ())
    # Labels that a model takes if it is to compute its loss are none of its inputs.
    taken = [name for name in signature.names if name in signature.needed or not is_label(name)]
    if inputs := [name for name in taken if name in given]:
        missing = [name for name in signature.needed if name not in given]
        if missing:
            raise _unknown_keys(given, signature)
        return _named({name: given[name] for name in inputs}, label, signature)
    tables = [key for key, value in given.items() if value is not label and _is_table(value)]
    if len(tables) == 1 and signature.required == 1:
        return Split([given[tables[0]]], label)
    raise _unknown_keys(given, signature)


def _as_mapping(given: dict[Any, Any], signature: Signature) -> Split:
    """For a model that takes one mapping, or any keywords."""
    missing = [key for key in signature.keys if key not in given]
    if missing:
        raise _unknown_keys(given, signature)
    label = label_of(given)
    keys = signature.keys or tuple(
        str(key) for key, value in given.items() if not is_label(key) and isinstance(value, TABLES)
    )
    if not keys:
        raise _unknown_keys(given, signature)
    constants = {key: given[key] for key in keys if _is_constant(given[key])}
    inputs = [key for key in keys if key not in constants]
    return Split([given[key] for key in inputs], label, tuple(inputs), constants)


def _unknown_keys(given: Mapping[Any, Any], signature: Signature) -> InputError:
    wanted = ", ".join(map(repr, signature.keys)) or _shown(signature)
    return InputError(
        f"The data have the keys {', '.join(map(repr, given))}; the model takes {wanted}. Name the inputs as "
        "the model's forward does, or pass exactly one table beside at most one label."
    )


def label_of(given: Mapping[Any, Any], besides: Sequence[str] = ()) -> Any:
    """The entry that is the label, or None."""
    keys = [key for key in given if is_label(key) and key not in besides]
    if len(keys) > 1:
        raise InputError(f"The data have several labels: {', '.join(map(repr, keys))}; expected one.")
    return given[keys[0]] if keys else None


def _stacked(value: Any) -> Any:
    """Tensors of a list, one for each position, as torch collates lists of numbers."""
    if isinstance(value, list) and value and all(isinstance(part, Tensor) for part in value):
        return torch.stack(value, dim=1) if value[0].ndim else torch.stack(value)
    return value


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, (str, bytes, Number)) or np.ndim(value) == 0


def _is_part(value: Any) -> bool:
    return isinstance(value, (*TABLES, list)) or hasattr(value, "toarray") or _is_constant(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, (*TABLES, list)) and np.ndim(value) >= 2


def _warn_of_input(label: Any, name: str) -> None:
    """A table of several real numbers a row may as well be a further input."""
    values = label if isinstance(label, Tensor) else torch.as_tensor(np.asarray(label))
    if values.is_floating_point() and values.ndim > 1 and values.shape[1] > 1:
        warnings.warn(
            f"The last part of the data, of shape {list(values.shape)}, is taken as labels. If it is the "
            f"input {name!r} of the model, pass a mapping by name.",
            stacklevel=2,
        )


def _shown(signature: Signature) -> str:
    return ", ".join(map(repr, signature.needed)) or "one input"
