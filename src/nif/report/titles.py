"""The title of the page: model, data, accuracy, rows and date, as far as they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nif.core.html import short

if TYPE_CHECKING:
    from nif.flow.flow import Flow

MOST_LETTERS = 60
"""Of a name in a title."""


def title(flow: Flow, data: str | None = None) -> str:
    """
    Args:
        flow: Of currents or association.
        data: The name of the data, in place of the one that the flow knows.

    Example:
        >>> from dataclasses import replace
        >>> from nif.flow.flow import example
        >>> flow = example()
        >>> about = {"model": "Sequential", "score": "accuracy", "value": 0.9667}
        >>> measured = replace(flow.measurement, began="2026-11-28T10:00:00", about=about)
        >>> title(replace(flow, measurement=measured), "iris")
        'Sequential on iris · accuracy 96.7 % · 500 rows · 2026-11-28'
        >>> title(flow)
        'Neural information flow · 500 rows'
    """
    measured = flow.measurement
    about = measured.about
    names = about.get("model", ""), data or about.get("data", "")
    model, name = (short(str(text), MOST_LETTERS) for text in names)
    subject = " on ".join(filter(None, [model or ("a network" if name else ""), name]))
    parts = [subject or "Neural information flow", _score(about.get("score", ""), about.get("value"))]
    parts += [f"{measured.samples:,} rows", (measured.began or "")[:10]]
    return " · ".join(filter(None, parts))


def _score(name: str, value: float | None) -> str:
    """
    Example:
        >>> _score("accuracy", 0.9667), _score("R²", 0.5), _score("", None)
        ('accuracy 96.7 %', 'R² 0.500', '')
    """
    if value is None:
        return ""
    return f"{name} {100 * value:.1f} %" if name.startswith("accuracy") else f"{name} {value:.3f}"
