"""Labels in the forms in which they come: an index, names, one-hot rows, −1 and +1, 1 to k, several a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64, Shaped

from nif.core.errors import InputError
from nif.network.decision import Decision, Scale

IGNORED = -100
"""Label of rows without one, as in ``torch.nn.functional.cross_entropy``."""

FITS, BETTER, FEWEST_TO_DOUBT = 0.75, 0.4, 30
"""When a numbering of labels is doubted: another one fits, is better by this much, and rows are as many."""

LEAST_BETTER, DEVIATIONS = 0.1, 6
"""By how much labels of the row beside fit better: a share, and in standard deviations of two shares."""

MOST_CLASSES = 1000
"""Of more, such as the tokens of a language model, no other numbering is looked for."""

MOST_SHOWN = 6

SUM_ROUNDING = 1e-4
"""How far the probabilities of one row of labels may sum from 1."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Right answers.

    Attributes:
        index: The class of each row; or 0 or 1 for each output, where these are independent answers.
        known: Rows that have a label.
    """

    index: Int64[np.ndarray, "..."]
    known: Bool[np.ndarray, " sample"]

    @property
    def several(self) -> bool:
        """Whether each output is a yes-or-no answer."""
        return self.index.ndim > 1


def labels_of(decision: Decision, labels: Any, rows: int, class_values: Any = None) -> Labels | None:
    """Labels as classes, or as one answer for each output; None where they are real numbers or missing.

    =========================================  =========================================
    labels                                     stand for
    =========================================  =========================================
    whole numbers 0 to k − 1, or truth values  classes in the order of the k outputs
    a value of ``classes_``                    its class
    −1 and +1, for two classes                 the first class and the second
    1 to k                                     the classes, counted from one
    −100                                       no label
    0 and 1 for each output, one 1 a row       the class of the 1
    0 and 1, or −1 and +1, for each output     independent answers
    probabilities of classes                   the most probable class
    =========================================  =========================================

    Args:
        decision: What the outputs stand for.
        labels: One for each row, or one for each output of each row.
        rows: Number of rows of data.
        class_values: The labels of the classes in order, where they are not 0, 1, …

    Raises:
        InputError: Labels of another number of rows, or that are none of these.

    Example:
        >>> labels_of(Decision(Scale.VALUE, 1), [-1, 1, 1], 3).index.tolist()
        [0, 1, 1]
        >>> labels_of(Decision(Scale.LOGIT, 3, True), [[1, 0, 0], [1, 0, 1]], 2).several
        True
    """
    if labels is None:
        return None
    values = np.asarray(labels)
    values = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    if values.dtype == bool:
        values = values.astype(np.int64)
    number = np.issubdtype(values.dtype, np.number)
    if len(values) != rows:
        raise _of_shape(labels, rows)
    if values.dtype.kind == "f" and np.isnan(values).any():
        without = np.flatnonzero(np.isnan(values).any(axis=1))
        raise InputError(
            f"The labels have NaN in {len(without)} rows, the first in row {without[0]}; leave out rows "
            f"without a label, or label them {IGNORED} where labels are classes."
        )
    if values.shape[1] == 1:
        return _of_rows(decision, values[:, 0], class_values)
    if values.shape[1] == decision.outputs and number:
        return _of_outputs(decision, values)
    if class_values is None and values.dtype.kind == "f" and (values != np.floor(values)).any():
        return None
    raise _of_shape(labels, rows)


def values_of_classes(model: Any, names: Iterable[Any] | str | None, labels: Any) -> np.ndarray | None:
    """The labels of the classes in order: `classes_` of scikit-learn; of words also the names of outputs.

    A single output stands for the second of two classes; where only that is named, the other is the first.

    Returns:
        None where labels are numbers of outputs, as they may be where classes are words.

    Example:
        >>> values_of_classes(None, ["yes"], ["no", "yes", "no"]).tolist()
        ['no', 'yes']
        >>> values_of_classes(None, ["a", "b"], [0, 1]) is None
        True
    """
    known, words = getattr(model, "classes_", None), labels is not None and _are_words(labels)
    given = (names,) if isinstance(names, str) else tuple(map(str, names or ()))
    others = sorted(set(map(str, np.unique(np.asarray(labels, dtype=str)))) - set(given)) if words else []
    if known is not None and (not words or others or _are_words(known)):
        return np.asarray(known) if words or not _are_words(known) else None
    if names is None or not words:
        return None
    return np.asarray([*others, *given] if len(given) == 1 and len(others) == 1 else given)


def _are_words(labels: Any) -> bool:
    return pd.api.types.infer_dtype(np.asarray(labels).ravel(), skipna=True) == "string"


def class_indices(
    decision: Decision, labels: Any, rows: int, class_values: Any = None
) -> Int64[np.ndarray, " sample"] | None:
    """The class of each row, where every row must have one; see `labels_of`.

    Raises:
        InputError: Also where labels are several answers a row, or rows have none.
    """
    found = labels_of(decision, labels, rows, class_values)
    if found is None:
        return None
    if found.several:
        raise _of_shape(labels, rows)
    if not found.known.all():
        raise InputError(
            f"{(~found.known).sum()} rows have the label {IGNORED}, which is none; leave them out."
        )
    return found.index


def doubt_of(predicted: Int64[np.ndarray, " sample"], right: Int64[np.ndarray, " sample"], count: int) -> str:
    """A sentence if labels would fit far better by another numbering of the classes, or one row further.

    Such as words, which are numbered in alphabetical order, of a network that was trained with another one.

    Args:
        predicted: The class that the network decides on.
        right: The class that the label stands for.
        count: Number of classes.

    Returns:
        The sentence; empty where there is no doubt, rows are few, or classes are many.

    Example:
        >>> right = np.arange(60) % 3
        >>> doubt_of((right + 1) % 3, right, 3)[:82]
        'The labels agree with the network in 0% of the rows, and would in 100% if 0 were 1'
        >>> doubt_of(right, right, 3)
        ''
    """
    if count > MOST_CLASSES or len(right) < FEWEST_TO_DOUBT:
        return ""
    from scipy.optimize import linear_sum_assignment  # here: a long import

    together = np.zeros((count, count))
    np.add.at(together, (right, predicted), 1 / len(right))
    places = linear_sum_assignment(-together)[1]
    now, best = float(np.trace(together)), float(together[np.arange(count), places].sum())
    if best < FITS or best - now < BETTER:
        return _of_other_rows(predicted, right, now)
    moved = [f"{label} were {place}" for label, place in enumerate(places.tolist()) if label != place]
    more = ", …" if len(moved) > MOST_SHOWN else ""
    return (
        f"The labels agree with the network in {now:.0%} of the rows, and would in {best:.0%} if "
        f"{', '.join(moved[:MOST_SHOWN])}{more}. Are the classes numbered as in training, and class_names in "
        "the order of the outputs? Words without names are numbered in alphabetical order; pass the numbers "
        "of the outputs."
    )


def _of_other_rows(
    predicted: Int64[np.ndarray, " sample"], right: Int64[np.ndarray, " sample"], now: float
) -> str:
    """A sentence if labels would fit far better with the row before or behind, and empty otherwise."""
    beside = {"before": right[1:] == predicted[:-1], "behind": right[:-1] == predicted[1:]}
    which, best = max(((which, float(same.mean())) for which, same in beside.items()), key=lambda x: x[1])
    by_chance = DEVIATIONS * np.sqrt(0.5 / len(right))
    if best < FITS or best - now < max(LEAST_BETTER, by_chance):
        return ""
    return (
        f"The labels agree with the network in {now:.0%} of the rows, and would in {best:.0%} with the row "
        f"{which} each. Rows and labels belong together by position: does one of them have a row too many?"
    )


def doubt_of_scale(
    truth: Float[np.ndarray, "sample output"], outputs: Float[np.ndarray, "sample output"]
) -> str:
    """A sentence if labels are a line of the outputs with another slope or level, and empty otherwise.

    Example:
        >>> outputs = np.random.default_rng(0).normal(size=(100, 1))
        >>> doubt_of_scale(1000 * outputs, outputs)[:70]
        'The labels are on another scale than the outputs: these explain 0% of '
        >>> doubt_of_scale(outputs + 0.1, outputs)
        ''
    """
    if len(truth) < FEWEST_TO_DOUBT or not (truth.std(axis=0).all() and outputs.std(axis=0).all()):
        return ""
    spread = np.square(truth - truth.mean(axis=0)).mean(axis=0)
    now = float((1 - np.square(truth - outputs).mean(axis=0) / spread).mean())
    pairs = zip(truth.T, outputs.T, strict=True)
    best = float(np.mean([np.corrcoef(*pair)[0, 1] ** 2 for pair in pairs]))
    if best < FITS or best - now < BETTER:
        return ""
    return (
        f"The labels are on another scale than the outputs: these explain {max(now, 0):.0%} of their "
        f"variance, and would explain {best:.0%} once scaled. Pass labels as in training."
    )


def _of_shape(labels: Any, rows: int) -> InputError:
    return InputError(
        f"The labels have shape {list(np.shape(labels))} for {rows} rows; expected one class a row."
    )


def _of_rows(decision: Decision, values: Shaped[np.ndarray, " sample"], class_values: Any) -> Labels | None:
    """One label a row."""
    count = max(decision.outputs, 2)
    if class_values is not None:
        return Labels(_places(values, np.asarray(class_values)), np.ones(len(values), dtype=bool))
    if not np.issubdtype(values.dtype, np.number):
        raise InputError(
            f"The labels are text, such as {str(values[0])!r}; expected the index of the class of each row, "
            "in the order of the model's outputs, or names that nif.measure was given as class_names=."
        )
    known = values != IGNORED
    shown = values[known]
    if _are_real(decision, shown):
        return None
    if not known.any():
        raise InputError(f"All labels are {IGNORED}, which stands for no label.")
    index = np.where(known, values, shown.max()).astype(np.int64)
    if count == 2 and set(np.unique(shown)) == {-1, 1}:
        index = (index > 0).astype(np.int64)
    elif shown.min() >= 1 and shown.max() == count:
        index = index - 1
    _check_range(index, count)
    return Labels(index, known)


def _check_range(index: Int64[np.ndarray, " sample"], count: int) -> None:
    outside = (index < 0) | (index >= count)
    if not outside.any():
        return
    others = np.unique(index[outside])
    marks = (
        f"if {others[0]} stands for no label, leave out these {outside.sum()} rows, or label them {IGNORED}"
    )
    order = "count them in the order of the model's outputs"
    raise InputError(
        f"The labels are {index.min()} to {index.max()}; expected class indices 0 to {count - 1}, or 1 to "
        f"{count}; {marks if len(others) == 1 and not outside.all() else order}."
    )


def _of_outputs(decision: Decision, values: Shaped[np.ndarray, "sample output"]) -> Labels | None:
    """One label for each output."""
    known, found = np.ones(len(values), dtype=bool), set(np.unique(values).tolist())
    distribution = values.min() >= 0 and bool((np.abs(values.sum(axis=1) - 1) < SUM_ROUNDING).all())
    if not (found <= {0, 1} or found <= {-1, 1}):
        probable = decision.exclusive and decision.scale is not Scale.LOGIT
        return Labels(values.argmax(axis=1), known) if distribution and probable else None
    if distribution:
        return Labels(values.argmax(axis=1), known)
    if decision.exclusive and decision.scale is not Scale.LOGIT:
        raise InputError(
            f"The labels are several answers a row, of shape {list(values.shape)}, but the model returns "
            f"{decision}, of which one is right; pass the index of the class of each row."
        )
    return Labels((values > 0).astype(np.int64), known)


def _are_real(decision: Decision, values: Shaped[np.ndarray, " sample"]) -> bool:
    """Whether labels are real numbers and no classes.

    One output distinguishes two classes: more than two labels, such as prices, are real numbers even where
    all of them are whole.
    """
    fractions = values.dtype.kind == "f" and bool((values != np.floor(values)).any())
    many = decision.outputs == 1 and len(np.unique(values)) > 2
    return fractions or (many and (values.dtype.kind == "f" or decision.scale is Scale.VALUE))


def _places(values: np.ndarray, known: np.ndarray) -> Int64[np.ndarray, " sample"]:
    places: np.ndarray = pd.Index(known).get_indexer(pd.Index(values))
    if (places < 0).any():
        label = values[places < 0].tolist()[0]
        words = ", or words that nif.measure was given as class_names=" * isinstance(label, str)
        raise InputError(
            f"The label {label!r} is no class of this model; expected one of {known.tolist()}{words}."
        )
    return places.astype(np.int64)
