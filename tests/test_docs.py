"""Every page of the documentation does what it says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import nif

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if ">>>" in path.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_a_page_runs(page: Path) -> None:
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried > 0
    assert failed == 0


def test_every_public_name_is_in_the_reference() -> None:
    told = "".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    lines = Path(nif.__file__).read_text("utf-8").splitlines()
    offered = [line.rsplit(" as ", 1)[1] for line in lines if " as " in line and "__" not in line]
    assert len(offered) > 20
    missing = [name for name in offered if f"::: nif.{name}\n" not in told]
    assert missing == [], "add ::: nif.NAME to a page of docs/reference"
