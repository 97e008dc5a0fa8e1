"""A flow's attribution as explanations of shap, for its plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from nif.contracts import InputError
from nif.flow.places import distinct

if TYPE_CHECKING:
    import shap
    from matplotlib.axes import Axes

LEVEL = 0.95
"""Of the intervals that an explanation carries."""


def to_shap(attribution: pd.DataFrame, stderr: pd.DataFrame) -> dict[str, shap.Explanation]:
    """One explanation for each class, with its standard error and 95 % interval.

    Args:
        attribution: Features x classes.
        stderr: Its standard errors.

    Raises:
        InputError: shap is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise InputError(
            "to_shap needs shap; install it with pip install 'neural-information-flow[compare]'."
        ) from error
    half = norm.ppf(0.5 + LEVEL / 2) * stderr.to_numpy()
    values, names = attribution.to_numpy(), distinct([str(name) for name in attribution.index])
    return {
        label: shap.Explanation(
            values[:, place].copy(),
            base_values=0.0,
            feature_names=names,
            lower_bounds=values[:, place] - half[:, place],
            upper_bounds=values[:, place] + half[:, place],
            error_std=stderr.to_numpy()[:, place].copy(),
        )
        for place, label in enumerate(distinct([str(label) for label in attribution.columns]))
    }


def error_bars(explanation: shap.Explanation, ax: Axes, max_display: int = 10) -> Any:
    """Draw the intervals of an explanation over the bars that `shap.plots.bar` has drawn.

    `shap.plots.waterfall` draws them by itself; `shap.plots.bar` does not know them.

    Args:
        explanation: One of `Flow.to_shap`.
        ax: What ``shap.plots.bar(explanation, show=False)`` returned.
        max_display: As given to it. The last bar is the sum of all other features, whose errors are taken as
            independent.

    Returns:
        What matplotlib's ``errorbar`` returns.
    """
    values, errors = np.asarray(explanation.values), np.asarray(explanation.error_std)
    order, shown = np.argsort(-np.abs(values)), min(max_display, len(values))
    ends, squares = values[order], errors[order] ** 2
    if shown < len(values):
        ends = np.append(ends[: shown - 1], ends[shown - 1 :].sum())
        squares = np.append(squares[: shown - 1], squares[shown - 1 :].sum())
    half = norm.ppf(0.5 + LEVEL / 2) * np.sqrt(squares)
    return ax.errorbar(ends, np.arange(shown, 0, -1), xerr=half, fmt="none", ecolor="black", capsize=3)
