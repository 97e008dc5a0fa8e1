"""The studies and the gallery of the documentation: each runs, and what it finds holds.

What the site has run with the same source and the same packages is not run again.
"""

from __future__ import annotations

import doctest
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SITE = Path(__file__).parent.parent / "docs" / "site"
PROGRAMS = sorted((SITE / "studies").glob("*.py"))


@pytest.fixture(scope="module")
def studies() -> ModuleType:
    spec = importlib.util.spec_from_file_location("studies", SITE / "studies.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["studies"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_study_finds_what_it_says(studies: ModuleType, program: Path) -> None:
    page = studies.kept(program)
    assert page.markdown.startswith("# ")
    assert all(f"]({name})" in page.markdown for name in page.pictures)
    assert all(content.startswith(b"\x89PNG") for content in page.pictures.values())
    assert ("assert " in page.markdown) == (program.stem != "gallery")
    assert len(page.pictures) >= (10 if program.stem == "gallery" else 0)


def test_every_study_is_on_the_site() -> None:
    contents = (SITE.parent.parent / "mkdocs.yml").read_text("utf-8")
    assert len(PROGRAMS) == 6
    assert [path.stem for path in PROGRAMS if f"studies/{path.stem}.md" not in contents] == []


def test_a_study_that_fails_ends_the_build(studies: ModuleType, tmp_path: Path) -> None:
    program = tmp_path / "wrong.py"
    program.write_text('"""Title\n\nText."""\n\n# %%\n# More.\nprint(1)\nassert 1 > 2\n')
    with pytest.raises(AssertionError):
        studies.made(program)
    program.write_text('"""Title\n\nText."""\n\n# %%\n# More,\n# and more.\nprint(1)\n')
    assert studies.made(program).markdown == (
        "# Title\n\nText.\n\nMore,\nand more.\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
    )


def test_a_study_is_run_once_unless_something_has_changed(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, kept = tmp_path / "study.py", tmp_path / "kept"
    draw = "from matplotlib import pyplot\npyplot.plot([1, 2])\n"
    program.write_text(f'"""Title\n\nText."""\n\n# %%\n# More.\n{draw}')
    first = studies.kept(program, kept)
    assert first == studies.made(program)
    assert list(first.pictures) == ["study-1.png"]
    with monkeypatch.context() as patch:
        patch.setattr(studies, "made", None)
        assert studies.kept(program, kept) == first
    monkeypatch.setattr(studies, "_surroundings", lambda: b"another version of a package")
    monkeypatch.setattr(studies, "made", lambda _: studies.Page("again", {}))
    assert studies.kept(program, kept).markdown == "again"
    program.write_text('"""Title\n\nText."""\n\n# %%\nassert 1 > 2\n')
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(AssertionError):
            studies.kept(program, kept)


def test_programs_are_divided_into_cells(studies: ModuleType) -> None:
    assert doctest.testmod(studies).attempted > 0 and doctest.testmod(studies).failed == 0
