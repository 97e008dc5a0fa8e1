"""The attribution of each feature as bars with intervals, beside those of other methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from nif.core.arguments import checked_arguments
from nif.core.errors import InputError, nearest
from nif.plots.axes import INK, LETTER, SMALL, SOFT, TEXT, above, new_axes, plain, points, short, whiskers
from nif.plots.palette import AGAINST, COMMUNITIES, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nif.comparison.compare import Comparison
    from nif.flow.flow import Flow

COLOURS = {
    "currents": COMMUNITIES[0],
    "association": COMMUNITIES[3],
    "SHAP": COMMUNITIES[1],
    "integrated gradients": COMMUNITIES[2],
    "SAGE": COMMUNITIES[5],
    "raw MI": OTHER,
    "association (DAVIS2019)": COMMUNITIES[4],
    "random ranking": "#C3C7CE",
}

LEFT_OUT = ("random ranking",)
"""Methods that are drawn only on request."""


class Bars(NamedTuple):
    """The bars of one method, one for each feature; the error is 0 if there is none."""

    method: str
    value: Float[np.ndarray, " feature"]
    stderr: Float[np.ndarray, " feature"]


@checked_arguments(hints={"comparison": "Of one class pass label={}."})
def attribution(
    flow: Flow,
    comparison: Comparison | None = None,
    *,
    label: str | None = None,
    methods: Sequence[str] | None = None,
    most: int = 15,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the attribution of each feature as a bar, the largest on top.

    All classes together are drawn as shares of the whole, which compare with other methods; one class too,
    with intervals that take the whole as known. Currents are signed: shares of the total, or the current for
    one class in nats; the largest without their sign are on top.

    Args:
        flow: The measured flow.
        comparison: The result of `nif.compare` for the flow; its methods are drawn beside it.
        label: Name of one class; all together if None.
        methods: Methods of the comparison to draw; all but the random ranking if None.
        most: The number of features to draw; the figure says how many are left out.
        level: Level of the intervals.
        ax: Axes to draw into; a new figure if None.

    Raises:
        InputError: No such class or method, one class beside a comparison (which is of all classes), or
            matplotlib is not installed.

    Example:
        >>> from nif.flow.flow import example
        >>> ax = attribution(example())
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['left', 'right']
    """
    bars = [_ours(flow, label), *_others(flow, comparison, label, methods)]
    if methods is not None and bars[0].method not in methods:
        bars = bars[1:]
    strength = bars[0].value if flow.currents is None else np.abs(bars[0].value)
    order = np.argsort(-strength, kind="stable")[:most]
    names = [str(name) for name in flow.attribution().index[order]]
    ax = new_axes(6.4, 1.3 + len(order) * (0.14 + 0.13 * len(bars))) if ax is None else ax
    for place, method in enumerate(bars):
        _draw(ax, method, order, place, len(bars), flow.by_unit.deviations(level))
    _name(ax, names)
    _explain(ax, flow, bars, label=label, level=level, left_out=len(bars[0].value) - len(order))
    return ax


def _method(flow: Flow) -> str:
    """Row of a comparison that is the attribution of the flow."""
    return "association" if flow.currents is None else "currents"


def _ours(flow: Flow, label: str | None) -> Bars:
    if label is None:
        table = flow.shares()
        return Bars(_method(flow), table["share"].to_numpy(), table["stderr"].to_numpy())
    table = flow.attribution()
    if label not in table.columns:
        known = [str(name) for name in table.columns]
        raise InputError(f"There is no class {label!r}.{nearest(label, known)} There are {', '.join(known)}.")
    whole = 1.0 if flow.currents is not None else float(table.to_numpy().sum()) or 1.0
    stderr = flow.attribution_stderr()[label].to_numpy()
    return Bars(_method(flow), table[label].to_numpy() / whole, stderr / whole)


def _others(
    flow: Flow, comparison: Comparison | None, label: str | None, methods: Sequence[str] | None
) -> list[Bars]:
    if comparison is None:
        if methods is not None:
            raise InputError("methods chooses from a comparison; pass one, made by nif.compare.")
        return []
    if label is not None:
        raise InputError(
            f"A comparison is of all classes together and label is {label!r}; leave out one of the two."
        )
    table = comparison.attributions
    groups = table.groupby("method", sort=False)
    values = {str(name): rows["attribution"].to_numpy() for name, rows in groups}
    if len(next(iter(values.values()))) != len(flow.attribution()):
        raise InputError("The comparison is of a network with other features than the flow's.")
    if unknown := sorted(set(methods or ()) - set(values)):
        raise InputError(f"The comparison has no {unknown[0]!r}; it has {', '.join(values)}.")
    wanted = [name for name in values if (name in methods if methods is not None else name not in LEFT_OUT)]
    order = [name for name in (*COLOURS, *values) if name in wanted and name != _method(flow)]
    return [Bars(name, values[name], np.zeros(len(values[name]))) for name in dict.fromkeys(order)]


def _draw(ax: Axes, bars: Bars, order: np.ndarray, place: int, methods: int, width: float) -> None:
    """The bars of one method, the `place`-th of `methods`; half an interval is `width` errors."""
    height = 0.8 / methods
    y = np.arange(len(order)) + height * (place - (methods - 1) / 2)
    value, stderr = bars.value[order], bars.stderr[order]
    colour = COLOURS.get(bars.method, OTHER)
    shades = [AGAINST if below and methods == 1 else colour for below in value < 0]
    ax.barh(y, value, 0.9 * height, color=shades, label=bars.method)
    if stderr.any():
        whiskers(ax, value, y, width * stderr, "x", signed=bool((value < 0).any()))


def _name(ax: Axes, names: Sequence[str]) -> None:
    plain(ax, grid="x")
    ax.set_ylim(len(names) - 0.5, -0.5)
    size = float(np.clip(0.85 * points(ax)[1] / len(names), SMALL - 1.5, TEXT))
    ax.set_yticks(range(len(names)), [short(name) for name in names], fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    below = ax.dataLim.x0 < 0
    ax.set_xlim(left=ax.get_xlim()[0] if below else 0.0)
    if below:
        ax.axvline(0.0, color=SOFT, linewidth=0.8)
        ax.spines["left"].set_visible(False)


def _explain(
    ax: Axes, flow: Flow, bars: Sequence[Bars], *, label: str | None, level: float, left_out: int
) -> None:
    what = _axis(flow, label)
    rest = f" · {left_out:,} weaker features not drawn" if left_out else ""
    interval = f" · lines: {level:.0%} interval" if bars[0].stderr.any() else ""
    meaning = f"{what}{interval}{rest}"
    fits = points(ax)[0] / (LETTER * len(meaning))
    if fits < SMALL - 1:
        meaning, fits = f"{what}\n{interval}{rest}".replace("\n · ", "\n"), 1.8 * fits
    ax.set_xlabel(meaning, fontsize=float(np.clip(fits, SMALL - 1.5, TEXT)), color=SOFT)
    if len(bars) > 1:
        above(ax)
        return
    kind, to = ("Attribution", "to") if flow.currents is None else ("Currents", "for")
    one = flow.currents is not None and len(flow.currents.classes) == 1
    title = kind if label is None or one else f"{kind} {to} {short(label)}"
    ax.set_title(title, loc="left", fontsize=TEXT + 1, color=INK, weight="bold", parse_math=False)


def _axis(flow: Flow, label: str | None) -> str:
    """What the bars show, and in which unit."""
    if flow.currents is not None:
        return "current (nats)" if label is not None else f"share of the total of {flow.currents.total}"
    return "share of the attribution to all classes"
