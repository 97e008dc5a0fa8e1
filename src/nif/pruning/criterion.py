"""The criterion that `tolerance` refers to: a score with labels, else the largest change of an output."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nif.core.errors import InputError
from nif.network.decision import Decision
from nif.network.forward import Forward, Inputs, batches, chosen_output, every_output
from nif.network.labels import Labels, doubt_of, doubt_of_scale, labels_of, values_of_classes
from nif.network.preserve import device_and_dtype, preserved
from nif.pruning.scores import Score, accuracy, at_positions, by_scorer, explained

ROUNDING = 1e-5
"""Change of an output that counts as none, relative to the largest output (to 1 where all are smaller)."""

STEPS = 4
"""The same for half precision, in steps between its numbers."""

SCORE_ROUNDING = 1e-12
"""Fall of a score that counts as none."""

SHIFTED = 0.1
"""Gain of accuracy by labels that count from 0, from which on a warning asks for them."""


CACHES = ("cache", "past_key_values")
"""Outputs of `transformers` with the keys and values of all heads, for the next call: no answers."""


CALLER = 7
"""Frames from a check of the labels to the call of `nif.prune`, whose decorators are two."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs of a model for all rows.

    Attributes:
        chosen: The selected output, one column for each of its numbers.
        others: All numbers of every other tensor that the model returns; zeros for those that are not real
            numbers, such as an index, which are not compared by value.
        shape: Of the selected output.
    """

    chosen: Float[np.ndarray, "sample output"]
    others: tuple[Float[np.ndarray, " _"], ...] = ()
    shape: tuple[int, ...] = ()

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
    return Outputs(selected.reshape(len(selected), -1), tuple(map(_flat, others)), selected.shape)


def _chosen_first(call: Forward, piece: Inputs) -> list[Tensor]:
    returned = call.all_outputs(piece)
    chosen = chosen_output(returned, call.output)
    if isinstance(returned, Mapping):
        returned = {name: values for name, values in returned.items() if name not in CACHES}
    return [chosen, *(values for values in every_output(returned) if values is not chosen)]


def _flat(pieces: Sequence[Tensor]) -> Float[np.ndarray, " number"]:
    """All numbers of a tensor, whichever of its axes is that of the rows."""
    together = torch.cat([piece.flatten() for piece in pieces]).cpu()
    if not together.is_floating_point():
        return np.zeros(len(together))
    return together.to(torch.promote_types(together.dtype, torch.float32)).numpy()


@dataclass(frozen=True, eq=False)
class Criterion:
    """Compares networks on one set of data: by a score with labels, else the largest change of an output.

    Attributes:
        score: Of the selected output; None where the data have no labels.
        reference: Outputs of the network before pruning.
        precision: Relative size of the steps between numbers of the type of the weights.
        labels: The class of each row, where labels are that; None otherwise.
    """

    score: Score | None
    reference: Outputs
    precision: float = 0.0
    labels: Int64[np.ndarray, " sample"] | None = None

    @property
    def name(self) -> str:
        """Name of the number."""
        return "largest change of output" if self.score is None else self.score.name

    @cached_property
    def before(self) -> float:
        """The value of the network before pruning."""
        return self.value(self.reference)

    def value(self, outputs: Outputs) -> float:
        """The score of the selected output, or the largest absolute change of any output."""
        if self.score is not None:
            return self.score.of(outputs.chosen)
        return max(changes(outputs, self.reference))

    def is_met(self, tolerance: float, outputs: Outputs) -> bool:
        """Whether the value has become worse by no more than `tolerance`, rounding aside."""
        if self.score is None:
            return self.equal_outputs(outputs, self.reference, tolerance)
        worse = self.before - self.value(outputs)
        return worse <= tolerance + SCORE_ROUNDING or (
            _change(outputs.chosen, self.reference.chosen) <= self.rounding(self.reference.chosen)
        )

    def equal_outputs(self, outputs: Outputs, other: Outputs, tolerance: float = 0.0) -> bool:
        """Whether no output differs by more than `tolerance`, rounding aside."""
        limits = [tolerance + self.rounding(values) for values in self.reference.every]
        return all(change <= limit for change, limit in zip(changes(outputs, other), limits, strict=True))

    def rounding(self, values: np.ndarray) -> float:
        """The change of an output that counts as none: additions in another order can make it."""
        relative = max(ROUNDING, STEPS * self.precision)
        return relative * max(1.0, float(np.abs(values[np.isfinite(values)]).max(initial=0.0)))

    def change_of_other_outputs(self, outputs: Outputs) -> float:
        """The largest change of an output that the score does not use; 0 where that is rounding."""
        if self.score is None:
            return 0.0
        others = zip(changes(outputs, self.reference)[1:], self.reference.others, strict=True)
        return max((change for change, values in others if change > self.rounding(values)), default=0.0)

    def differentiable(self, call: Forward, piece: Inputs) -> Float[Tensor, "sample output"]:
        """The outputs of one batch that the criterion uses, in a form that has gradients."""
        chosen, *others = _chosen_first(call, piece)
        if self.score is not None:
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


def criterion_for(
    call: Forward,
    inputs: Inputs,
    labels: Any,
    model: Any = None,
    scorer: Any = None,
    names: Sequence[str] | None = None,
) -> Criterion:
    """The criterion for this network and these data: a score where there are labels that fit the model.

    Args:
        call: Runs the network.
        inputs: Rows of data.
        labels: Classes in any form of `nif.network.labels.labels_of`: their score is the accuracy of rows, of
            answers or of positions. Real numbers: R². None: there is no score.
        model: What the user passed, of which `classes_` of scikit-learn are read.
        scorer: In place of these, see `nif.pruning.scores.by_scorer`.
        names: Of the outputs, which labels may be.

    Raises:
        InputError: Labels of another length, of a single class, or that are no class of this model.

    Example:
        >>> criterion = criterion_for(Forward(torch.nn.Identity()), (torch.eye(2),), np.array([0, 1]))
        >>> criterion.name, criterion.before
        ('accuracy', 1.0)
    """
    reference, classes = outputs(call, inputs), values_of_classes(model, names, labels)
    decision = Decision.of(call, inputs, model)
    precision = torch.finfo(device_and_dtype(call.model)[1]).eps
    if labels is not None and scorer is None:
        positions = at_positions(decision, reference.shape, labels)
        if positions is not None:
            return Criterion(positions, reference, precision)
    known, score = labels_of(decision, labels, len(inputs[0]), classes), None
    if known is not None:
        decision = decision.of_classes(torch.from_numpy(reference.chosen))
    _check_classes(decision, known, reference)
    if scorer is not None:
        score = by_scorer(scorer, decision, labels if known is None else known, reference.chosen, classes)
    elif known is not None:
        score = accuracy(decision, known)
    elif labels is not None:
        score = _explained(labels, reference.chosen)
    index = None if known is None or known.several or not known.known.all() else known.index
    return Criterion(score, reference, precision, index)


def _check_classes(decision: Decision, labels: Labels | None, reference: Outputs) -> None:
    """Refuse labels of one class; ask back where they would fit better if counted from 0."""
    if labels is None or labels.several:
        return
    index = labels.index[labels.known]
    if len(np.unique(index)) < 2:
        raise InputError(
            "The labels contain a single class, so accuracy is uninformative. Pass rows of several classes, "
            "or data without labels."
        )
    shifted = replace(labels, index=labels.index - 1)
    values = [accuracy(decision, some).of(reference.chosen) for some in (labels, shifted)]
    if index.min() == 1 and values[1] > values[0] + SHIFTED:
        warnings.warn(
            f"The labels begin at 1, and the model is right in {values[0]:.0%} of the rows, but in "
            f"{values[1]:.0%} if labels are counted from 0. If they count from 1, pass labels - 1.",
            stacklevel=CALLER,
        )
        return
    predicted = decision.classes(torch.from_numpy(reference.chosen[labels.known])).numpy()
    if doubt := doubt_of(predicted, index, max(decision.outputs, 2)):
        warnings.warn(doubt, stacklevel=CALLER)


def _explained(labels: Any, outputs: Float[np.ndarray, "sample output"]) -> Score | None:
    """R², where it says something."""
    score = explained(labels, outputs)
    if score is None:
        reason = f"have shape {list(np.shape(labels))} and the outputs {list(outputs.shape)}"
    elif (value := score.of(outputs)) <= 0 or not np.isfinite(value):
        reason = f"are real numbers of which the outputs explain nothing (R² = {value:.2g})"
    else:
        if doubt := doubt_of_scale(np.asarray(labels, float).reshape(outputs.shape), outputs):
            warnings.warn(doubt, stacklevel=CALLER)
        return score
    warnings.warn(
        f"The labels {reason}, so they are not used, and the criterion is the largest change of an output. "
        "Pass labels on the scale of the outputs, or choose a criterion.",
        stacklevel=CALLER,
    )
    return None
