"""The documentation site as built by `make docs`: it loads nothing from a network."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SITE = ROOT / "build" / "site"
LOCAL = ("file:", "data:", "blob:")
FETCHED = re.compile(r"""<(?:script|img|iframe|link(?! rel="canonical"))[^>]*?(?:src|href)=["']?([^"' >]+)""")

built = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the site is not built: make docs")


@built
def test_pages_load_existing_local_files_only() -> None:
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        if page.name == "404.html":
            continue  # its addresses begin at the root of a server
        for address in FETCHED.findall(page.read_text("utf-8")):
            assert not re.match(r"(https?:)?//", address), f"{page} loads {address}"
            assert (page.parent / address.partition("#")[0]).exists(), f"{page} lacks {address}"


@pytest.mark.slow
@built
@pytest.mark.parametrize("name", ["paper.html", "reports/iris.html", "reports/digits.html"])
def test_a_page_opens_from_disk(browser: Any, name: str) -> None:
    page = browser.new_context().new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: requests.append(str(error)))
    page.goto((SITE / name).as_uri())
    heading = page.locator("h1").inner_text()
    assert ("The paper and the code" if name == "paper.html" else "carry") in heading
    assert (page.locator("math").count() > 10) == (name == "paper.html")
    assert "arithmatex" not in page.content()
    assert [address for address in requests if not address.startswith(LOCAL)] == []
    page.context.close()


@pytest.mark.slow
@built
def test_search_finds_pages_on_disk(browser: Any) -> None:
    page = browser.new_context().new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: requests.append(str(error)))
    page.on("console", lambda message: requests.append(message.text))
    page.goto((SITE / "reference" / "flow.html").as_uri())
    page.wait_for_function("frames.length === 1")  # in which the search runs
    page.type("input[name=query]", "silent neurons")  # the box reacts to keys
    page.wait_for_selector(".md-search-result__item", state="attached")
    assert "The flow" in page.locator(".md-search-result__item h1").all_inner_texts()
    page.fill("input[name=query]", "")
    page.type("input[name=query]", "xyzzy")
    page.wait_for_function(
        "document.querySelector('.md-search-result__meta').textContent.includes('No matching')"
    )
    assert [address for address in requests if not address.startswith(LOCAL)] == []
    page.context.close()


def test_equations_of_docstrings_become_markdown() -> None:
    pytest.importorskip("griffe", reason="the libraries of the documentation are not installed")
    spec = importlib.util.spec_from_file_location("equations", ROOT / "docs" / "site" / "equations.py")
    assert spec and spec.loader
    equations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(equations)
    assert doctest.testmod(equations).attempted > 0 and doctest.testmod(equations).failed == 0
    two = equations.as_markdown("First.\n\n    .. math:: a\n        = b\n\n    More.")
    assert two == "First.\n\n    $$\n    a = b\n    $$\n\n    More."
