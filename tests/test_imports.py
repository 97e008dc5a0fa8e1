"""The rooms of the package, and the imports that are allowed between them."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import nif

SOURCE = Path(nif.__file__).parent

MAY_IMPORT = {
    "core": set(),
    "data": {"core"},
    "estimators": {"core"},
    "flow": {"core"},
    "datasets": {"core"},
    "network": {"core", "data"},
    "measures": {"core", "data", "network", "estimators", "flow"},
    "pipeline": {"core", "data", "network", "estimators", "measures", "flow"},
    "pruning": {"core", "data", "network", "flow"},
    "comparison": {"core", "data", "network", "estimators", "flow", "measures", "pipeline"},
    "plots": {"core", "flow"},
    "report": {"core", "flow", "plots", "pruning"},
    "watch": {"core", "data", "network", "estimators", "measures", "flow", "pipeline", "plots", "report"},
}
"""What each room (a package) or module at the top may import of nif, inside functions too."""

ANYTHING = {"cli", "__main__", "__init__"}
"""The command line, ``python -m nif``, and the public names."""

VIEWS = "nif.flow.output_views"
BACKWARDS = {(VIEWS, "nif.plots.network_graph"), (VIEWS, "nif.report.page")}
"""`Flow.plot`, and `Flow.report` and `Flow.show`: imported when they are called."""

FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """All of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text())))


def imports_of(path: Path) -> set[str]:
    """Modules of nif that a file imports anywhere, but for the types of annotations."""
    for_types = {
        id(inner)
        for node in nodes_of(path)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in nodes_of(path):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nif":
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if exists(below) or node.module == "nif" else str(node.module))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == "nif")
    return found


def exists(module: str) -> bool:
    path = SOURCE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_room_imports_only_the_rooms_that_it_may(path: Path) -> None:
    own = module_name(path)
    if room(own) in ANYTHING:
        return
    for imported in imports_of(path):
        if room(imported) == room(own) or (own, imported) in BACKWARDS:
            continue
        assert room(imported) in MAY_IMPORT[room(own)], f"{own} imports {imported}"


def test_the_allowed_imports_have_no_circle() -> None:
    left = dict(MAY_IMPORT)
    while left:
        free = {name for name, below in left.items() if not below & set(left)}
        assert free, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in free}


def test_every_room_is_listed_and_there_are_few() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert rooms | modules == set(MAY_IMPORT) | {"cli"}
    assert len(rooms) <= 11
    assert len(modules) <= 5


def test_files_and_functions_are_short() -> None:
    texts = {module_name(path): path.read_text() for path in FILES}
    lines = {name: text.count("\n") for name, text in texts.items()}
    assert {name for name, count in lines.items() if count > 400} == set()
    short = [path for path in FILES if path.name != "__init__.py" and lines[module_name(path)] < 40]
    assert len(short) <= 10, short
    lengths = [length for path in FILES for length in function_lengths(nodes_of(path))]
    assert max(lengths) <= 60
    assert sum(length > 30 for length in lengths) <= 0.03 * len(lengths)


def function_lengths(nodes: list[ast.AST]) -> list[int]:
    """Lines of every function, without its docstring."""
    found = []
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            found.append((node.end_lineno or 0) - node.lineno + 1 - docstring)
    return found


def test_nothing_imports_the_benchmarks_or_tests() -> None:
    for path in FILES:
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in {"benchmarks", "tests", "support"}


def test_print_is_only_in_the_command_line() -> None:
    for path in FILES:
        calls = [node for node in nodes_of(path) if isinstance(node, ast.Call)]
        prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
        assert not prints or module_name(path).startswith("nif.cli"), path


@pytest.mark.slow
def test_measuring_does_not_load_what_takes_long() -> None:
    """The compiler of torch takes two seconds and only what is compiled already needs it; scipy.stats one, as
    do estimators and numba together, which currents do without."""
    code = """
import sys, torch, nif
net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
repr(nif.measure(net, torch.randn(60, 2)))
assert not {"numba", "nif.estimators.binned", "nif.measures.association.association"} & set(sys.modules)
repr(nif.measure(net, torch.randn(60, 2), nif.GaussianCopula()))
found = [name for name in ("torch._dynamo", "scipy.stats", "scipy.optimize") if name in sys.modules]
assert found == [], found
"""
    subprocess.run([sys.executable, "-c", code], check=True)
