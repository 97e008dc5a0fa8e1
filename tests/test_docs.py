"""The documentation: examples run, every public name is listed, the architecture is that of the code."""

from __future__ import annotations

import doctest
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

import nif
from test_imports import MAY_IMPORT

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if ">>>" in path.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(DOCS)) for page in PAGES])
def test_a_page_runs(page: Path) -> None:
    if "from transformers import" in page.read_text("utf-8"):
        pytest.importorskip("transformers")
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert tried > 0
    assert failed == 0


@pytest.mark.slow
def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iris = load_iris(as_frame=True)
    x, y = (iris.data - iris.data.mean()) / iris.data.std(), iris.target
    model, second = (
        MLPClassifier((4,), max_iter=2000, random_state=seed, solver="lbfgs").fit(x, y) for seed in range(2)
    )
    other, data = nif.measure(second, x, progress=False), (x, y)
    known: dict[str, object] = {"model": model, "x": x, "y": y, "other": other, "data": data}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS.parent / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.print", lambda *_: None)
    for block in blocks[:2]:  # the third has arrays of its own
        exec(block, known)
    assert (tmp_path / "flow.html").exists() and {"flow", "small", "watch", "paper", "known"} <= set(known)


def test_every_line_of_the_table_of_models_is_run_below_it() -> None:
    page = (DOCS / "models.md").read_text("utf-8")
    lines = re.findall(r"^\| .* \| `(.*)` \|$", page, re.MULTILINE)
    assert len(lines) > 20
    assert [line for line in lines if f">>> total({line})\nTrue\n" not in page] == []


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    lines = Path(nif.__file__).with_suffix(".pyi").read_text("utf-8").splitlines()
    exported = [line.rsplit(" as ", 1)[1] for line in lines if " as " in line and "__" not in line]
    assert len(exported) > 20
    missing = [name for name in exported if f"::: nif.{name}\n" not in reference]
    assert missing == [], "add ::: nif.NAME to a page of docs/reference"


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    root = DOCS.parent
    named = set(re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", (root / page).read_text("utf-8")))
    assert len(named) > 10
    assert [
        path for path in sorted(named) if not any((root / at / path).exists() for at in ("", "src/nif"))
    ] == []


def script(name: str) -> ModuleType:
    """A program that draws a picture, whose examples run."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert doctest.testmod(module).attempted > 0 and doctest.testmod(module).failed == 0
    return module


def test_picture_of_the_rooms_shows_the_allowed_imports() -> None:
    rooms = script("rooms")
    assert rooms.PICTURE.read_text("utf-8") == rooms.svg(MAY_IMPORT), "run python docs/site/rooms.py"


def test_picture_of_the_balance_shows_the_worked_number() -> None:
    balance = script("balance")
    assert balance.PICTURE.read_text("utf-8") == balance.svg(), "run python docs/site/balance.py"


def test_architecture_names_every_room_with_its_imports() -> None:
    cells = [line.split("|") for line in (DOCS / "architecture.md").read_text("utf-8").splitlines()]
    listed = {row[1].strip(" `").removesuffix(".py"): row[3].strip() for row in cells if len(row) == 5}
    for room, allowed in MAY_IMPORT.items():
        assert (set(listed[room].split(", ")) if allowed else listed[room]) == (allowed or "nothing of nif")
