"""A real browser for the tests of pages, and figures that are closed after each test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import support.runtime_types  # noqa: F401 - before nif, for --jaxtyping-packages

if TYPE_CHECKING:  # the process that hands out the tests needs no torch
    from nif.flow.flow import Flow


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session", autouse=True)
def networks_are_timed_at_once() -> None:
    """A pruning runs both networks for a tenth of a second and then 21 times; no test rests on it."""
    from nif.pruning import size

    size.WARM_UP, size.PASSES = 0.001, 3


@pytest.fixture
def few_rows_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """By shap, one after the other; what asks for this does not look at their number."""
    monkeypatch.setattr("nif.comparison.libraries.ROWS_EXPLAINED", 5)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can be longer than 4 KB, which fails as a full disk does."""
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from support.browsing import ARGUMENTS, CHROMIUM

    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the report of a flow; at the end there was no message, no error and no request."""
    from support.browsing import settled

    troubles: list[str] = []

    def opened(
        flow: Flow,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        pruned: Any = None,
        fragment: str = "view=network",
        **more: Any,
    ) -> Any:
        flow.report(tmp_path / "flow.html", pruned=pruned, **more)
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        address = (tmp_path / "flow.html").as_uri()
        page.on(
            "request",
            lambda asked: troubles.append(asked.url) if asked.url.split("#")[0] != address else None,
        )
        page.goto(f"{address}#{fragment}" if fragment else address)
        settled(page, 0)
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert troubles == []
