"""Scores of outputs that have right answers: accuracy, explained variance, or any of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import check_scoring, get_scorer_names, r2_score

from nif.core.errors import InputError, nearest
from nif.network.decision import Decision, Scale
from nif.network.labels import Labels, labels_of

Table = Float[np.ndarray, "sample output"]


@dataclass(frozen=True, eq=False)
class Score:
    """How good outputs are; more is better.

    Attributes:
        name: Of the number.
        of: From outputs, one column for each of their numbers, to the score.
    """

    name: str
    of: Callable[[Table], float]


def accuracy(decision: Decision, labels: Labels) -> Score:
    """The fraction of rows whose class is right; or of answers, where each output is one.

    Example:
        >>> labels = labels_of(Decision(Scale.LOGIT, 2), [0, 1], 2)
        >>> accuracy(Decision(Scale.LOGIT, 2), labels).of(np.array([[1.0, 0.0], [2.0, 0.0]]))
        0.5
    """
    known, right = labels.known, torch.from_numpy(labels.index[labels.known])
    if not labels.several:
        return Score("accuracy", lambda outputs: decision.accuracy(torch.from_numpy(outputs[known]), right))
    one = replace(decision, outputs=1, exclusive=False)

    def of_answers(outputs: Table) -> float:
        return one.accuracy(torch.from_numpy(outputs[known].reshape(-1, 1)), right.flatten())

    return Score("accuracy of answers", of_answers)


def at_positions(decision: Decision, shape: tuple[int, ...], labels: Any) -> Score | None:
    """The accuracy at every position, such as a pixel or a token; None where labels have no positions.

    Args:
        decision: What all numbers of a row stand for.
        shape: Of the outputs, with the rows.
        labels: One class for each position, ``[sample, *position]``.

    Raises:
        InputError: Either of two axes may hold the classes.
    """
    values = np.asarray(labels)
    grid = values.shape[1:]
    first, last = shape[2:] == grid, shape[1:-1] == grid
    if values.ndim < 2 or len(shape) < 3 or len(values) != shape[0] or not (first or last):
        return None
    if first and last:
        raise InputError(
            f"The outputs have shape {list(shape)} and the labels {list(values.shape)}, so that either of "
            "two axes may hold the classes; pass rows of another number of positions."
        )
    count = shape[1] if first else shape[-1]
    each = replace(decision, outputs=count, exclusive=count > 1)
    known = labels_of(each, values.reshape(-1), values.size)
    if known is None:
        return None

    def of(outputs: Table) -> float:
        whole = outputs.reshape(shape)
        table = np.moveaxis(whole, 1, -1) if first else whole
        return accuracy(each, known).of(table.reshape(-1, count))

    return Score("accuracy of positions", of)


def explained(labels: Any, outputs: Table) -> Score | None:
    """The share of the variance of the labels that outputs explain; None where their shapes differ."""
    values = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    if values.shape != outputs.shape:
        return None
    return Score("R²", lambda found: float(r2_score(values, found)))


def by_scorer(
    scorer: Any, decision: Decision, labels: Labels | np.ndarray | None, outputs: Table, classes: Any = None
) -> Score:
    """The score that a scorer of scikit-learn gives to the decisions of a network.

    Args:
        scorer: A name such as ``"roc_auc"``, or a function of an estimator, inputs and labels, as
            `sklearn.metrics.make_scorer` returns.
        decision: What the outputs stand for.
        labels: Right answers; None for those of the network itself.
        outputs: Of the network.
        classes: The labels of the classes, where they are not 0, 1, …

    Raises:
        InputError: There is no such scorer, or it does not fit the outputs and labels.
    """
    if labels is None:
        own = decision.classes(torch.from_numpy(outputs)).numpy()
        every = np.ones(len(outputs), dtype=bool)
        labels = outputs if decision.scale is Scale.VALUE else Labels(own, every)
    estimator: Any = _Values()
    right, known = labels, np.ones(len(outputs), dtype=bool)
    if isinstance(labels, Labels):
        estimator, right, known = _Classes(decision, labels.several, classes), labels.index, labels.known
        right = right if labels.several else estimator.classes_[right]
    right = np.asarray(right)[known]
    try:
        scoring = check_scoring(estimator, scoring=scorer)
    except (ValueError, TypeError) as error:
        near = nearest(scorer, get_scorer_names()) if isinstance(scorer, str) else ""
        raise InputError(
            f"criterion is {scorer!r}; expected a scorer of scikit-learn, such as 'r2', 'roc_auc' or "
            f"sklearn.metrics.make_scorer(function).{near}"
        ) from error

    def of(found: Table) -> float:
        try:
            score = float(scoring(estimator, found[known], right))
        except InputError:
            raise
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"criterion={scorer!r} does not fit the outputs and labels: {error}") from error
        if not math.isfinite(score):
            raise InputError(f"criterion={scorer!r} is {score} on these rows; pass more rows, or another.")
        return score

    function = getattr(scorer, "_score_func", scorer)
    return Score(scorer if isinstance(scorer, str) else getattr(function, "__name__", "score"), of)


class _Fitted(BaseEstimator):
    """What is to be scored: it has nothing to fit."""

    def fit(self, outputs: Any, labels: Any) -> _Fitted:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _Values(RegressorMixin, _Fitted):
    """An estimator whose inputs are its predictions."""

    def predict(self, outputs: Table) -> np.ndarray:
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs


class _Classes(ClassifierMixin, _Fitted):
    """A classifier whose inputs are the outputs of the network."""

    def __init__(self, decision: Decision, several: bool, classes: Any) -> None:
        self.decision, self.several, self.classes = decision, several, classes
        count = max(2, decision.outputs)
        self.classes_: Any = np.arange(count) if classes is None else np.asarray(classes)
        if several:
            self.classes_ = [np.arange(2)] * count

    def predict(self, outputs: Table) -> np.ndarray:
        values = torch.from_numpy(outputs)
        if self.several:
            one = replace(self.decision, outputs=1, exclusive=False)
            return one.classes(values.reshape(-1, 1)).reshape(values.shape).numpy()
        return self.classes_[self.decision.classes(values).numpy()]

    def predict_proba(self, outputs: Table) -> np.ndarray:
        values = torch.from_numpy(outputs)
        if self.several and self.decision.scale is Scale.LOGIT:
            return values.sigmoid().numpy()
        return self.decision.probabilities(values).numpy()

    def decision_function(self, outputs: Table) -> np.ndarray:
        if outputs.shape[1] == 2 and not self.several:
            return outputs[:, 1] - outputs[:, 0]
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs
