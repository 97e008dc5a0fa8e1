"""What the report takes to write, to draw first, and to move, in a headless Chromium without a GPU.

``python benchmarks/report.py [--largest 100000]``: networks of random links, of rising size. *Drawn* is the
time from opening the file to the second frame after its script, which shows the strongest 6,000 links. The
slider brings the others: *all* is the longest frame of that, *pan* the longest while the picture is dragged,
*rest* the longest until it has been drawn anew. The last row is written, not opened. *Of a core* is what
writing takes of the processor, which depends less on what else the machine does.

Below, the same of currents, whose pages begin with ribbons: *point* is the longest frame while the pointer
moves over the picture, *pick* that of a click on a bar, *network* that of opening the network, *pan* the
longest while it is dragged. ``--only currents`` or ``--only association`` for one of the two.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from environment import environment, peak
from nif.core.types import CurrentTables, Layer, Links, Total, UnitCurrents
from nif.flow.flow import Flow
from nif.flow.measurement import Measurement

NETWORKS = {10_000: (20, 500, 50_000), 100_000: (250, 400, 200_000)}
"""Layers, units in each, and links with information, by the number of neurons."""

OF_CURRENTS = {1000: (10, 100, 10_000), 10_000: (20, 500, 50_000), 100_000: (250, 400, 200_000)}
"""The same; the first has the links at which the picture is to move 60 times a second."""

WATCH = """
window.frames = [];
const tick = (now) => { window.frames.push(now); requestAnimationFrame(tick); };
const second = (now) => { window.drawn = performance.now(); tick(now); };
const first = () => requestAnimationFrame(second);
document.addEventListener('DOMContentLoaded', () => requestAnimationFrame(first));
"""
LONGEST = "Math.max(...window.frames.slice(1).map((now, i) => now - window.frames[i]))"
MEASUREMENT = Measurement("random", {"relevance": "unit", "noise": 0.0}, 1000, 0, 0, "0")
CURRENTS = Measurement(
    "Currents()",
    {"decision": "one of 10 classes (logits of 10 classes)", "backgrounds": 32, "explained": 400, "steps": 8},
    400, 0, 0, "0",
)  # fmt: skip


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


def current_network(layers: int, units: int, links: int, seed: int = 0) -> Flow:
    """The same of currents: every unit divides what flows in among a few units of the next layer."""
    generator = np.random.default_rng(seed)
    each = max(links // ((layers - 1) * units), 1)
    nats, found = [generator.exponential(1 / units, units)], []
    for source in range(layers - 1):
        weights = np.zeros((units, units))
        for unit, carried in enumerate(nats[-1]):
            shares = generator.dirichlet(np.ones(each)) * (1 + 0.3 * generator.normal(size=each))
            targets = generator.choice(units, each, replace=False)
            weights[unit, targets] = carried * shares / shares.sum()
        small, one = np.broadcast_to(1e-4, weights.shape), np.broadcast_to(0.5, weights.shape)
        found.append(Links(source, source + 1, weights, small, one, weights))
        nats.append(weights.sum(0))
    flow = network(layers, units, links)
    errors = np.full(units, 1e-4)
    carried_by = tuple(UnitCurrents(values, errors, np.abs(values), errors) for values in nats)
    classes = flow.layers[-1].units[:10]
    attribution = np.outer(nats[0], np.full(len(classes), 1 / len(classes)))
    total = Total(float(nats[0].sum()), 0.01)
    tables = CurrentTables(total, carried_by, classes, attribution, np.full(attribution.shape, 1e-4))
    return replace(flow, links=tuple(found), currents=tables, measurement=CURRENTS)


MAKE = {"association": network, "currents": current_network}


def written(kind: str, sizes: tuple[int, int, int], path: Path) -> dict[str, Any]:
    """Write a page of so many layers, units and links, in a process of its own: memory is counted there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(_written, kind, sizes, path).result()


def _written(kind: str, sizes: tuple[int, int, int], path: Path) -> dict[str, Any]:
    """Write the page; the overhead is what is neither a number nor a name of the flow."""
    flow = MAKE[kind](*sizes)
    start, worked = time.perf_counter(), time.process_time()
    flow.report(path)
    seconds, work = time.perf_counter() - start, time.process_time() - worked
    text = path.read_text("utf-8")
    data = sum(len(part) for part in text.splitlines() if part.startswith("<script type="))
    return {
        "neurons": sum(map(len, flow.layers)),
        "links": sum(int((each.nats != 0).sum()) for each in flow.links),
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


def drawn_page(browser: Any, path: Path) -> tuple[Any, float]:
    """Open the page; and the milliseconds until it was drawn."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    while page.evaluate("window.drawn") is None:  # the page lets no condition be compiled
        page.wait_for_timeout(20)
    return page, page.evaluate("window.drawn")


def opened(browser: Any, path: Path) -> dict[str, Any]:
    """Open the page, drag the picture, let it rest; milliseconds."""
    page, drawn = drawn_page(browser, path)
    everything = longest(page, lambda: page.locator("#share").fill("1000"))
    page.mouse.move(500, 500)
    page.mouse.down()
    pan = longest(page, lambda: page.mouse.move(700, 560, steps=40), wait=0)
    rest = longest(page, page.mouse.up)
    page.context.close()
    return {"drawn, ms": drawn, "all, ms": everything, "pan, ms": pan, "rest, ms": rest}


def opened_currents(browser: Any, path: Path) -> dict[str, Any]:
    """Open the page, point at its ribbons, pick a unit, drag the network; milliseconds."""
    page, drawn = drawn_page(browser, path)
    page.wait_for_timeout(500)
    page.mouse.move(300, 300)
    point = longest(page, lambda: page.mouse.move(800, 500, steps=60), wait=0)
    bars = page.locator("#ribbons .unit:not(.several)")
    pick = longest(page, lambda: bars.nth(bars.count() // 2).click(force=True), wait=1000)
    network_view = longest(page, lambda: page.click("#tab-network"), wait=1500)
    page.mouse.move(500, 500)
    page.mouse.down()
    pan = longest(page, lambda: page.mouse.move(700, 560, steps=40), wait=0)
    page.context.close()
    times = {"drawn": drawn, "point": point, "pick": pick, "network": network_view, "pan": pan}
    return {f"{name}, ms": value for name, value in times.items()}


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
    parser.add_argument("--only", choices=MAKE, help="one of the two")
    options = parser.parse_args()
    print(environment())
    kinds = [("association", NETWORKS, opened), ("currents", OF_CURRENTS, opened_currents)]
    for kind, networks, open_page in kinds:
        if options.only not in {None, kind}:
            continue
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder, chromium() as browser:
            path = Path(folder) / "flow.html"
            for neurons, sizes in networks.items():
                if neurons <= options.largest:
                    row = written(kind, sizes, path)
                    seen = pd.DataFrame([open_page(browser, path) for _ in range(options.repeats)]).min()
                    rows.append({**row, **{str(name): round(value) for name, value in seen.items()}})
            if kind == "association":
                rows.append(written(kind, (2, 1000, 1_000_000), path))
        print(f"{kind}\n{pd.DataFrame(rows).to_string(index=False, na_rep='-')}\n")


if __name__ == "__main__":
    main()
