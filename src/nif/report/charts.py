"""Line charts and trajectories as SVG, for the page of a training run."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from nif.core.text import visible
from nif.plots.training_run import apart

WIDTH, HEIGHT = 450.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 136.0, 12.0, 40.0
"""Room for the numbers, and for the names where lines end."""

LETTERS = 15
"""Of a name at a line."""

TEXT = 13.0
"""Between two names."""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve over the epochs.

    Attributes:
        name: Written where it ends.
        y: Its heights.
        colour: A class of the style sheet, such as ``"c0"``.
        low: Lower end of its band; none if None.
        high: Upper end.
        x: Its places, if they are not the epochs; the last point is then larger.
    """

    name: str
    y: Float[np.ndarray, " point"]
    colour: str
    low: Float[np.ndarray, " point"] | None = None
    high: Float[np.ndarray, " point"] | None = None
    x: Float[np.ndarray, " point"] | None = None


def chart(
    lines: Sequence[Line],
    epochs: Sequence[int],
    labels: tuple[str, str],
    *,
    percent: bool = False,
) -> str:
    """Lines with a point and a tip at every epoch.

    Args:
        lines: Of equal length; NaN leaves a gap.
        epochs: Of the points.
        labels: Below the horizontal axis, and beside the vertical one.
        percent: Write heights as percentages.

    Example:
        >>> rising = Line("total <nats>", np.array([0.1, 0.9]), "c0")
        >>> picture = chart([rising], [0, 10], ("epoch", "nats"))
        >>> picture.count("<circle"), "total &lt;nats&gt;" in picture
        (2, True)
    """
    places = [np.asarray(epochs, dtype=float) if line.x is None else line.x for line in lines]
    over_epochs = all(line.x is None for line in lines)
    x = _Scale.of(places, LEFT, WIDTH - RIGHT, from_zero=not over_epochs)
    heights = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    y = _Scale.of(heights, HEIGHT - BOTTOM, TOP)
    parts = [_axes(x, y, labels, percent=percent)]
    for line, at in zip(lines, places, strict=True):
        parts.append(_line(line, x.at(at), y, epochs, percent=percent))
    parts.append(_names([(line.name, y.at(line.y)[-1], line.colour) for line in lines]))
    title = html.escape(f"{labels[1]} over {labels[0]}")
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


@dataclass(frozen=True)
class _Scale:
    """From numbers to places between two ends."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def of(cls, values: Sequence[np.ndarray], begin: float, end: float, *, from_zero: bool = True) -> _Scale:
        finite = np.concatenate([part[np.isfinite(part)] for part in values] or [np.zeros(1)])
        low, high = (float(of(finite)) if len(finite) else 0.0 for of in (np.min, np.max))
        low, high = (min(low, 0.0), max(high, 0.0)) if from_zero else (low, high)
        return cls(low, high if high > low else low + 1.0, begin, end)

    def at(self, values: Any) -> Any:
        return self.begin + (values - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Some four round numbers."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** np.floor(np.log10(rough))
        step = power * next(times for times in (1, 2, 2.5, 5, 10) if times * power >= 0.999 * rough)
        first, last = int(np.ceil(self.low / step - 1e-9)), int(np.floor(self.high / step + 1e-9))
        return [step * number for number in range(first, last + 1)]


def _text(text: str, x: float, y: float, kind: str = "soft", anchor: str = "middle", before: str = "") -> str:
    """Names may hold anything: control characters show as their codes."""
    said = before + html.escape(visible(text))
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>'


def _axes(x: _Scale, y: _Scale, labels: tuple[str, str], *, percent: bool) -> str:
    zero, right = y.at(0.0), WIDTH - RIGHT
    parts = [f'<line class="axis" x1="{LEFT:g}" x2="{right:g}" y1="{zero:.1f}" y2="{zero:.1f}"/>']
    for tick in y.ticks():
        said = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts.append(_text(said, LEFT - 6, y.at(tick) + 4, anchor="end"))
    parts += [_text(f"{tick:g}", x.at(tick), HEIGHT - BOTTOM + 17) for tick in x.ticks()]
    return "".join([*parts, _text(labels[0], (LEFT + right) / 2, HEIGHT - 6)])


def _line(
    line: Line, x: Float[np.ndarray, " point"], y: _Scale, epochs: Sequence[int], *, percent: bool
) -> str:
    parts = []
    if line.low is not None and line.high is not None:
        upper, lower = y.at(line.high), y.at(line.low)
        edge = [*zip(x, upper, strict=True), *zip(x[::-1], lower[::-1], strict=True)]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in edge if np.isfinite(b))
        parts.append(f'<polygon class="band {line.colour}" points="{points}"/>')
    found = [(a, b) for a, b in zip(x, y.at(line.y), strict=True) if np.isfinite(a + b)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in found)
    parts.append(f'<polyline class="{line.colour}" points="{points}"/>')
    for epoch, a, value in zip(epochs, x, line.y, strict=True):
        if np.isfinite(a + value):
            said = f"{100 * value:.1f} %" if percent else f"{value:.3f}"
            tip = html.escape(visible(f"{line.name}, epoch {epoch}: {said}"))
            radius = 5 if line.x is not None and epoch == epochs[-1] else 3
            place = f'cx="{a:.1f}" cy="{y.at(value):.1f}" r="{radius}"'
            parts.append(f'<circle class="{line.colour}" {place}><title>{tip}</title></circle>')
    return "".join(parts)


def _names(ends: Sequence[tuple[str, float, str]]) -> str:
    """At the right edge at the heights where lines end, moved apart."""
    known = [end for end in ends if np.isfinite(end[1])]
    heights = np.array([height for _, height, _ in known]) - TOP
    moved = TOP + apart(heights, TEXT, HEIGHT - BOTTOM - TOP)
    parts = []
    for (name, _, colour), height in zip(known, moved, strict=True):
        short = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
        dot = f'<tspan class="dot {colour}">\N{BLACK CIRCLE}</tspan> '
        parts.append(_text(short, WIDTH - RIGHT + 6, height + 4, "name", "start", dot))
    return "".join(parts)
