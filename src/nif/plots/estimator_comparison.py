"""Estimators of mutual information by their error and their time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from nif.core.errors import InputError
from nif.plots.axes import FAINT, INK, LETTER, SMALL, SOFT, TEXT, above, new_axes, plain, points, short
from nif.plots.palette import COMMUNITIES, OTHER
from nif.plots.pruning_curve import checked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("estimator", "seconds", "error")


AWAY = 7.0
"""Points between a mark and its name."""


SIDES = (
    *((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8), (-0.8, -0.8)),
    *((0, 2.4), (0, -2.4), (0.3, 2.4), (0.3, -2.4), (-0.3, 2.4), (-0.3, -2.4)),
)
"""Where a name may stand beside its mark, the best place first."""


class Box(NamedTuple):
    """The room of a text or mark, in points."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.high <= other.low or other.high <= self.low)


def estimators(results: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the error of estimators against the time of a pair, both on a scale of powers of ten.

    The best are at the lower left; the line joins those that no other beats in both. Several rows of an
    estimator, such as tasks or seeds, become the mean of their errors and the median of their times.

    Args:
        results: ``estimator``, its name; ``seconds`` for one pair; ``error`` in nats, signed or not.
        ax: Where to draw; a new figure if None.

    Raises:
        InputError: A column is missing or not numeric, there are no rows, a time is not above 0, or
            matplotlib is not installed.

    Example:
        >>> rows = [("Mine()", 0.02, 0.012), ("Binned()", 4e-5, 0.009), ("Ksg()", 0.01, -0.008)]
        >>> ax = estimators(pd.DataFrame(rows, columns=["estimator", "seconds", "error"]))
        >>> [text.get_text() for text in ax.texts]
        ['Mine()', 'Binned()', 'Ksg()']
    """
    checked(results, COLUMNS, "one row for each estimator and task")
    if not (results["seconds"] > 0).all():
        raise InputError("A time in column 'seconds' is 0 or less; expected the seconds that a pair took.")
    ax = new_axes(5.6, 3.8) if ax is None else ax
    grouped = results.assign(error=results["error"].abs()).groupby("estimator", sort=False)
    seconds, error = grouped["seconds"].median(), grouped["error"].mean()
    found = np.stack([seconds.to_numpy(float), np.maximum(error.to_numpy(float), 1e-6)], axis=1)
    _frame(ax, found)
    best = frontier(found)
    ax.plot(*found[best].T, color=OTHER, linewidth=1, zorder=1, label="no other beats these in both")
    marks = np.where(np.isin(np.arange(len(found)), best), COMMUNITIES[0], COMMUNITIES[1])
    ax.scatter(found[:, 0], found[:, 1], s=36, c=marks.tolist(), zorder=2)
    _name(ax, [short(str(name)) for name in seconds.index], found, best)
    above(ax)
    return ax


def frontier(found: Float[np.ndarray, "estimator 2"]) -> list[int]:
    """Rows that no other row beats in time and error, the fastest first.

    Example:
        >>> frontier(np.array([[1.0, 0.1], [2.0, 0.2], [3.0, 0.01]]))
        [0, 2]
    """
    best: list[int] = []
    for row in np.lexsort((found[:, 1], found[:, 0])):
        if not best or found[row, 1] < found[best[-1], 1]:
            best.append(int(row))
    return best


def _frame(ax: Axes, found: Float[np.ndarray, "estimator 2"]) -> None:
    plain(ax)
    ax.grid(which="major", color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.tick_params(which="minor", labelsize=SMALL - 0.5, labelcolor=SOFT)
    # Half a power of ten on all sides, so that names have room.
    ax.set_xlim(found[:, 0].min() / 3.5, found[:, 0].max() * 3.5)
    ax.set_ylim(found[:, 1].min() / 1.8, found[:, 1].max() * 1.8)
    ax.set_xlabel("seconds for one pair", fontsize=TEXT, color=INK)
    ax.set_ylabel("mean absolute error, nats", fontsize=TEXT, color=INK)


def _name(ax: Axes, names: Sequence[str], found: Float[np.ndarray, "estimator 2"], best: list[int]) -> None:
    """Names beside the marks, each at the first place that hides the least."""
    limits = np.log(np.array([ax.get_xlim(), ax.get_ylim()]))
    size = points(ax)
    at = (np.log(found) - limits[:, 0]) / np.ptp(limits, axis=1) * size
    taken = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in at]
    for begin, end in itertools.pairwise(at[best]):
        taken += [Box(x - 1, y - 1, x + 1, y + 1) for x, y in np.linspace(begin, end, 60)]
    room = Box(0, 0, *size)
    for name, place, (x, y) in zip(names, found, at, strict=True):
        choices = list(_boxes(name, x, y))
        hidden = [sum(map(box.meets, taken)) + 100 * (not _in(box, room)) for box in choices]
        chosen = int(np.argmin(hidden))
        taken.append(choices[chosen])
        across, up = SIDES[chosen]
        ax.annotate(
            name,
            place,
            xytext=(AWAY * across, AWAY * up),
            textcoords="offset points",
            ha=("right", "center", "left")[int(np.sign(across)) + 1],
            va=("top", "center", "bottom")[int(np.sign(up)) + 1],
            fontsize=SMALL + 0.5,
            color=INK,
            parse_math=False,
        )


def _boxes(name: str, x: float, y: float) -> Iterator[Box]:
    width, height = len(name) * LETTER * (SMALL + 0.5), 1.3 * (SMALL + 0.5)
    for across, up in SIDES:
        left = x + AWAY * across - width * (0.5 - 0.5 * np.sign(across))
        low = y + AWAY * up - height * (0.5 - 0.5 * np.sign(up))
        yield Box(left, low, left + width, low + height)


def _in(box: Box, room: Box) -> bool:
    across = room.left <= box.left and box.right <= room.right
    return bool(across and room.low <= box.low and box.high <= room.high)
