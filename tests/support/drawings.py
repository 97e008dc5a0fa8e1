"""Whether a figure can be read: its texts, apart from one another and inside."""

from __future__ import annotations

import itertools

import matplotlib.text
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def texts_of(figure: Figure) -> list[matplotlib.text.Text]:
    """All texts of a figure that are seen."""
    figure.canvas.draw()
    unseen = {text for ax in figure.axes for text in _unseen(ax)}
    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_text().strip() and text.get_visible() and text not in unseen]


def _unseen(ax: Axes) -> list[matplotlib.text.Text]:
    """Labels of ticks outside of the limits, or of axes that are switched off."""
    found = [] if ax.axison else [ax.xaxis.label, ax.yaxis.label]
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not (ax.axison and low <= tick.get_loc() <= high):
                found += [tick.label1, tick.label2]
    return found


def assert_apart(figure: Figure) -> list[tuple[str, matplotlib.transforms.Bbox]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    assert len(boxes) >= 3
    for (name, one), (other_name, other) in itertools.combinations(boxes, 2):
        assert not one.padded(-0.5).overlaps(other), f"{name!r} lies on {other_name!r}"
    return boxes


def assert_readable(ax: Axes) -> None:
    boxes = assert_apart(ax.figure)
    page = ax.figure.bbox.padded(1)
    for name, box in boxes:
        inside = page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert inside, f"{name!r} is cut off"
