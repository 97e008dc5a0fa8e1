"""Every view of a real network's report, on a desk and on a phone: seen by axe-core, and kept to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import nif
from nif.cli.experiment.classifier import classifier, train
from nif.network.preserve import one_thread
from support.browsing import VIEWS, find

KEPT = Path(__file__).parents[2] / "build" / "report"
"""Pictures of each view, made anew by every run."""

SCREENS = {
    "desk-light": (1280, 800, "light"),
    "desk-dark": (1280, 800, "dark"),
    "phone-light": (390, 844, "light"),
    "phone-dark": (390, 844, "dark"),
}


@pytest.fixture(scope="module")
def digits() -> tuple[nif.Flow, nif.Pruned]:
    """A network that reads 8 x 8 pixels, measured, and half of it pruned."""
    return measured_and_pruned(1, (32, 16))


@pytest.fixture(scope="module")
def small_digits() -> tuple[nif.Flow, nif.Pruned]:
    """The same with 4 x 4 pixels: axe-core takes its time for every row of a table."""
    return measured_and_pruned(2, (8, 6))


def measured_and_pruned(stride: int, hidden: tuple[int, ...]) -> tuple[nif.Flow, nif.Pruned]:
    data = nif.datasets.split(nif.datasets.load("digits"), seed=0).train
    pixels = np.arange(64).reshape(8, 8)[::stride, ::stride].ravel()
    x, y = torch.from_numpy(data.x[:, pixels]), torch.from_numpy(data.y)
    model = classifier((len(pixels), *hidden, 10), seed=0)
    side = 8 // stride
    names = [f"pixel {row} {column}" for row in range(side) for column in range(side)]
    with one_thread():
        train(model, x, y, epochs=20, seed=0)
        flow = nif.measure(
            model, x, nif.Binned(), progress=False, feature_names=names, class_names=data.class_names
        )
        pruned = nif.prune(model, flow, TensorDataset(x, y), remove=0.5, tolerance=0.01, progress=False)
    return flow, pruned


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS.values(), ids=SCREENS.keys())
def test_every_view_fits_its_screen(
    show: Any, digits: tuple[nif.Flow, nif.Pruned], width: int, height: int, scheme: str
) -> None:
    page = show(digits[0], width, height, scheme, pruned=digits[1])
    KEPT.mkdir(parents=True, exist_ok=True)
    for view in states(page):
        page.screenshot(path=KEPT / f"{view}-{width}x{height}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:  # what one does to the picture takes one row
        boxes = [page.locator(f"#{name}").bounding_box() for name in ("class", "removed", "find")]
        middles = [box["y"] + box["height"] / 2 for box in boxes]
        assert max(middles) - min(middles) < 8


@pytest.mark.slow
@pytest.mark.parametrize("screen", ["desk-light", "phone-dark"])
def test_axe_finds_nothing(
    show: Any,
    small_digits: tuple[nif.Flow, nif.Pruned],
    screen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    monkeypatch.setattr("nif.report.content.MOST_LINKS", 60)
    flow, pruned = small_digits
    page = show(flow, *SCREENS[screen], pruned=pruned)
    for view in states(page):
        seen = axe.Axe().run(page).response
        assert len(seen["passes"]) > 20
        assert [(each["id"], each["impact"]) for each in seen["violations"]] == [], view


def states(page: Any) -> Iterator[str]:
    """The page in each view, and the network with a neuron pinned."""
    for view in ("network", *VIEWS, "pruning"):
        page.click(f"#tab-{view}")
        yield view
    page.click("#tab-network")
    find(page, "relu1[3]")
    yield "pinned"
