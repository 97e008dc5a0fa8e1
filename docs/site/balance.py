"""Draw the worked number of the page on currents: ``python docs/site/balance.py``.

A linear network of three features and two hidden units, f = h1 + h2 with h1 = 2 x1 + x2 / 2 and h2 = x2 / 2.
Every number is the closed form that the page states: the total times Cov(part, f) / Var f.
"""

from __future__ import annotations

import math
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "balance.svg"

TOTAL = 0.5 * math.log(1 + 1 / 0.2**2)
"""Nats of a value behind noise of .2 of its deviation."""

FIRST, SECOND = 2 * (2 + 0.6), 1 * (1 + 2 * 0.6)
"""Covariances of 2 x1 and of x2 with f = 2 x1 + x2, if x1 and x2 have variance 1 and correlation .6."""

LINKS = {
    ("x1", "h1"): FIRST / (FIRST + SECOND),
    ("x2", "h1"): 0.5 * SECOND / (FIRST + SECOND),
    ("x2", "h2"): 0.5 * SECOND / (FIRST + SECOND),
    ("h1", "decision"): (FIRST + 0.5 * SECOND) / (FIRST + SECOND),
    ("h2", "decision"): 0.5 * SECOND / (FIRST + SECOND),
}
"""Shares of the total."""

PLACES = {"x1": (60, 70), "x2": (60, 170), "x3": (60, 250), "h1": (300, 95), "h2": (300, 210)}
PLACES["decision"] = (540, 140)

THICK = 40
"""Of a ribbon that carries the total."""

STYLE = """text { font-family: system-ui, sans-serif; font-size: 14px; text-anchor: middle; fill: #1b2733; }
.unit { fill: #dbe7f3; stroke: #4f7cac; stroke-width: 1.5; }
.link { stroke: #7fa8cf; fill: none; stroke-opacity: 0.75; }
.name { font-weight: 600; }
.sheet { fill: #ffffff; }"""


def carried(unit: str) -> float:
    """What flows through a unit, as a share of the total.

    >>> [round(carried(unit) * TOTAL, 3) for unit in PLACES]
    [1.145, 0.484, 0.0, 1.387, 0.242, 1.629]
    """
    out = sum(share for (source, _), share in LINKS.items() if source == unit)
    return out or sum(share for (_, target), share in LINKS.items() if target == unit)


def svg() -> str:
    """The picture: ribbons as thick as what they carry."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 290" role="img">']
    parts.append("<title>Nats through each link and unit; every layer carries the total</title>")
    parts.append(f"<style>{STYLE}</style>")
    parts.append('<rect class="sheet" width="620" height="290" rx="8"/>')
    for (source, target), share in LINKS.items():
        (x, y), (end, at) = PLACES[source], PLACES[target]
        middle = (x + end) // 2
        way = f"M{x} {y} C{middle} {y} {middle} {at} {end} {at}"
        parts.append(f'<path class="link" stroke-width="{share * THICK:.1f}" d="{way}"/>')
        parts.append(f'<text x="{middle}" y="{(y + at) // 2 + 5}">{share * TOTAL:.3f}</text>')
    for unit, (x, y) in PLACES.items():
        parts.append(f'<rect class="unit" x="{x - 44}" y="{y - 21}" width="88" height="42" rx="6"/>')
        parts.append(f'<text class="name" x="{x}" y="{y - 3}">{unit}</text>')
        parts.append(f'<text x="{x}" y="{y + 14}">{carried(unit) * TOTAL:.3f}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
