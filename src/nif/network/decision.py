"""The meaning of a model's outputs: classes or values."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from nif.core.errors import InputError


def classes(found: Float[np.ndarray, "sample output"]) -> Int64[np.ndarray, " sample"]:
    """The class each row of outputs stands for: the largest, or for one output the side of its boundary."""
    if found.shape[1] > 1:
        return found.argmax(axis=1)
    probability = found.min() >= 0 and found.max() <= 1
    return (found[:, 0] > (0.5 if probability else 0.0)).astype(np.int64)


def class_indices(
    labels: Any, reference: Float[np.ndarray, "sample output"], class_values: Any = None
) -> Int64[np.ndarray, " sample"] | None:
    """Labels as indices of the model's classes; None where they are real numbers or missing."""
    if labels is None:
        return None
    values = np.asarray(labels).reshape(len(labels), -1)
    if class_values is None and len(values) == len(reference) and _are_measured(values, reference.shape[1]):
        return None
    if values.shape != (len(reference), 1):
        raise InputError(
            f"The labels have shape {list(np.shape(labels))} for {len(reference)} rows; "
            "expected one class a row."
        )
    values = values[:, 0]
    if class_values is not None:
        values = _places(values, np.asarray(class_values))
    return _checked(values.astype(np.int64), max(reference.shape[1], 2))


def _are_measured(values: np.ndarray, outputs: int) -> bool:
    """Whether labels are real numbers and no classes.

    One output tells two classes apart: more values of the type of real numbers, such as prices, are measured
    even where all of them are whole.
    """
    if values.dtype.kind != "f":
        return False
    return bool((values != np.floor(values)).any()) or (outputs == 1 and len(np.unique(values)) > 2)


def _places(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    strange = ~np.isin(values, known)
    if strange.any():
        raise InputError(
            f"The label {values[strange][0]!r} is no class of this model; it has {known.tolist()}."
        )
    return np.searchsorted(known, values)


def _checked(index: np.ndarray, count: int) -> Int64[np.ndarray, " sample"]:
    if index.min() < 0 or index.max() >= count:
        raise InputError(
            f"The labels are {index.min()} to {index.max()}; expected classes 0 to {count - 1}, one for each "
            "output of the model."
        )
    if len(np.unique(index)) < 2:
        raise InputError(
            "The labels hold one class only, on which no loss of accuracy can be seen; give rows of other "
            "classes too, or data without labels."
        )
    return index
