"""Check a release: ``make release-check``.

Builds the wheel and the source distribution, installs the wheel without extras into empty environments of
the newest and of the lowest versions of what it needs, runs the first example of the README there, and prints
what a release states: time of import, size of the wheel and number of requirements.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "release"
DIST = WORK / "dist"

USER = """
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
x, y = load_iris(return_X_y=True, as_frame=True)
x = (x - x.mean()) / x.std()
model = MLPClassifier((10,), max_iter=1000, random_state=0).fit(x, y)
"""
"""What stands for the user's own model and data, before the example."""

RUNS = 5
"""Times of each import, of which the shortest is stated."""


def main() -> None:
    """Build, check, install, run, measure."""
    shutil.rmtree(WORK, ignore_errors=True)
    tools = environment("tools", "build", "twine")
    run(tools, "-m", "build", "--outdir", str(DIST), str(ROOT))
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(tools, "-m", "twine", "check", "--strict", str(wheel), str(source))
    lines = described(wheel)
    for name, versions in (("newest", newest()), ("lowest", lowest())):
        pinned = WORK / f"{name}.txt"
        pinned.write_text(versions)
        python = environment(name, "--constraint", str(pinned), str(wheel))
        run(python, "-m", "pip", "check")
        print(f"{name}: the example of the README", flush=True)
        run(python, "-W", "ignore", "-c", USER + example())
        lines.append(f"{name} versions: {imports(python)}")
    print("\n".join(["", f"{wheel.name}, {source.name}: checked", *lines]))


def environment(name: str, *packages: str) -> Path:
    """The interpreter of a new environment with some packages."""
    subprocess.run([sys.executable, "-m", "venv", WORK / name], check=True)
    python = WORK / name / "bin" / "python"
    print(f"{name}: installing {Path(packages[-1]).name}", flush=True)
    run(python, "-m", "pip", "install", "--quiet", *packages)
    return python


def run(python: Path, *arguments: str) -> str:
    """Run a program of an environment far from the sources; ends this one where it fails."""
    done = subprocess.run([python, *arguments], cwd=WORK, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\nrelease-check: {' '.join(arguments)[:200]} failed")
    return done.stdout


def newest() -> str:
    """The newest of everything but torch, which is that of constraints.txt, as for ``make demo``."""
    return (ROOT / "constraints.txt").read_text("utf-8")


def lowest() -> str:
    """The lowest versions; torch is that of constraints.txt, as for ``make lowest``."""
    torch = re.search(r"^torch==.*$", newest(), re.MULTILINE)
    pinned = (ROOT / "constraints-lowest.txt").read_text("utf-8")
    return re.sub(r"^torch==.*$", torch.group() if torch else "", pinned, flags=re.MULTILINE)


def example() -> str:
    """The first block of Python in the README."""
    return (ROOT / "README.md").read_text("utf-8").partition("```python\n")[2].partition("```")[0]


def described(wheel: Path) -> list[str]:
    """Size and requirements, from the wheel; it holds the package, its assets and types, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        needed = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    files = (path for path in (ROOT / "src" / "nif").rglob("*.*") if path.is_file())
    kept = {path.relative_to(ROOT / "src").as_posix() for path in files if path.parent.name != "__pycache__"}
    shipped = {name for name in names if name.startswith("nif/")}
    missing = kept - shipped
    strange = {name for name in set(names) - shipped if ".dist-info/" not in name}
    if missing or strange:
        sys.exit(f"release-check: the wheel lacks {sorted(missing)} or has {sorted(strange)}")
    base = [requirement for requirement in needed if "extra ==" not in requirement]
    return [f"wheel: {wheel.stat().st_size / 1000:.0f} kB, {len(base)} requirements without extras"]


def imports(python: Path) -> str:
    """Processor time of ``import nif``, and of all that measuring needs, beside that of ``import torch``."""
    programs = "import torch", "import nif", "import nif; nif.measure; nif.prune"
    torch, alone, all_of_it = (seconds(python, program) for program in programs)
    return (
        f"import nif {alone:.2f} s; with nif.measure and nif.prune {all_of_it:.2f} s, "
        f"{all_of_it / torch:.1f} times import torch ({torch:.2f} s)"
    )


def seconds(python: Path, program: str) -> float:
    """The shortest processor time of a program, less that of an empty one: other work does not change it."""
    timer = (
        "import os, subprocess, sys\n"
        "def once(program):\n"
        "    start = sum(os.times()[2:4]); subprocess.run([sys.executable, '-c', program], check=True)\n"
        "    return sum(os.times()[2:4]) - start\n"
        f"print(min(once({program!r}) for _ in range({RUNS})) - min(once('') for _ in range({RUNS})))"
    )
    return float(run(python, "-c", timer))


if __name__ == "__main__":
    main()
