"""What the tests of the page share: a flow with names, and ways to read what a browser shows."""

from __future__ import annotations

import base64
import io
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nif.flow.flow import Flow
from support.flows import random_flow

CHROMIUM = shutil.which("chromium")
ADDRESS_BAR = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup")
"""Pages of the browser itself: each new window loads them, at twice the cost of the report."""

SPARE = ("SpareRendererForSitePerProcess",)
"""A process for the next page, which no test of ours opens from the one it has."""

OFF = (
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay",
    "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)  # fmt: skip
"""What playwright switches off: of two such switches only the last counts."""

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", f"--disable-features={','.join(OFF + ADDRESS_BAR + SPARE)}",
)  # fmt: skip


def named() -> Flow:
    """4 features with names, a skip, and one constant unit."""
    flow = random_flow([4, 10, 6, 3], [(1, 3)], seed=1)
    flow.constant[1][4] = True
    silenced = [
        replace(
            found,
            nats=np.where(
                np.add.outer(flow.constant[found.source], flow.constant[found.target]), 0, found.nats
            ),
        )
        for found in flow.links
    ]
    features = ("sepal length", "sepal width", "petal length", "petal width")
    layers = (replace(flow.layers[0], units=features), *flow.layers[1:-1])
    output = replace(flow.layers[-1], units=("setosa", "versicolor", "virginica"))
    return replace(flow, layers=(*layers, output), links=tuple(silenced))


FLOW = named()


VIEWS = ("attribution", "map", "layers", "neurons", "links", "method")
"""Beside the network, of a flow without a pruning."""


def settled(page: Any, milliseconds: int = 150) -> None:
    """Waits inside the page, so that a redraw asked for before comes first on a busy machine too.

    The page draws 120 ms after the last gesture; when it is opened, at once.
    """
    page.evaluate(
        "(milliseconds) => new Promise((done) => setTimeout("
        "() => requestAnimationFrame(() => requestAnimationFrame(done)), milliseconds))",
        milliseconds,
    )


def pixels_of(page: Any, canvas: str) -> np.ndarray:
    """Red, green, blue and opacity, 0 to 255."""
    image = pytest.importorskip("matplotlib.image")
    address = page.evaluate("(canvas) => document.querySelector(canvas).toDataURL('image/png')", canvas)
    drawn = image.imread(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.round(drawn * 255).astype(np.uint8)


def place_of(page: Any, colour: str, column: float) -> tuple[float, float]:
    """A point of the picture that has this colour, in the given share of its width."""
    drawn = pixels_of(page, "#base")
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    hits = np.argwhere(
        (np.abs(drawn[..., :3].astype(int) - wanted).sum(axis=-1) < 6) & (drawn[..., 3] == 255)
    )
    hits = hits[np.abs(hits[:, 1] / drawn.shape[1] - column) < 0.1]
    box = page.locator("#picture").bounding_box()
    row, at = np.median(hits, axis=0)
    return box["x"] + at + 1, box["y"] + row + 1


def shown_number(page: Any) -> int:
    return int(page.inner_text("#shown").split(" of ")[0].replace(",", ""))


def unfolded(page: Any) -> None:
    """The controls, which a phone shows when they are asked for."""
    page.evaluate("for (const folded of document.querySelectorAll('.controls')) folded.open = true")


def find(page: Any, text: str) -> None:
    unfolded(page)
    page.fill("#find", text)
    page.press("#find", "Enter")


def facts(page: Any, panel: str = "#detail") -> dict[str, str]:
    terms = page.locator(f"{panel} dt").all_inner_texts()
    return dict(zip(terms, page.locator(f"{panel} dd").all_inner_texts(), strict=True))


def column_of(page: Any, section: str, number: int) -> list[str]:
    texts: list[str] = page.locator(f"#{section} tbody td:nth-child({number})").all_inner_texts()
    return texts
