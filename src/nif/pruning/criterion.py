"""The criterion that `tolerance` refers to: accuracy with labels, else the largest change of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.network.decision import Decision
from nif.network.forward import Forward, Inputs, batches, chosen_output, every_output
from nif.network.preserve import device_and_dtype, preserved

ROUNDING = 1e-5
"""Change of an output that counts as none, relative to the largest output (to 1 where all are smaller)."""

STEPS = 4
"""The same for half precision, in steps between its numbers."""

ACCURACY_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a model for all rows.

    Attributes:
        chosen: The selected output, one column for each of its numbers.
        others: All numbers of every other tensor that the model returns; zeros for those that are not real
            numbers, such as an index, which are not compared by value.
    """

    chosen: Float[np.ndarray, "sample output"]
    others: tuple[Float[np.ndarray, " _"], ...] = ()

    @property
    def every(self) -> tuple[np.ndarray, ...]:
        """The selected output first."""
        return (self.chosen, *self.others)


def outputs(call: Forward, inputs: Inputs) -> Outputs:
    """Run a model on all rows, in eval mode.

    Raises:
        InputError: The model does not take these inputs, returns several tensors of which none is selected,
            or returns NaN or infinity in the selected one.
    """
    with preserved(call.model):
        try:
            pieces = [_chosen_first(call, piece) for piece in batches(call, inputs)]
            chosen, *others = [list(tensors) for tensors in zip(*pieces, strict=True)]
            selected = torch.cat(chosen).to("cpu", torch.float64).numpy()
        except InputError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            shapes = " and ".join(str(list(values.shape)) for values in inputs)
            raise InputError(
                f"The model does not take inputs of shape {shapes} ({error}); "
                "pass data in the form it was trained on."
            ) from error
    if not np.isfinite(selected).all():
        raise InputError("The model returns NaN or infinity on these data; check its weights and the inputs.")
    return Outputs(selected.reshape(len(selected), -1), tuple(map(_flat, others)))


def _chosen_first(call: Forward, piece: Inputs) -> list[Tensor]:
    returned = call.all_outputs(piece)
    chosen = chosen_output(returned, call.output)
    return [chosen, *(values for values in every_output(returned) if values is not chosen)]


def _flat(pieces: Sequence[Tensor]) -> Float[np.ndarray, " number"]:
    """All numbers of a tensor, whichever of its axes is that of the rows."""
    together = torch.cat([piece.flatten() for piece in pieces]).cpu()
    if not together.is_floating_point():
        return np.zeros(len(together))
    return together.to(torch.promote_types(together.dtype, torch.float32)).numpy()


@dataclass(frozen=True, eq=False)
class Criterion:
    """Compares networks on one set of data: accuracy with labels, else the largest change of an output.

    Attributes:
        labels: Index of the right class of each row; None where the data have no classes.
        reference: Outputs of the network before pruning.
        decision: What the selected output stands for.
        precision: Relative size of the steps between numbers of the type of the weights.
    """

    labels: Int64[np.ndarray, " sample"] | None
    reference: Outputs
    decision: Decision
    precision: float = 0.0

    @property
    def name(self) -> str:
        """Name of the number."""
        return "accuracy" if self.labels is not None else "largest change of output"

    @property
    def before(self) -> float:
        """The value of the network before pruning."""
        return self.value(self.reference)

    def value(self, outputs: Outputs) -> float:
        """The fraction of rows that are right, or the largest absolute change of any output."""
        if self.labels is not None:
            return self.decision.accuracy(torch.from_numpy(outputs.chosen), torch.from_numpy(self.labels))
        return max(changes(outputs, self.reference))

    def is_met(self, tolerance: float, outputs: Outputs) -> bool:
        """Whether the value has become worse by no more than `tolerance`, rounding aside."""
        if self.labels is not None:
            return self.before - self.value(outputs) <= tolerance + ACCURACY_ROUNDING
        return self.equal_outputs(outputs, self.reference, tolerance)

    def equal_outputs(self, outputs: Outputs, other: Outputs, tolerance: float = 0.0) -> bool:
        """Whether no output differs by more than `tolerance`, rounding aside."""
        limits = [tolerance + self.rounding(values) for values in self.reference.every]
        return all(change <= limit for change, limit in zip(changes(outputs, other), limits, strict=True))

    def rounding(self, values: np.ndarray) -> float:
        """The change of an output that counts as none: additions in another order can make it."""
        relative = max(ROUNDING, STEPS * self.precision)
        return relative * max(1.0, float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))

    def change_of_other_outputs(self, outputs: Outputs) -> float:
        """The largest change of an output that accuracy does not use; 0 where that is rounding."""
        if self.labels is None:
            return 0.0
        others = zip(changes(outputs, self.reference)[1:], self.reference.others, strict=True)
        return max((change for change, values in others if change > self.rounding(values)), default=0.0)

    def differentiable(self, call: Forward, piece: Inputs) -> Float[Tensor, "sample output"]:
        """The outputs of one batch that the criterion uses, in a form that has gradients."""
        chosen, *others = _chosen_first(call, piece)
        if self.labels is not None:
            others = []
        rows = [
            values for values in others if values.requires_grad and values.ndim and len(values) == len(chosen)
        ]
        return torch.cat([values.reshape(len(chosen), -1) for values in (chosen, *rows)], dim=1)


def changes(outputs: Outputs, reference: Outputs) -> list[float]:
    """The largest absolute change of each output, the selected one first."""
    return [_change(*pair) for pair in zip(outputs.every, reference.every, strict=True)]


def _change(values: np.ndarray, before: np.ndarray) -> float:
    """Infinite where the shapes differ; a mask may hold infinity, and what stays infinite has not changed."""
    if values.shape != before.shape:
        return np.inf
    same = (values == before) | (np.isnan(values) & np.isnan(before))
    with np.errstate(invalid="ignore"):
        moved = np.where(same, 0.0, np.abs(values - before))
    return float(np.nan_to_num(moved, nan=np.inf, posinf=np.inf).max(initial=0.0))


def criterion_for(call: Forward, inputs: Inputs, labels: Any, model: Any = None) -> Criterion:
    """The criterion for this network and these data: accuracy where labels are classes of the model.

    Labels are an index or one of the model's `classes_` for each row; None, or real numbers, for data without
    classes. `model` is the object that the user passed, of which `classes_` of scikit-learn are read.

    Raises:
        InputError: Labels of another length, of a single class, or that are no class of this model.

    Example:
        >>> criterion = criterion_for(Forward(torch.nn.Identity()), (torch.eye(2),), np.array([0, 1]))
        >>> criterion.name, criterion.before
        ('accuracy', 1.0)
    """
    reference = outputs(call, inputs)
    decision = Decision.of(call, inputs, model)
    index = decision.class_indices(labels, len(inputs[0]), getattr(model, "classes_", None))
    if index is not None and len(np.unique(index)) < 2:
        raise InputError(
            "The labels contain a single class, so accuracy is uninformative. Pass rows of several classes, "
            "or data without labels."
        )
    precision = torch.finfo(device_and_dtype(call.model)[1]).eps
    return Criterion(index, reference, decision, precision)
