"""What the report takes to write, to draw first, and to move, in a headless Chromium without a GPU.

``python benchmarks/report.py [--largest 100000]``: networks of random links, of rising size. *Drawn* is the
time from opening the file to the second frame after its script, which shows the strongest 6,000 links. The
slider brings the others: *all* is the longest frame of that, *pan* the longest while the picture is dragged,
*rest* the longest until it has been drawn anew. The last row is written, not opened. *Of a core* is what
writing takes of the processor, which depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from environment import environment, peak
from nif.core.types import Layer, Links
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement

NETWORKS = {10_000: (20, 500, 50_000), 100_000: (250, 400, 200_000)}
"""Layers, units in each, and links with information, by the number of neurons."""

WATCH = """
window.frames = [];
const tick = (now) => { window.frames.push(now); requestAnimationFrame(tick); };
const second = (now) => { window.drawn = performance.now(); tick(now); };
const first = () => requestAnimationFrame(second);
document.addEventListener('DOMContentLoaded', () => requestAnimationFrame(first));
"""
LONGEST = "Math.max(...window.frames.slice(1).map((now, i) => now - window.frames[i]))"
MEASUREMENT = Measurement("random", {"relevance": "unit", "noise": 0.0}, 1000, 0, 0, "0")


def network(layers: int, units: int, links: int, seed: int = 0) -> Flow:
    """Layers one behind the other, with so many links at random places."""
    generator = np.random.default_rng(seed)
    between = links // (layers - 1)
    found = []
    for source in range(layers - 1):
        nats = np.zeros(units * units)
        nats[generator.choice(units * units, between, replace=False)] = generator.exponential(0.1, between)
        weights = nats.reshape(units, units)
        small, one = np.broadcast_to(0.01, weights.shape), np.broadcast_to(0.5, weights.shape)
        found.append(Links(source, source + 1, weights, small, one, weights))
    names = ["input", *(f"layer{index}" for index in range(1, layers))]
    made = [Layer(name, "ReLU", tuple(f"{name}[{unit}]" for unit in range(units))) for name in names]
    made[0] = Layer("input", "input", made[0].units)
    return Flow(tuple(made), tuple(found), tuple(np.zeros(units, bool) for _ in made), MEASUREMENT)


def written(sizes: tuple[int, int, int], path: Path) -> dict[str, Any]:
    """Write a page of so many layers, units and links, in a process of its own: memory is counted there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(_written, sizes, path).result()


def _written(sizes: tuple[int, int, int], path: Path) -> dict[str, Any]:
    """Write the page; the overhead is what is neither a number nor a name of the flow."""
    flow = network(*sizes)
    start, worked = time.perf_counter(), time.process_time()
    flow.report(path)
    seconds, work = time.perf_counter() - start, time.process_time() - worked
    text = path.read_text("utf-8")
    data = sum(len(part) for part in text.splitlines() if part.startswith("<script type="))
    return {
        "neurons": sum(map(len, flow.layers)),
        "links": sum(int((each.nats > 0).sum()) for each in flow.links),
        "written, s": round(seconds, 1),
        "of a core, s": round(work, 1),
        "peak, MB": round(peak()),
        "page, MB": round(len(text) / 1e6, 2),
        "overhead, kB": round((len(text) - data) / 1e3, 1),
    }


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser with a window of 1280 x 800."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        opened = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


def opened(browser: Any, path: Path) -> dict[str, Any]:
    """Open the page, drag the picture, let it rest; milliseconds."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    while page.evaluate("window.drawn") is None:  # the page lets no condition be compiled
        page.wait_for_timeout(20)
    drawn = page.evaluate("window.drawn")
    everything = longest(page, lambda: page.locator("#share").fill("1000"))
    page.mouse.move(500, 500)
    page.mouse.down()
    pan = longest(page, lambda: page.mouse.move(700, 560, steps=40), wait=0)
    rest = longest(page, page.mouse.up)
    page.context.close()
    return {"drawn, ms": drawn, "all, ms": everything, "pan, ms": pan, "rest, ms": rest}


def longest(page: Any, act: Callable[[], None], wait: int = 2000) -> float:
    """The longest frame while something is done and what follows from it settles, in milliseconds."""
    page.evaluate("window.frames.splice(0, window.frames.length - 1)")
    act()
    page.wait_for_timeout(wait)
    return float(page.evaluate(LONGEST))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=100_000, help="neurons")
    parser.add_argument("--repeats", type=int, default=5, help="the least is told")
    options = parser.parse_args()
    print(environment())
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "flow.html"
        for neurons, sizes in NETWORKS.items():
            if neurons <= options.largest:
                row = written(sizes, path)
                seen = pd.DataFrame([opened(browser, path) for _ in range(options.repeats)]).min()
                rows.append({**row, **{str(name): round(value) for name, value in seen.items()}})
        rows.append(written((2, 1000, 1_000_000), path))
    print(pd.DataFrame(rows).to_string(index=False, na_rep="-"))


if __name__ == "__main__":
    main()
