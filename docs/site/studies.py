"""Pages that are programs in `docs/site/studies`: each is run when the site is built, or by a test before.

A program begins with a docstring, the title and what it is about, and is divided by lines ``# %%``. The
comment below such a line is text in Markdown; then follows code. The page shows the code, what it prints, and
the figures that it leaves open in pyplot.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import io
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib import pyplot

PROGRAMS = Path(__file__).parent / "studies"

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "studies"

DOTS_PER_INCH = 120


class Cell(NamedTuple):
    """A part of a program: text in Markdown, and code; either may be empty."""

    text: str
    code: str


class Page(NamedTuple):
    """A page and its pictures, by their names in the folder of the page."""

    markdown: str
    pictures: dict[str, bytes]


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and their pictures to the site."""
    from mkdocs.structure.files import File

    from nif.network.preserve import one_thread

    for program in sorted(PROGRAMS.glob("*.py")):
        with one_thread():
            page = kept(program)
        files.append(File.generated(config, f"studies/{program.stem}.md", content=page.markdown))
        for name, content in page.pictures.items():
            files.append(File.generated(config, f"studies/{name}", content=content))
    return files


def cells(source: str) -> list[Cell]:
    r"""The parts of a program; the docstring is the first.

    Example:
        >>> cells("'Title'\n# %%\n# More\n# text.\nx = 1\n# %%\ny = 2\n")
        [Cell(text='# Title', code=''), Cell(text='More\ntext.', code='x = 1'), Cell(text='', code='y = 2')]
    """
    first, *rest = re.split(r"^# %%.*\n", source, flags=re.MULTILINE)
    parts = [Cell(f"# {ast.get_docstring(ast.parse(first))}", "")]
    for part in rest:
        comment = re.match(r"(#.*\n)*", part)
        head = comment.group() if comment else ""
        parts.append(Cell(re.sub(r"^# ?", "", head, flags=re.MULTILINE).strip(), part[len(head) :].strip()))
    return parts


def kept(program: Path, folder: Path = KEPT) -> Page:
    """The page of a program, which is run if it was not with this source and these packages.

    It is kept below `folder` for the site and the tests, which would run it once more. A program that fails
    leaves nothing there.
    """
    place = folder / hashlib.sha256(program.read_bytes() + _surroundings()).hexdigest()
    text = place / f"{program.stem}.md"
    if not text.exists():
        page = made(program)
        place.mkdir(parents=True, exist_ok=True)
        for name, content in page.pictures.items():
            (place / name).write_bytes(content)
        text.write_text(page.markdown, "utf-8")
    numbers = range(1, 1 + sum(1 for _ in place.glob("*.png")))
    names = [f"{program.stem}-{number}.png" for number in numbers]
    return Page(text.read_text("utf-8"), {name: (place / name).read_bytes() for name in names})


@cache
def _surroundings() -> bytes:
    """All that a page rests on beside its program: the source, this file, Python and the packages."""
    source = [Path(__file__), *sorted(ROOT.glob("src/nif/**/*.py"))]
    packages = sorted({f"{found.name} {found.version}" for found in importlib.metadata.distributions()})
    return b"".join(path.read_bytes() for path in source) + repr((sys.version, packages)).encode()


def made(program: Path) -> Page:
    """Run a program, part by part."""
    matplotlib.use("agg")
    pyplot.close("all")
    names: dict[str, Any] = {"__name__": "study"}
    lines, pictures = list[str](), dict[str, bytes]()
    for cell in cells(program.read_text("utf-8")):
        if cell.text:
            lines += [cell.text, ""]
        if not cell.code:
            continue
        shown = "\n".join(line for line in cell.code.splitlines() if not line.endswith("# hidden"))
        lines += ["```python", shown, "```", ""]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(cell.code, str(program), "exec"), names)
        if printed.getvalue():
            lines += ["```text", printed.getvalue().rstrip(), "```", ""]
        for picture in _figures():
            name = f"{program.stem}-{len(pictures) + 1}.png"
            pictures[name] = picture
            lines += [f"![Drawn by the code above]({name})", ""]
    return Page("\n".join(lines), pictures)


def _figures() -> Iterator[bytes]:
    """The open figures, which are closed."""
    for number in pyplot.get_fignums():
        target = io.BytesIO()
        pyplot.figure(number).savefig(target, format="png", dpi=DOTS_PER_INCH)
        yield target.getvalue()
    pyplot.close("all")
