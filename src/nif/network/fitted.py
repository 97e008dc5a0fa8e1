"""What scikit-learn puts around a network: steps before it, a search over it, a scale of its targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from nif.core.errors import InputError
from nif.data.rows import Rows, read

INSIDE = {"best_estimator_": "search", "regressor_": "TransformedTargetRegressor"}
"""Where a fitted wrapper holds what it wraps."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """An estimator in its wrappers.

    Attributes:
        estimator: The innermost one, which is a network or holds one.
        steps: Transformers, which the data go through in this order.
        target: What transforms the targets of a regression; None if nothing does.
    """

    estimator: Any
    steps: tuple[Any, ...] = ()
    target: Any = None

    @classmethod
    def of(cls, model: Any) -> Fitted:
        """Take off pipelines, searches and transformed targets; anything else is returned as is.

        Raises:
            InputError: A wrapper has not been fitted.

        Example:
            >>> from sklearn.pipeline import make_pipeline
            >>> from sklearn.preprocessing import StandardScaler
            >>> Fitted.of(make_pipeline(StandardScaler(), nn.ReLU()))
            Fitted(estimator=ReLU(), steps=(StandardScaler(),), target=None)
        """
        if isinstance(model, nn.Module):
            return cls(model)
        kind = type(model).__name__
        if hasattr(model, "steps") and hasattr(model, "named_steps"):
            *before, (_, last) = model.steps
            inner = cls.of(last)
            known = tuple(step for _, step in before if step is not None and not isinstance(step, str))
            return replace(inner, steps=(*known, *inner.steps))
        inside = next((name for name in INSIDE if hasattr(model, name)), None)
        if inside is not None:
            inner = cls.of(getattr(model, inside))
            return inner if inside != "regressor_" else replace(inner, target=model.transformer_)
        if hasattr(model, "param_grid") or hasattr(model, "param_distributions") or kind in INSIDE.values():
            raise InputError(f"The {kind} has not been fitted; call its fit method first.")
        return cls(model)

    @property
    def before(self) -> Any:
        """From data as the wrappers take them to data as the network does; None if nothing lies between."""
        return self.transformed if self.steps or self.target is not None else None

    def transformed(self, data: Any) -> Any:
        """The rows that reach the network, with names of its features, and targets as it is trained on."""
        if isinstance(data, list) and len(data) == 2 and all(hasattr(part, "ndim") for part in data):
            data = tuple(data)
        if isinstance(data, tuple) and len(data) == 2:
            return self._table(data[0]), self._labels(data[1])
        if isinstance(data, (pd.DataFrame, np.ndarray, Tensor, list)) or hasattr(data, "toarray"):
            return self._table(data)
        rows = read(data)
        if rows.first.ndim != 2 or len(rows.inputs) > 1:
            raise InputError("The data of a pipeline have several inputs or axes; pass [sample, feature].")
        table = read(self._table(rows.first))
        labels = None if rows.labels is None else self._labels(rows.labels)
        return Rows(table.inputs, labels, table.feature_names)

    def _table(self, given: Any) -> Any:
        """What the steps make of a table."""
        if not self.steps:
            return given
        table = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
        known = getattr(self.steps[0], "feature_names_in_", None)
        if known is not None and not isinstance(table, pd.DataFrame):
            if np.shape(table)[1:] != (len(known),):
                raise InputError(
                    f"The data have shape {list(np.shape(table))}; the pipeline was fitted on {len(known)} "
                    f"columns: {', '.join(map(str, known))}."
                )
            table = pd.DataFrame(table, columns=known)
        columns = [str(name) for name in table.columns] if isinstance(table, pd.DataFrame) else None
        names: Sequence[str] | None = columns
        for step in self.steps:
            try:
                table = step.transform(table)
            except (ValueError, TypeError, AttributeError) as error:
                raise InputError(
                    f"The step {type(step).__name__} before the network does not take these data ({error}); "
                    "pass them as the pipeline was fitted on them."
                ) from error
            names = _names_after(step, names)
        values = table.toarray() if hasattr(table, "toarray") else np.asarray(table)
        if names is None or len(names) != values.shape[1]:
            return values
        return pd.DataFrame(values, columns=_one_to_one(names, columns or ()))

    def _labels(self, labels: Any) -> Any:
        if self.target is None:
            return labels
        values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
        return self.target.transform(values.reshape(len(values), -1))


def _names_after(step: Any, names: Sequence[str] | None) -> Sequence[str] | None:
    try:
        return [str(name) for name in step.get_feature_names_out(names)]
    except (AttributeError, ValueError, TypeError):  # not every transformer has them
        return None


def _one_to_one(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The name of the column before the steps, where a feature is that column alone.

    Example:
        >>> _one_to_one(["num__age", "cat__sex_f", "cat__sex_m"], ["age", "sex"])
        ['age', 'cat__sex_f', 'cat__sex_m']
    """
    bare = [name.rpartition("__")[2] if name not in columns else name for name in names]
    count = Counter(bare)
    return [
        short if short in columns and count[short] == 1 else name
        for name, short in zip(names, bare, strict=True)
    ]
