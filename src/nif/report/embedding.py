"""The page inside a notebook: a frame that holds the whole of it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nif.contracts import InputError
from nif.paths import Dag
from nif.report.content import content
from nif.report.page import pieces

if TYPE_CHECKING:
    from nif.flow.flow import Flow
    from nif.report.removal import Removal

LOWEST = 200
"""Pixels below which the page can not be used."""


@dataclass(frozen=True, repr=False)
class Embedded:
    """A page that a notebook shows in a cell.

    The frame is sandboxed: the page's own script runs, and can reach neither the notebook nor the network.

    Attributes:
        page: The HTML document.
        height: Of the frame in pixels; its width is that of the cell.
    """

    page: str
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" sandbox="allow-scripts allow-downloads" '
            f'allow="clipboard-write" title="Neural information flow" loading="lazy" '
            f'style="width:100%;height:{self.height}px;border:1px solid rgba(128,128,128,.45)"></iframe>'
        )

    def __repr__(self) -> str:
        return (
            f"The report of a flow ({len(self.page) / 1e6:.1f} MB), for a notebook; flow.report writes a file"
        )


def embedded(flow: Flow, dag: Dag, pruned: Removal | None, height: int) -> Embedded:
    """The page of a flow in a frame.

    Raises:
        InputError: The frame is too low, or the pruning is of another network.
    """
    if height < LOWEST:
        raise InputError(f"height is {height}; expected {LOWEST} pixels or more, such as 700.")
    return Embedded("".join(pieces(content(flow, dag, pruned))), height)
