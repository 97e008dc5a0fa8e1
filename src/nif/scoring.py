"""How good a network still is: accuracy where the data have labels, else how far its outputs moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nif.contracts import InputError
from nif.recording.arguments import Caller
from nif.recording.untouched import like_weights, untouched

BATCH = 1024

ROUNDING = 1e-5
"""Change of an output that counts as none, in shares of the largest output (of 1 where all are smaller)."""

STEPS = 4
"""The same for half precision, in steps between its numbers."""

SHARE_ROUNDING = 1e-12


def batches(model: nn.Module, inputs: Tensor, size: int = BATCH) -> Iterator[Tensor]:
    """The inputs in pieces, as the model takes them."""
    call = Caller(model, ())
    for piece in inputs.split(size):
        yield call.prepared([piece])[0]


def outputs(model: nn.Module, inputs: Tensor) -> Float[np.ndarray, "sample output"]:
    """What the model gives for all rows, in eval mode, one column for each output.

    Raises:
        InputError: The model does not take these inputs, gives no single tensor, or gives NaN or infinity.

    Example:
        >>> outputs(nn.Flatten(), torch.ones(2, 3)).shape
        (2, 3)
    """
    with untouched(model):
        try:
            pieces = [model(piece) for piece in batches(model, inputs)]
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"The model does not take inputs of shape {list(inputs.shape)} ({error}); "
                "give the data it was trained on."
            ) from error
    if not all(isinstance(piece, Tensor) for piece in pieces):
        raise InputError(
            f"The model returns a {type(pieces[0]).__name__}; expected one tensor. Wrap it in a module that "
            "returns the output to keep."
        )
    found = torch.cat(pieces).to("cpu", torch.float64).numpy()
    if not np.isfinite(found).all():
        raise InputError("The model gives NaN or infinite outputs on these data; check weights and inputs.")
    return found.reshape(len(found), -1)


@dataclass(frozen=True, eq=False)
class Score:
    """Scores networks on one set of data, the network that all are compared with included.

    Attributes:
        inputs: Rows to score on.
        labels: Index of the right class of each row; None where the data have no classes.
        reference: Outputs of the network before pruning.
        precision: Relative size of the steps between numbers of the type of the weights.
    """

    inputs: Tensor
    labels: Int64[np.ndarray, " sample"] | None
    reference: Float[np.ndarray, "sample output"]
    precision: float = 0.0

    @property
    def rounding(self) -> float:
        """The change of an output that counts as none: what another order of additions can make.

        Example:
            >>> Score(torch.zeros(1, 1), None, np.array([[0.5, -20.0]])).rounding
            0.0002
        """
        share = max(ROUNDING, STEPS * self.precision)
        return share * max(1.0, float(np.abs(self.reference).max()))

    @property
    def name(self) -> str:
        """What the number is."""
        return "accuracy" if self.labels is not None else "largest change of output"

    def of(self, model: nn.Module) -> float:
        """The score: a share of rows that are right, or the largest absolute change of any output."""
        return self._of_outputs(outputs(model, self.inputs))

    @property
    def before(self) -> float:
        """The score of the network before pruning."""
        return self._of_outputs(self.reference)

    def _of_outputs(self, found: Float[np.ndarray, "sample output"]) -> float:
        if self.labels is not None:
            return float((classes(found) == self.labels).mean())
        return float(np.abs(found - self.reference).max())

    def drop(self, after: float) -> float:
        """How much worse `after` is than the score before pruning; below 0 where it is better."""
        return self.before - after if self.labels is not None else after - self.before

    def within(self, tolerance: float, after: float) -> bool:
        """Whether the score has become worse by no more than `tolerance`, rounding aside."""
        slack = SHARE_ROUNDING if self.labels is not None else self.rounding
        return self.drop(after) <= tolerance + slack


def score_on(model: nn.Module, inputs: Tensor, labels: Any, class_values: Any = None) -> Score:
    """The score for this model and these data: accuracy where labels name the model's classes.

    Args:
        model: The network before pruning.
        inputs: Rows it takes.
        labels: A class for each row (an index, or one of `class_values`); None, or real numbers, for data
            without classes.
        class_values: The values that stand for the classes, in order, where they are not 0, 1, …

    Raises:
        InputError: Labels of another length, of one class only, or that are no class of this model.

    Example:
        >>> score_on(nn.Identity(), torch.eye(2), np.array([0, 0]))
        Traceback (most recent call last):
        nif.contracts.InputError: The labels hold one class only, ...
        >>> score = score_on(nn.Identity(), torch.eye(2), np.array([0, 1]))
        >>> score.name, score.of(nn.Identity())
        ('accuracy', 1.0)
    """
    reference = outputs(model, inputs)
    precision = torch.finfo(like_weights(model)[1]).eps
    return Score(inputs, class_indices(labels, reference, class_values), reference, precision)


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
    if values.shape != (len(reference), 1):
        raise InputError(
            f"The labels have shape {list(np.shape(labels))} for {len(reference)} rows; "
            "expected one class a row."
        )
    values = values[:, 0]
    if class_values is not None:
        values = _places(values, np.asarray(class_values))
    if values.dtype.kind == "f" and (values != np.floor(values)).any():
        return None
    return _checked(values.astype(np.int64), max(reference.shape[1], 2))


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
