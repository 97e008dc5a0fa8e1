"""Draw the rooms of the package and their imports: ``python docs/site/rooms.py``.

The arrows are the list that `tests/test_imports.py` checks, without those that follow from others.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"

WIDTH, HEIGHT = 152, 50
"""Of a box."""

COLUMN, ROW, MARGIN = 184, 92, 16

PLACES = {
    "comparison": (0, 1),
    "watch": (2, 1),
    "report": (4, 1),
    "pipeline": (1, 2),
    "measures": (1, 3),
    "pruning": (2, 3),
    "plots": (3, 3),
    "estimators": (0, 4),
    "network": (1, 4),
    "flow": (2, 4),
    "datasets": (4, 4),
    "data": (1, 5),
}
"""Column and row of every box; ``cli`` is the bar at the top, ``core`` the bar at the bottom."""

WORDS = {
    "comparison": "other attributions",
    "watch": "epochs of a training",
    "report": "one HTML page",
    "pipeline": "measure()",
    "measures": "links in nats",
    "pruning": "smaller networks",
    "plots": "figures",
    "estimators": "mutual information",
    "network": "a model as units",
    "flow": "the result",
    "datasets": "iris, digits, …",
    "data": "rows",
}
LAST = max(row for _, row in PLACES.values()) + 1
BAR = 4 * COLUMN + WIDTH

STYLE = """text { font-family: system-ui, sans-serif; text-anchor: middle; fill: #1b2733; }
.name { font-size: 16px; font-weight: 600; }
.words { font-size: 13px; }
.package { fill: #dbe7f3; stroke: #4f7cac; stroke-width: 1.5; }
.module { fill: #fff3d6; stroke: #b08a2e; stroke-width: 1.5; }
.arrow { stroke: #7d8a97; stroke-width: 1.8; fill: none; marker-end: url(#tip); }
.types { stroke-dasharray: 5 4; }"""


def arrows(allowed: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Pairs of an importing and an imported room, without those that follow from other pairs.

    >>> arrows({"flow": {"core"}, "core": set(), "plots": {"flow", "core"}})
    [('flow', 'core'), ('plots', 'flow')]
    """
    below = {room: set().union(*(reached(allowed, other) for other in allowed[room])) for room in allowed}
    return sorted((room, other) for room in allowed for other in allowed[room] - below[room])


def reached(allowed: Mapping[str, set[str]], room: str) -> set[str]:
    """Every room that a room imports, by way of others too."""
    return allowed[room].union(*(reached(allowed, other) for other in allowed[room]))


def svg(allowed: Mapping[str, set[str]]) -> str:
    """The picture, readable on a light and on a dark page."""
    right, bottom = BAR + 2 * MARGIN, LAST * ROW + HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {bottom}" role="img">',
        "<title>The rooms of the package; an arrow leads from a room to one that it imports</title>",
        f"<style>{STYLE}</style>",
        '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#7d8a97"/></marker>',
        *(_arrow(room, other) for room, other in arrows(allowed)),
        _box("cli", "the command nif: may import everything", MARGIN, MARGIN, BAR, "package"),
        *(_room(name) for name in PLACES),
        _box("core", "layers, links, errors, files: imported by all", MARGIN, _top(LAST), BAR, "package"),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _room(name: str) -> str:
    column, row = PLACES[name]
    kind = "package" if (ROOT / "src" / "nif" / name).is_dir() else "module"
    return _box(name, WORDS[name], MARGIN + column * COLUMN, _top(row), WIDTH, kind)


def _box(name: str, words: str, left: int, top: int, width: int, kind: str) -> str:
    middle = left + width // 2
    return (
        f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{HEIGHT}" rx="6"/>'
        f'<text class="name" x="{middle}" y="{top + 21}">{name}</text>'
        f'<text class="words" x="{middle}" y="{top + 40}">{words}</text>'
    )


def _arrow(room: str, other: str) -> str:
    column, row = PLACES[room]
    column_below, row_below = PLACES.get(other, (column, LAST))
    # Arrows leave and arrive a little apart, on the side that they come from.
    lean = (column_below > column) - (column_below < column)
    start, end = _middle(column) + 36 * lean, _middle(column_below) - 36 * lean
    kind = "arrow types" if (room, other) == ("report", "pruning") else "arrow"
    return f'<path class="{kind}" d="M{start} {_top(row) + HEIGHT}L{end} {_top(row_below)}"/>'


def _middle(column: int) -> int:
    return MARGIN + column * COLUMN + WIDTH // 2


def _top(row: int) -> int:
    return MARGIN + row * ROW


def allowed_imports() -> Mapping[str, set[str]]:
    """The list of the test."""
    spec = importlib.util.spec_from_file_location("test_imports", ROOT / "tests" / "test_imports.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.MAY_IMPORT)


if __name__ == "__main__":
    PICTURE.write_text(svg(allowed_imports()), "utf-8")
