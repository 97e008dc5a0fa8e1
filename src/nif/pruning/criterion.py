"""How good a network still is: accuracy where the data have labels, else how far its outputs moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.network.decision import class_indices, classes
from nif.network.forward import Forward, Inputs, batches, chosen_output, every_output
from nif.network.preserve import device_and_dtype, preserved

ROUNDING = 1e-5
"""Change of an output that counts as none, in shares of the largest output (of 1 where all are smaller)."""


STEPS = 4
"""The same for half precision, in steps between its numbers."""


SHARE_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model gives for all rows.

    Attributes:
        chosen: The output that is meant, one column for each of its numbers.
        others: All numbers of every other tensor that the model returns; zeros for those that are not real
            numbers, such as an index, which are not compared by value.
    """

    chosen: Float[np.ndarray, "sample output"]
    others: tuple[Float[np.ndarray, "_"], ...] = ()

    @property
    def every(self) -> tuple[np.ndarray, ...]:
        """The chosen one first."""
        return (self.chosen, *self.others)


def outputs(call: Forward, inputs: Inputs) -> Outputs:
    """What the model gives for all rows, in eval mode.

    Raises:
        InputError: The model does not take these inputs, returns several tensors of which none is chosen, or
            gives NaN or infinity in the one that is.

    Example:
        >>> outputs(Forward(torch.nn.Flatten()), (torch.ones(2, 3),)).chosen.shape
        (2, 3)
    """
    with preserved(call.model):
        try:
            pieces = [_chosen_first(call, piece) for piece in batches(call, inputs)]
            chosen, *others = [list(tensors) for tensors in zip(*pieces, strict=True)]
            found = torch.cat(chosen).to("cpu", torch.float64).numpy()
        except InputError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            shapes = " and ".join(str(list(values.shape)) for values in inputs)
            raise InputError(
                f"The model does not take inputs of shape {shapes} ({error}); "
                "give the data it was trained on."
            ) from error
    if not np.isfinite(found).all():
        raise InputError("The model gives NaN or infinite outputs on these data; check weights and inputs.")
    return Outputs(found.reshape(len(found), -1), tuple(map(_flat, others)))


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
class Score:
    """Scores networks on one set of data, the network that all are compared with included.

    Attributes:
        inputs: Rows to score on.
        labels: Index of the right class of each row; None where the data have no classes.
        reference: Outputs of the network before pruning.
        precision: Relative size of the steps between numbers of the type of the weights.
    """

    inputs: Inputs
    labels: Int64[np.ndarray, " sample"] | None
    reference: Outputs
    precision: float = 0.0

    @property
    def name(self) -> str:
        """What the number is."""
        return "accuracy" if self.labels is not None else "largest change of output"

    @property
    def before(self) -> float:
        """The score of the network before pruning."""
        return self.of(self.reference)

    def outputs(self, call: Forward) -> Outputs:
        """Of any network on these rows."""
        return outputs(call, self.inputs)

    def of(self, found: Outputs) -> float:
        """The score: a share of rows that are right, or the largest absolute change of any output."""
        if self.labels is not None:
            return float((classes(found.chosen) == self.labels).mean())
        return max(changes(found, self.reference))

    def within(self, tolerance: float, found: Outputs) -> bool:
        """Whether the score has become worse by no more than `tolerance`, rounding aside."""
        if self.labels is not None:
            return self.before - self.of(found) <= tolerance + SHARE_ROUNDING
        return self.agree(found, self.reference, tolerance)

    def agree(self, found: Outputs, other: Outputs, tolerance: float = 0.0) -> bool:
        """Whether no output differs by more than `tolerance`, rounding aside."""
        roundings = [self.rounding(values) for values in self.reference.every]
        apart = zip(changes(found, other), roundings, strict=True)
        return all(change <= tolerance + rounding for change, rounding in apart)

    def rounding(self, values: np.ndarray) -> float:
        """The change of an output that counts as none: what another order of additions can make.

        Example:
            >>> values = np.array([[0.5, -20.0]])
            >>> Score((torch.zeros(1, 1),), None, Outputs(values)).rounding(values)
            0.0002
        """
        share = max(ROUNDING, STEPS * self.precision)
        return share * max(1.0, float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))

    def besides(self, found: Outputs) -> float:
        """The largest change of an output that the score does not look at; 0 where that is rounding."""
        if self.labels is None:
            return 0.0
        moved = changes(found, self.reference)[1:]
        known = zip(moved, self.reference.others, strict=True)
        return max((change for change, values in known if change > self.rounding(values)), default=0.0)

    def scored(self, call: Forward, piece: Inputs) -> Float[Tensor, "sample output"]:
        """What the score looks at of one batch, in a form that has gradients."""
        chosen, *others = _chosen_first(call, piece)
        if self.labels is not None:
            others = []
        rows = [each for each in others if each.requires_grad and each.ndim and len(each) == len(chosen)]
        return torch.cat([each.reshape(len(chosen), -1) for each in (chosen, *rows)], dim=1)


def changes(found: Outputs, reference: Outputs) -> list[float]:
    """The largest absolute change of each output, the chosen one first.

    Example:
        >>> ones = np.ones((1, 2))
        >>> changes(Outputs(2 * ones, (ones[0],)), Outputs(ones, (ones[0],)))
        [1.0, 0.0]
    """
    return [_change(*pair) for pair in zip(found.every, reference.every, strict=True)]


def _change(values: np.ndarray, before: np.ndarray) -> float:
    """Infinite where the shapes differ; a mask may hold infinity, and what stays infinite has not changed."""
    if values.shape != before.shape:
        return np.inf
    same = (values == before) | (np.isnan(values) & np.isnan(before))
    with np.errstate(invalid="ignore"):
        moved = np.where(same, 0.0, np.abs(values - before))
    return float(np.nan_to_num(moved, nan=np.inf, posinf=np.inf).max(initial=0.0))


def score_on(call: Forward, inputs: Inputs, labels: Any, class_values: Any = None) -> Score:
    """The score for this model and these data: accuracy where labels name the model's classes.

    Args:
        call: Runs the network before pruning.
        inputs: Rows it takes.
        labels: A class for each row (an index, or one of `class_values`); None, or real numbers, for data
            without classes.
        class_values: The values that stand for the classes, in order, where they are not 0, 1, …

    Raises:
        InputError: Labels of another length, of one class only, or that are no class of this model.

    Example:
        >>> call = Forward(torch.nn.Identity())
        >>> score_on(call, (torch.eye(2),), np.array([0, 0]))
        Traceback (most recent call last):
        nif.InputError: The labels hold one class only, ...
        >>> score = score_on(call, (torch.eye(2),), np.array([0, 1]))
        >>> score.name, score.before
        ('accuracy', 1.0)
    """
    reference = outputs(call, inputs)
    precision = torch.finfo(device_and_dtype(call.model)[1]).eps
    return Score(inputs, class_indices(labels, reference.chosen, class_values), reference, precision)
