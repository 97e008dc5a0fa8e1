"""A flow's attribution as explanations of shap, for its plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from scipy.stats import norm

from nif.contracts import InputError
from nif.flow.places import distinct

if TYPE_CHECKING:
    import shap

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
