"""The flow as one self-contained HTML file: no server, no network, nothing to install."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from nif.core.errors import InputError
from nif.core.files import whole_file
from nif.report.content import Content, content

if TYPE_CHECKING:
    from nif.flow.flow import Flow
    from nif.report.pruning import Removal

ASSETS = "assets"

SCRIPTS = (
    "data.js", "text.js", "words.js", "network.js", "gestures.js", "panels.js", "pictures.js", "tables.js",
    "pruning.js", "multiples.js", "ribbons.js", "sankey.js", "known.js", "place.js", "main.js",
)  # fmt: skip
"""In the order in which they are joined to one script."""


def write(
    flow: Flow,
    path: str | os.PathLike[str],
    pruned: Removal | None = None,
    association: Flow | None = None,
    data: str | None = None,
) -> None:
    """Write the page beside `path` and rename it when it is complete; see `nif.Flow.report`."""
    with whole_file(path, "The report") as beside:
        shown = content(flow, pruned, association, data)
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces(shown))


def pieces(shown: Content) -> Iterator[str]:
    """The page piece by piece, so that it is never in memory as a whole."""
    script = "'use strict';\n(() => {\n" + "".join(map(asset, SCRIPTS)) + "})();\n"
    # The page permits the script of this hash and no other, whatever its data contain.
    permitted = f"sha256-{_base64(hashlib.sha256(script.encode()).digest())}"
    before, after = asset("page.html").split("{{data}}")
    before = before.replace("{{style}}", asset("page.css")).replace("{{script-hash}}", permitted)
    yield before.replace("{{title}}", html.escape(shown.meta["title"]))
    # No name can end the surrounding element.
    meta = json.dumps(shown.meta, allow_nan=False).replace("<", "\\u003c")
    yield f'<script type="application/json" id="meta">{meta}</script>\n'
    for name, values in shown.arrays.items():
        kind, stored = f"{values.dtype.kind}{values.itemsize}", _base64(values.tobytes())
        yield f'<script type="text/plain" data-type="{kind}" id="data-{name}">{stored}</script>\n'
    yield after.replace("{{script}}", script)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return files("nif.report").joinpath(ASSETS, name).read_text(encoding="utf-8")


LOWEST = 200
"""Pixels below which the page cannot be used."""


@dataclass(frozen=True, repr=False)
class Embedded:
    """A page in a cell of a notebook.

    The frame is sandboxed: the script of the page can access neither the notebook nor the network.

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


def embedded(flow: Flow, pruned: Removal | None, height: int) -> Embedded:
    """The page of a flow in a frame; see `nif.Flow.show`."""
    if height < LOWEST:
        raise InputError(f"height is {height}; expected {LOWEST} pixels or more, such as 700.")
    return Embedded("".join(pieces(content(flow, pruned))), height)
