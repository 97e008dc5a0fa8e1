"""The bars of shap with the intervals that shap leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from nif.contracts import InputError
from nif.flow.explanations import LEVEL
from nif.plots.paper import new_axes

NUMBER = 0.15
"""Width of a number beside a bar, as a share of what the bars take."""

if TYPE_CHECKING:
    import shap
    from matplotlib.axes import Axes


def shap_bar(explanation: shap.Explanation, ax: Axes | None = None, *, max_display: int = 10) -> Axes:
    """The bars of ``shap.plots.bar`` with the 95 % intervals of an explanation, which that leaves out.

    Args:
        explanation: One of `Flow.to_shap`.
        ax: Where to draw; a new figure if None.
        max_display: Bars to draw. The last is the sum of all other features, whose errors are taken as
            independent.

    Raises:
        InputError: The explanation has no errors, such as one that shap has made.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = shap_bar(example().to_shap()["yes"])
        >>> [round(float(bar.get_width()), 2) for bar in ax.patches]
        [0.1, 0.0]
    """
    import shap

    if getattr(explanation, "error_std", None) is None:
        raise InputError("The explanation has no standard errors; give one that flow.to_shap() has made.")
    if ax is None:
        ax = new_axes(8.0, 0.5 * min(max_display, len(explanation.values)) + 1.5)
    shap.plots.bar(explanation, max_display=max_display, ax=ax, show=False)
    ends, errors = _shown(explanation, max_display)
    half = norm.ppf(0.5 + LEVEL / 2) * errors
    ax.errorbar(ends, np.arange(len(ends), 0, -1), xerr=half, fmt="none", ecolor="black", capsize=3)
    _make_room(ax, ends, half)
    ax.set_xlabel("attribution, with 95 % interval")
    return ax


def _make_room(ax: Axes, ends: Float[np.ndarray, " bar"], half: Float[np.ndarray, " bar"]) -> None:
    """Move the numbers behind the intervals, and the limits behind the numbers."""
    low, high = min(0.0, (ends - half).min()), max(0.0, (ends + half).max())
    width = high - low or 1.0
    for text, end, reach in zip(ax.texts, ends, half, strict=True):
        text.set_x(end + (reach + width / 60 if end >= 0 else -reach - width / 60))
    numbers = NUMBER * width
    ax.set_xlim(low - (numbers if (ends < 0).any() else width / 60 if low < 0 else 0.0), high + numbers)


def _shown(
    explanation: shap.Explanation, max_display: int
) -> tuple[Float[np.ndarray, " bar"], Float[np.ndarray, " bar"]]:
    """Values and standard errors of the bars from the top."""
    values, errors = np.asarray(explanation.values), np.asarray(explanation.error_std)
    order, shown = np.argsort(-np.abs(values)), min(max_display, len(values))
    ends, squares = values[order], errors[order] ** 2
    if shown < len(values):
        ends = np.append(ends[: shown - 1], ends[shown - 1 :].sum())
        squares = np.append(squares[: shown - 1], squares[shown - 1 :].sum())
    return ends, np.sqrt(squares)
