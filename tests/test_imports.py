"""Imports run one way: a module knows only what stands above it in this list."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nif

SOURCE = Path(nif.__file__).parent

ORDER = [
    [
        "nif.version",
        "nif.contracts",
        "nif.whole_file",
        "nif.notebook",
        "nif.compiled",
        "nif.progress",
        "nif.streams",
    ],
    [
        "nif.pointwise",
        "nif.nulls",
        "nif.ranks",
        "nif.truths",
        "nif.datasets",
        "nif.recording",
        "nif.estimators.checks",
    ],
    ["nif.critics", "nif.bounds", "nif.noise", "nif.estimators.degenerate", "nif.estimators.memory"],
    ["nif.training", "nif.fused"],
    ["nif.folds"],
    ["nif.estimators"],
    ["nif.decomposition"],
    ["nif.shared_critic"],
    ["nif.paths", "nif.structure", "nif.centrality"],
    ["nif.row_scores"],
    ["nif.influence"],
    ["nif.network"],
    ["nif.streaming"],
    ["nif.flow", "nif.storage", "nif.report", "nif.scoring"],
    ["nif.pipeline", "nif.pruning"],
    ["nif.comparison", "nif.torch_pruning", "nif.captum"],
    ["nif.plots"],
    ["nif.watch"],
    ["nif"],
    ["nif.demo", "nif.cli"],
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank(module: str) -> int:
    """Place of the longest listed name that the module is, or is inside of."""
    if module == "nif":
        return RANK["nif"]
    name = module
    while name not in RANK:
        name = name.rpartition(".")[0]
        assert name != "nif", f"{module} has no place in ORDER; put it where it belongs"
    return RANK[name]


def imports_of(path: Path) -> set[str]:
    """Modules of nif that a file imports when it is loaded; imports inside functions are not counted."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node) for body in ast.walk(tree) if isinstance(body, ast.FunctionDef) for node in ast.walk(body)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nif"):
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.add(below if exists(below) else str(node.module))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == "nif")
    return found


def exists(module: str) -> bool:
    path = SOURCE.parent.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=module_name)
def test_a_module_imports_only_what_is_above_it(path: Path) -> None:
    own = module_name(path)
    for imported in imports_of(path):
        same_room = rank(imported) == rank(own)
        assert rank(imported) < rank(own) or same_room, f"{own} imports {imported}, which stands below it"


def test_nothing_imports_the_benchmarks_or_tests() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in {"benchmarks", "tests", "cases", "naive"}


def test_print_is_only_in_the_command_line() -> None:
    for path in SOURCE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
        assert not prints or module_name(path).startswith("nif.cli"), path


def test_measuring_does_not_load_the_compiler_of_torch() -> None:
    """It takes two seconds; only what is compiled already needs it."""
    code = """
import sys, torch, nif
net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
nif.measure(net, torch.randn(60, 2), estimator=nif.GaussianCopula())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
