"""Split a batch of a Dataset or DataLoader into inputs, by the parameter they are for, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nif.core.errors import InputError
from nif.data.signature import Signature

LABEL_KEYS = frozenset({"y", "label", "labels", "target", "targets"})

Split = tuple[tuple[str, ...], list[Any], Any]
"""Names of the parameters (none for a single input), the inputs, and the label or None."""


def split(batch: Any, signature: Signature) -> Split:
    """The inputs and the label of one batch: ``x``, ``(x, y)``, ``(x1, x2, …, y)`` or a mapping.

    Example:
        >>> import torch
        >>> names, inputs, label = split({"x": torch.zeros(2, 3), "label": torch.ones(2)}, Signature())
        >>> names, len(inputs), label.shape
        ((), 1, torch.Size([2]))
    """
    if isinstance(batch, Mapping):
        return _split_mapping(batch, signature)
    parts: Sequence[Any] = list(batch) if isinstance(batch, (tuple, list)) else [batch]
    count = signature.required
    if not count <= len(parts) <= count + 1 or not all(isinstance(part, Tensor) for part in parts[:count]):
        kinds = ", ".join(type(part).__name__ for part in parts)
        expected = "a tensor x, or (x, y)" if count == 1 else f"{count} tensors, for {_shown(signature)}"
        raise InputError(f"A batch of the data holds ({kinds}); expected {expected}.")
    names = signature.names[:count] if count > 1 else ()
    return names, list(parts[:count]), parts[count] if len(parts) > count else None


def named_inputs(given: Mapping[Any, Any], signature: Signature) -> tuple[tuple[str, ...], list[Any]]:
    """The entries that are parameters of the model, in the order of its ``forward``.

    Labels that a model takes if it is to compute its loss are none of its inputs.
    """
    needed = signature.names[: signature.required]
    names = tuple(
        name for name in signature.names if name in given and (name in needed or not _is_label(name))
    )
    missing = [name for name in signature.names[: signature.required] if name not in given]
    if missing or not names:
        raise InputError(
            f"The data have the keys {', '.join(map(repr, given))}; the model takes {_shown(signature)}. "
            "Name the inputs as the model's forward does."
        )
    return names, [given[name] for name in names]


def _is_label(key: Any) -> bool:
    return str(key).lower() in LABEL_KEYS


def label_of(given: Mapping[Any, Any], besides: Sequence[str] = ()) -> Any:
    """The entry that is the label, or None."""
    keys = [key for key in given if _is_label(key) and key not in besides]
    if len(keys) > 1:
        raise InputError(f"The data have several labels: {', '.join(map(repr, keys))}; expected one.")
    return given[keys[0]] if keys else None


def _split_mapping(batch: Mapping[Any, Any], signature: Signature) -> Split:
    label = label_of(batch, signature.names[: signature.required] if signature.required > 1 else ())
    tables = [
        key
        for key, value in batch.items()
        if value is not label and isinstance(value, Tensor) and value.ndim >= 2
    ]
    if len(tables) == 1 and signature.required == 1:
        return (), [batch[tables[0]]], label
    if any(key in signature.names for key in batch):
        return *named_inputs(batch, signature), label
    raise InputError(
        f"A batch of the data has the keys {', '.join(map(repr, batch))}; expected exactly one tensor of "
        "shape [sample, feature] beside at most one label, or the names of the model's inputs. "
        "Pass a DataLoader that yields (x, y)."
    )


def _shown(signature: Signature) -> str:
    return ", ".join(map(repr, signature.names[: signature.required])) or "one input"
