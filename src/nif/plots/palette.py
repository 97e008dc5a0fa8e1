"""Colours that can be distinguished with any kind of colour vision."""

from __future__ import annotations

from collections.abc import Sequence

COMMUNITIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#574B00", "#4B3BA5")
"""After Okabe & Ito (2008), Color Universal Design, with its yellow and black replaced: both vanish on paper
or among links. One for each of the largest communities."""

COMMUNITIES_ON_DARK = (
    "#4FA8E8", "#F0B030", "#2CC495", "#E39AC6", "#9AD3F5", "#F28C4B", "#E8E070", "#8578E8",
)  # fmt: skip
"""The same hues, lighter, for a dark ground."""

OTHER = "#6B7079"
"""For smaller communities, and units in none."""

FOR, AGAINST = "#0072B2", "#C1440E"
"""Currents above and below 0; they differ in hue, and negative links are also dashed."""

FOR_ON_DARK, AGAINST_ON_DARK = "#4FA8E8", "#FF8A50"
"""The same hues, lighter, for a dark ground."""


def colours(labels: Sequence[int]) -> list[str]:
    """The colour of each community.

    Example:
        >>> colours([0, -1])
        ['#0072B2', '#6B7079']
    """
    return [COMMUNITIES[label] if 0 <= label < len(COMMUNITIES) else OTHER for label in labels]
