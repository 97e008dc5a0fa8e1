"""Draw the pictures that are kept with the code: three of the README, and the rooms: ``make pictures``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pictures
import rooms
from PIL import Image
from playwright.sync_api import sync_playwright

COLOURS = 256
"""Enough for lines and discs in a third of the bytes; far apart, so that colours of communities are kept."""

PICKED = 12
"""A unit of the first hidden layer, after 4 features: relu1[8], which carries most."""

IMAGES = Path(__file__).parent.parent / "images"


def report(path: Path) -> None:
    """The report of the network of iris, with a neuron picked."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as running:
        page_file = Path(folder) / "flow.html"
        page_file.write_bytes(pictures.report_of(pictures.currents()))
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 840})
        page.goto(f"{page_file.as_uri()}#view=flow&unit={PICKED}")
        page.wait_for_selector("#ribbons .unit.on")
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    rooms.PICTURE.write_text(rooms.svg(rooms.allowed_imports()), "utf-8")
    (IMAGES / "iris.png").write_bytes(pictures.network())
    (IMAGES / "known_and_used.png").write_bytes(pictures.known_and_used())
    report(IMAGES / "report.png")
    for picture in IMAGES.glob("*.png"):
        if (image := Image.open(picture)).mode != "P":  # those not drawn again have their colours already
            image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1).save(
                picture, optimize=True
            )
