"""The table of the paper beside the same comparison here, with a note on both."""

from __future__ import annotations

from typing import NamedTuple

from nif.cli.text import numbers, p_values, paragraph, table
from nif.comparison.compare import Comparison


class PublishedRow(NamedTuple):
    """A row of the paper's table: its name there and here, the two-sample Kolmogorov–Smirnov statistic of an
    attribution and raw mutual information, and the asymptotic p-value."""

    name: str
    ours: str
    statistic: float
    p_value: float


PUBLISHED_TABLE = (
    PublishedRow("NIF", "association (DAVIS2019)", 1.0, 0.011),
    PublishedRow("SHAP", "SHAP", 0.75, 0.107),
    PublishedRow("integrated gradients", "integrated gradients", 0.25, 0.996),
)
"""Davis et al. (2019): attributions of four features against their raw mutual information with the label."""

NOTE = (
    "A small p-value rejects that two sets of values have the same distribution. The paper's table therefore "
    "contradicts the sentence above it: NIF as published is the attribution furthest from raw mutual "
    "information (D = 1, p = .011), and integrated gradients the nearest (D = .25, p = .996). Its p-values "
    "are the asymptotic ones with Stephens' factor. With four values against four the exact ones differ: "
    ".029 at D = 1, .229 at D = .75. The test compares the spread of the values and ignores their order, and "
    "four values give it little power; rank correlation and the deletion test above are more informative."
)


def beside_published(comparison: Comparison) -> str:
    """The published table, ours, and the note."""
    rows = [row for row in PUBLISHED_TABLE if row.ours in comparison.index]
    ours = comparison.loc[[row.ours for row in rows]]
    text = table(
        {
            "against raw MI": [row.name for row in rows],
            "D published": numbers([row.statistic for row in rows], ".2f"),
            "p published": p_values([row.p_value for row in rows]),
            "D here": numbers(ours["ks"], ".2f"),
            "p asymptotic": p_values(ours["ks_p_asymptotic"]),
            "p exact": p_values(ours["ks_p_exact"]),
        }
    )
    return f"{text}\n{paragraph(NOTE)}"
